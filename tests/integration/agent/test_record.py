# SPDX-License-Identifier: Apache-2.0
"""A run of the agent is recorded, and replayed to the same decisions."""
from __future__ import annotations

import csv
import os
import subprocess
import time
from pathlib import Path

MIB = 1 << 20
REPLAY = Path(os.environ.get("MEMTIDE_BUILD") or "build").resolve() / "tests/unit/agent/replay-recording"


def test_a_run_is_replayed_to_the_same_decisions(guest):
    path = guest.folder / "recording.csv"
    guest.start("--record", str(path), available=900 * MIB, free=800 * MIB)
    time.sleep(0.5)
    for _ in range(30):
        guest.machine.use(25 * MIB)
        time.sleep(0.04)
    guest.bridge.wait("alarm")
    guest.machine.plug(256 * MIB)
    time.sleep(0.5)
    assert guest.stop() == 0

    with path.open(encoding="ascii") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 20 and not any(int(row["n_dropped"]) for row in rows)
    assert any(int(row["demand.rose"]) for row in rows)
    assert int(rows[-1]["total_bytes"]) == guest.machine.total
    done = subprocess.run([REPLAY, path], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0 and f"{len(rows)} samples" in done.stdout, done.stdout + done.stderr

    # And a decision that is not the recorded one is seen.
    lines = path.read_text(encoding="ascii").splitlines()
    lines.remove(lines[len(lines) // 2])
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    assert subprocess.run([REPLAY, path], capture_output=True, timeout=20, check=False).returncode != 0


def test_a_file_that_cannot_be_opened_stops_the_start(guest):
    guest.start("--record", "/no/such/folder/file", wait=False)
    assert guest.process.wait(timeout=10) == 1
    guest.process = None
    assert "/no/such/folder/file" in guest.log_text()
