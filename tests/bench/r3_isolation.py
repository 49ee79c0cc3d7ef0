# SPDX-License-Identifier: Apache-2.0
"""R3: guests that send as fast as their sockets take it, among 1,000: the others' alarms, and what it costs the host."""
from __future__ import annotations

import time

from tests.bench.fleet import Fleet, new_fleet
from tests.bench.result import Result, absolute, compare
from tests.bench.settings import Settings
from tests.farm.farm import cpu_nsec, resident_kib

NAME = "r3-isolation"
PEERS = ()
VMS, LOUD = 1000, 100
CORE_PERCENT, LOUD_KIB = 15.0, 64.0


def run(settings: Settings) -> list[Result]:
    with new_fleet(settings, VMS) as fleet:
        fleet.start()
        before = resident_kib(fleet.bridge.pid)
        calm = _core_percent(fleet)
        _flood(fleet, 1)
        busy = _core_percent(fleet)
        seen = fleet.p99_while(settings, {"quiet": lambda: _flood(fleet, 0), "one": lambda: _flood(fleet, 1),
                                          "many": lambda: _flood(fleet, LOUD)}, n=VMS - LOUD, first=LOUD)
        grown = max(resident_kib(fleet.bridge.pid) - before, 0)
    return [
        compare(NAME, "p99 in quiet, one floods", seen["one"], seen["quiet"], 1.10, "us"),
        absolute(NAME, "of a core more, one floods", max(busy - calm, 0.0), CORE_PERCENT, "% of core"),
        compare(NAME, f"p99 in quiet, {LOUD} flood", seen["many"], seen["quiet"], 1.5, "us"),
        absolute(NAME, f"resident per loud VM, of {LOUD}", grown / LOUD, LOUD_KIB, "KiB"),
    ]


def _flood(fleet: Fleet, loud: int) -> None:
    fleet.farm.agents("honest", LOUD)
    if loud:
        fleet.farm.agents("flood", loud)


def _core_percent(fleet: Fleet) -> float:
    time.sleep(2)
    begin, spent = time.monotonic(), cpu_nsec(fleet.bridge.pid)
    time.sleep(5)
    return (cpu_nsec(fleet.bridge.pid) - spent) / (time.monotonic() - begin) / 1e7
