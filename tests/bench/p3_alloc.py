# SPDX-License-Identifier: Apache-2.0
"""P3: nothing is allocated, mapped or faulted in while the agent samples, and it does not grow."""
from __future__ import annotations

from tests.bench import peers
from tests.bench.result import Result, absolute
from tests.bench.settings import Settings

NAME = "p3-alloc"
PEERS = ("earlyoom",)
WARM = 10_000
RESCAN_USEC = 1_000_000  # scores of looks over all memory blocks in one run


def run(settings: Settings) -> list[Result]:
    settings.say(f"{settings.samples} samples, back to back")
    ours = peers.agent(settings, settings.samples, min(WARM, settings.samples), 0, "full", RESCAN_USEC)
    theirs = peers.earlyoom(settings, min(settings.samples, 20_000), 1000, 0)
    settings.say(f"earlyoom in {theirs['samples']}: {theirs['allocations']} allocations, "
                 f"{theirs['major_faults']} major faults")
    return [
        absolute(NAME, "none allowed (earlyoom: 0 too)" if not theirs["allocations"] else "none allowed",
                 ours["allocations"], 0, "calls"),
        absolute(NAME, "none allowed", ours["major_faults"], 0, "majflt"),
        absolute(NAME, "none allowed", ours["mapped_kib"], 0, "KiB mapped"),
        absolute(NAME, "none allowed", max(ours["rss_end_kib"] - ours["rss_begin_kib"], 0), 0, "KiB RSS"),
    ]
