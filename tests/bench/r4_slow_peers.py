# SPDX-License-Identifier: Apache-2.0
"""R4: 500 guests that send a byte at a time and 50 monitors that never speak, among 1,000: the others' alarms, and
descriptors left behind."""
from __future__ import annotations

import time

from tests.bench.fleet import new_fleet
from tests.bench.result import Result, absolute, compare
from tests.bench.settings import Settings
from tests.farm.farm import descriptors

NAME = "r4-slow-peers"
PEERS = ()
VMS, SLOW, DEAD = 1000, 500, 50


def run(settings: Settings) -> list[Result]:
    with new_fleet(settings, VMS) as fleet:
        fleet.start()
        before = descriptors(fleet.bridge.pid)

        def disturb(loud: bool) -> None:
            fleet.farm.agents("slowloris" if loud else "honest", SLOW)
            fleet.farm.monitors("dead" if loud else "obedient", DEAD)

        seen = fleet.quiet_and_not(settings, disturb, VMS - SLOW, SLOW)
        disturb(False)
        fleet.farm.wait("all VMs to be back", 30, sessions=VMS, monitors=VMS)
        time.sleep(1)
        leaked = max(descriptors(fleet.bridge.pid) - before, 0)
    return [
        compare(NAME, "p99 in quiet", seen["loud"], seen["quiet"], 1.05, "us"),
        absolute(NAME, "descriptors left behind", leaked, 0, "fds"),
    ]
