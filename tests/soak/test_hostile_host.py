# SPDX-License-Identifier: Apache-2.0
"""A host gone mad, at length: MEMTIDE_STREAMS random streams of commands (10^5) against the agent, see test-hostile-host.c.
The first 200 of them are in every `./test.sh`."""
from __future__ import annotations

import os
import subprocess
from pathlib import Path

STREAMS = int(os.environ.get("MEMTIDE_STREAMS", "100000"))


def test_hostile_host(build: Path) -> None:
    ran = subprocess.run([build / "tests" / "unit" / "agent" / "host" / "test-hostile-host", str(STREAMS)],
                         capture_output=True, text=True, check=False)
    print(ran.stdout + ran.stderr)
    assert ran.returncode == 0
    assert f"{STREAMS} streams:" in ran.stdout
