# SPDX-License-Identifier: Apache-2.0
"""P2: CPU of one sample: read meminfo, vmstat and PSI, estimate, encode a report, write it to the host.

Paced at 20 ms, the fastest that the agent ever looks, since caches are cold after a pause and a daemon always pauses;
back to back only against the bare loop, where the kernel's part is the same and ours is what is left.
"""
from __future__ import annotations

from functools import partial

from tests.bench import peers
from tests.bench.result import Result, compare
from tests.bench.settings import Settings, interleave

NAME = "p2-cpu"
PEERS = ("earlyoom",)
PAUSE_USEC = 20_000
SAMPLES, WARM = 60, 10
SAMPLES_BACK_TO_BACK = 1000


def run(settings: Settings) -> list[Result]:
    paced = interleave({
        "ours": partial(peers.agent, settings, SAMPLES, WARM, PAUSE_USEC),
        "earlyoom": partial(peers.earlyoom, settings, SAMPLES, WARM, PAUSE_USEC),
        "floor": partial(peers.floor, settings, SAMPLES, WARM, PAUSE_USEC),
    }, settings.rounds)
    hot = interleave({
        "ours": partial(peers.agent, settings, SAMPLES_BACK_TO_BACK, WARM, 0),
        "floor": partial(peers.floor, settings, SAMPLES_BACK_TO_BACK, WARM, 0),
    }, settings.rounds)

    def usec(rounds: list[dict[str, int]]) -> list[float]:
        return [figures["cpu_nsec"] / figures["samples"] / 1000 for figures in rounds]

    return [
        compare(NAME, "earlyoom, paced", usec(paced["ours"]), usec(paced["earlyoom"]), 0.5, "us/sample"),
        compare(NAME, "bare pread loop, paced", usec(paced["ours"]), usec(paced["floor"]), 1.4, "us/sample"),
        compare(NAME, "bare pread loop, back to back", usec(hot["ours"]), usec(hot["floor"]), 1.4, "us/sample"),
    ]
