# SPDX-License-Identifier: Apache-2.0
"""P9: a bridge with 10,000 VMs that report once a second, on one core: CPU against a loop that only reads, memory,
cost per report against 1,000 VMs, and how soon an alarm among them is a command."""
from __future__ import annotations

from tests.bench.fleet import Fleet, largest, new_fleet, p99
from tests.bench.result import Result, absolute, compare
from tests.bench.settings import Settings, interleave
from tests.farm.farm import resident_kib

NAME = "p9-scale"
PEERS = ()
MANY, FEW = 10_000, 1_000
SECONDS, SECONDS_QUICK = 10.0, 4.0
ALARMS_PER_SEC = 20
CORE_SHARE, VM_KIB, DECISION_USEC = 0.10, 4.0, 5_000.0


def run(settings: Settings) -> list[Result]:
    many, seconds = largest(MANY // 5 if settings.quick else MANY), SECONDS_QUICK if settings.quick else SECONDS
    settings.say(f"{many} VMs" + ("" if many == MANY else ", as many as there are descriptors for, or --quick"))
    kib: list[float] = []
    late: list[float] = []

    def ours(fleet: Fleet) -> float:
        fleet.start()
        usec = fleet.usec_per_report(seconds)
        if fleet.farm.n == many:
            kib.append(resident_kib(fleet.bridge.pid) / many)
            late.append(p99(fleet.latencies_usec(seconds, ALARMS_PER_SEC)))
        fleet.stop()
        return usec

    def answering() -> float:
        return p99(crowd.floor_latencies_usec(seconds, ALARMS_PER_SEC))

    rounds = max(settings.rounds // 3, 2)
    with new_fleet(settings, many) as crowd, new_fleet(settings, FEW) as few:
        seen = interleave({"many": lambda: ours(crowd), "few": lambda: ours(few),
                           "floor": lambda: crowd.floor_usec_per_report(seconds), "answering": answering}, rounds)
    share = max(seen["many"]) * many / 1e6
    return [
        compare(NAME, "bare epoll loop", seen["many"], seen["floor"], 3.0, "us/report"),
        absolute(NAME, "a tenth of a core", 100 * share, 100 * CORE_SHARE, "% of core"),
        absolute(NAME, "resident per VM", max(kib), VM_KIB, "KiB"),
        absolute(NAME, "alarm to command, p99", max(late) / 1000, DECISION_USEC / 1000, "ms"),
        compare(NAME, "p99 of a bare loop that answers", [usec / 1000 for usec in late],
                [usec / 1000 for usec in seen["answering"]], None, "ms"),
        compare(NAME, f"the same with {FEW} VMs", seen["many"], seen["few"], 1.25, "us/report"),
    ]
