# SPDX-License-Identifier: Apache-2.0
"""P2: CPU of one sample: read the kernel's files, estimate, encode a report, write it to the host.

Two kinds of look. "calm" is what the agent reads when nothing happens: meminfo and memory PSI. "full" is a look of a guest
that is short: vmstat and io PSI as well. earlyoom reads meminfo. The bare loop reads meminfo and memory PSI (calm), and
vmstat (full).

Paced at 20 ms, the fastest that the agent ever looks, since caches are cold after a pause and a daemon always pauses;
back to back only against the bare loop, where the kernel's part is the same and ours is what is left.
"""
from __future__ import annotations

from functools import partial

from tests.bench import peers
from tests.bench.result import Result, compare
from tests.bench.settings import CannotMeasure, Settings, interleave

NAME = "p2-cpu"
PEERS = ("earlyoom",)
PAUSE_USEC = 20_000
SAMPLES, WARM = 60, 10
SAMPLES_BACK_TO_BACK = 1000
LOOKS = ("calm", "full")


def run(settings: Settings) -> list[Result]:
    paced = interleave({
        "earlyoom": partial(peers.earlyoom, settings, SAMPLES, WARM, PAUSE_USEC),
        **{f"ours {look}": partial(peers.agent, settings, SAMPLES, WARM, PAUSE_USEC, look) for look in LOOKS},
        **{f"floor {look}": partial(peers.floor, settings, SAMPLES, WARM, PAUSE_USEC, look) for look in LOOKS},
    }, settings.rounds)
    hot = interleave({
        **{f"ours {look}": partial(peers.agent, settings, SAMPLES_BACK_TO_BACK, WARM, 0, look) for look in LOOKS},
        **{f"floor {look}": partial(peers.floor, settings, SAMPLES_BACK_TO_BACK, WARM, 0, look) for look in LOOKS},
    }, settings.rounds)
    _check_looks(paced)
    _check_looks(hot)

    def usec(rounds: list[dict[str, int]]) -> list[float]:
        return [figures["cpu_nsec"] / figures["samples"] / 1000 for figures in rounds]

    results = []
    for look in LOOKS:
        ours = usec(paced[f"ours {look}"])
        results += [
            compare(NAME, f"earlyoom, {look}", ours, usec(paced["earlyoom"]), 0.5, "us/sample"),
            compare(NAME, f"bare pread loop, {look}", ours, usec(paced[f"floor {look}"]), 1.4, "us/sample"),
            compare(NAME, f"bare pread loop, {look}, back to back", usec(hot[f"ours {look}"]),
                    usec(hot[f"floor {look}"]), 1.4, "us/sample"),
        ]
    return results


def _check_looks(rounds: dict[str, list[dict[str, int]]]) -> None:
    """A calm look that read vmstat, or a full one that did not, would be another figure under this name."""
    for figures in rounds["ours full"]:
        if figures["vmstat_reads"] != figures["samples"]:
            raise CannotMeasure("a full look did not read vmstat")
    for figures in rounds["ours calm"]:
        if figures["vmstat_reads"] > 1 + figures["samples"] // 20:
            raise CannotMeasure(f"this machine is not calm: {figures['vmstat_reads']} of {figures['samples']} looks read vmstat")
