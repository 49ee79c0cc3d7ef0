# SPDX-License-Identifier: Apache-2.0
"""A run of the agent is recorded, and replayed to the same decisions, on growth and on what is given back."""
from __future__ import annotations

import csv
import time
from collections import Counter
from pathlib import Path

from test_resize import settle, shrink

MIB = 1 << 20


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="ascii") as file:
        return list(csv.DictReader(file))


def test_a_run_is_replayed_to_the_same_decisions(guest):
    """Reclaimed for, offered, taken in two parts; an offer that the workload takes back; a refusal; growth; a lost host."""
    path, bridge = guest.folder / "recording.csv", guest.bridge
    guest.start("--record", str(path), free=20 * MIB)
    machine = guest.machine
    settle(guest)
    machine.hold_reclaim()
    shrink(guest)
    time.sleep(0.3)
    machine.release_reclaim(300 * MIB)
    bridge.wait("shrink_offer", accept=lambda o: o.offered_bytes == 64 * MIB)
    for taken in (32, 64):
        machine.plug(-32 * MIB)
        bridge.wait("resize_confirm", accept=lambda c, taken=taken: c.delta_bytes == -taken * MIB)
    settle(guest)
    shrink(guest, number=10)
    bridge.wait("shrink_offer", accept=lambda o: o.id == 10 and o.offered_bytes > 0)
    machine.use(200 * MIB)
    bridge.wait("alarm", accept=lambda a: a.veto_id == 10)
    shrink(guest, number=11)
    bridge.wait("shrink_offer", accept=lambda o: o.id == 11)
    deadline_usec = bridge.now_usec() + 3_000_000
    bridge.send("offline_range", id=12, address=0x40 * 128 * MIB, bytes=128 * MIB, deadline_usec=deadline_usec)
    bridge.wait("command_result", accept=lambda r: r.id == 12)
    for _ in range(10):
        machine.use(40 * MIB)
        time.sleep(0.03)
    bridge.wait("alarm", accept=lambda a: a.veto_id == 0)
    bridge.send("grow_notice", id=13, bytes=256 * MIB, deadline_usec=bridge.now_usec() + 3_000_000)
    machine.plug(256 * MIB)
    bridge.wait("resize_confirm", accept=lambda c: c.id == 13 and c.delta_bytes == 256 * MIB)
    bridge.disconnect()
    time.sleep(0.3)
    assert guest.stop() == 0

    rows = read(path)
    assert not any(int(row["n_dropped"]) for row in rows)
    assert int([row for row in rows if row["what"] == "sample"][-1]["total_bytes"]) == machine.total
    what = Counter(row["what"] for row in rows)
    assert what["ask"] == 3 and {"configure", "cut", "freed", "learn", "range", "grow-notice", "reset"} <= set(what), what
    verdicts = {row["plan.verdict"] for row in rows}
    assert {"reclaim", "waiting", "offered", "moved", "confirmed", "veto", "refused"} <= verdicts, verdicts
    veto = next(row for row in rows if row["plan.verdict"] == "veto")
    assert (veto["plan.evidence"], int(veto["plan.evidence_amount"])) == ("growth", 200 * MIB)
    done = guest.run("replay", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    for words in (" urgency ", "shrink 10 step 1: vetoed, growth of 209715200", "shrink 11 step 1: refused for held",
                  "growth 13 of 256M comes: yes", "the session is over"):
        assert words in done.stdout, done.stdout

    # What is recorded of a shrink is all that its verdicts hang on: without the end of the reclaim there is another one.
    lines = [line for line in path.read_text(encoding="ascii").splitlines() if ",freed," not in line]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    done = guest.run("replay", str(path))
    assert done.returncode == 1 and "plan.verdict" in done.stdout, done.stdout + done.stderr


def test_a_file_that_cannot_be_opened_stops_the_start(guest):
    guest.start("--record", "/no/such/folder/file", wait=False)
    assert guest.process.wait(timeout=10) == 1
    guest.process = None
    assert "/no/such/folder/file" in guest.log_text()
