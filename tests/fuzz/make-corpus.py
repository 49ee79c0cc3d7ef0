#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seed corpora of the fuzz targets, one file per case. Standard library alone; the same files each time.

A file's name begins with what must become of it, and test_golden.py holds the C side to that:
    wire/VERDICT.SENDER.CASE                 one payload
    frame/FRAMES-GARBLED-OVERLONG.CASE       a stream of bytes, and what its decoder counts
The other targets check their promises by themselves, and a name is only the case.
What a fuzzer found and was fixed comes here too, as a case with a name.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import corpus_config  # noqa: E402
import corpus_frame  # noqa: E402
import corpus_libvirt  # noqa: E402
import corpus_procfs  # noqa: E402
import corpus_qmp  # noqa: E402
import corpus_replay  # noqa: E402
import corpus_session  # noqa: E402
import corpus_wire  # noqa: E402

CORPORA = {
    "config": corpus_config.cases,
    "frame": corpus_frame.cases,
    "libvirt": corpus_libvirt.cases,
    "meminfo": corpus_procfs.meminfo,
    "psi": corpus_procfs.psi,
    "qmp": corpus_qmp.cases,
    "replay": corpus_replay.cases,
    "session": corpus_session.cases,
    "wire": corpus_wire.cases,
}


def main() -> None:
    for target in sys.argv[1:] or CORPORA:
        folder = HERE / "corpus" / target
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        n = 0
        for name, data in CORPORA[target]():
            assert not (folder / name).exists(), name
            (folder / name).write_bytes(data)
            n += 1
        print(f"{target}: {n} files")


if __name__ == "__main__":
    main()
