# SPDX-License-Identifier: Apache-2.0
"""P10: what the bridge adds to a QMP command, against QEMU's own round trip; and whether one monitor that never answers
and one that answers after 5 s are felt by the 998 others, as a client that asks one after the other feels them."""
from __future__ import annotations

import contextlib
import json
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tests.bench import peers
from tests.bench.fleet import Fleet, cores, new_fleet, place
from tests.bench.result import Result, compare
from tests.bench.settings import CannotMeasure, Settings, interleave
from tests.farm.farm import NICE
from tests.guest import process

NAME = "p10-qmp"
PEERS = ()
VMS = 1000
TURNS = 200
REPLY_TIMEOUT_S = 2.0  # the bridge's own


def run(settings: Settings) -> list[Result]:
    with new_fleet(settings, VMS) as fleet, _paused_qemu() as monitor:
        fleet.start()
        added = interleave({"ours": lambda: _added_usec(fleet),
                            "qemu": lambda: _round_trip_usec(settings, monitor)}, settings.rounds)

        def disturb(loud: bool) -> None:
            fleet.farm.monitors("hung" if loud else "obedient", 1, 0)
            fleet.farm.monitors("slow" if loud else "obedient", 1, 1)

        seen = fleet.quiet_and_not(settings, disturb, VMS - 2, 2)
        fleet.stop()
        disturb(True)
        stall = _sequential_usec(fleet)
    return [
        compare(NAME, "QEMU's round trip, one client", added["ours"], added["qemu"], 0.25, "us"),
        compare(NAME, "p99 with all monitors healthy", seen["loud"], seen["quiet"], 1.05, "us"),
        compare(NAME, "one after the other, 2 of 20 hang", [median(seen["loud"])], [stall], None, "us"),
    ]


def _added_usec(fleet: Fleet) -> float:
    """Median of the bridge's own stamps: the alarm was there, the command was written. Sockets and wake-ups aside."""
    fleet.latencies_usec(0.5, TURNS, 100)
    stamps = [decision for i in range(0, 100, 5)
              for decision in json.loads(fleet.bridge.ctl("explain", f"vm{i:05}", "--json"))["decisions"]]
    return median(decision["request_usec"] - decision["alarm_usec"] for decision in stamps if decision["request_usec"])


def _round_trip_usec(settings: Settings, monitor: Path) -> float:
    client: list[str | Path] = ["nice", "-n", NICE, "taskset", "-c", str(cores()[0])]
    return float(peers.last_json([*client, settings.bench_program("bench-qmp"), monitor, str(TURNS)], 60)["median_usec"])


@contextlib.contextmanager
def _paused_qemu() -> Iterator[Path]:
    """A machine that never runs: its monitor has nothing to wait for."""
    folder = Path(tempfile.mkdtemp(prefix="mtq-"))
    monitor = folder / "qmp"
    child = process.start([peers.find("qemu-system-x86_64"), "-S", "-machine", "q35", "-accel", "tcg", "-m",
                           "256M,maxmem=4G", "-display", "none", "-nodefaults",
                           "-object", "memory-backend-ram,id=m,size=1G", "-device", "virtio-mem-pci,id=vmem0,memdev=m",
                           "-qmp", f"unix:{monitor},server=on,wait=off"], folder / "log")
    try:
        deadline = time.monotonic() + 20
        while not monitor.exists():
            if child.poll() is not None or time.monotonic() > deadline:
                raise CannotMeasure("QEMU did not start: " + (folder / "log").read_text(encoding="utf-8")[-300:])
            time.sleep(0.05)
        place(child.pid, cores()[-1])
        yield monitor
    finally:
        process.stop(child)
        shutil.rmtree(folder, ignore_errors=True)


def _sequential_usec(fleet: Fleet) -> float:
    """A turn over 20 monitors, of which the first two hang and are slow."""
    begin = time.monotonic()
    for i in range(20):
        with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(TimeoutError):
            client.settimeout(REPLY_TIMEOUT_S)
            client.connect(str(fleet.bridge.discovery / f"vm{i:05}.qmp"))
            client.recv(4096)
            client.sendall(b'{"execute":"qmp_capabilities","id":1}\n{"execute":"query-status","id":2}\n')
            client.recv(4096)
    return 1e6 * (time.monotonic() - begin)
