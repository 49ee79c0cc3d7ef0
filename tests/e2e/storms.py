# SPDX-License-Identifier: Apache-2.0
"""OOM storms: a guest that cannot grow fills up until the OOM killer ends it, over and over, with no pause between."""
from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from tests.guest.config import MIB
from tests.guest.guest import Guest
from tests.guest.host import Host
from tests.guest.wait import wait_for

STORM_BYTES = 2048 * MIB  # more than there is
GAP_MOST_S = 2.0


@dataclass(frozen=True)
class Outcome:
    storms: int
    kills: int                # that the kernel counted
    gaps_s: tuple[float, ...] # between two reports, by the host's clock, longest first
    seconds: float

    @property
    def gap_s(self) -> float:
        return self.gaps_s[0]


def run(vm: Guest, host: Host, storms: int) -> Outcome:
    """Ends in an assertion if the agent does not outlive a storm."""
    pid = vm.check("cat /run/agent.pid").strip()
    host.wait("report", 20)
    kills, began = vm.sample().oom_kills, time.monotonic()
    for number in range(1, storms + 1):
        so_far = vm.sample().oom_kills
        vm.check(f"load storm {STORM_BYTES} </dev/null >&5 2>&5 3>&- &", timeout=60)
        wait_for(f"storm {number} ends", lambda: vm.sample().oom_kills > so_far and vm.sample().phase == "killed", 60, 0.02)
        assert vm.run(f"kill -0 {pid}")[0] == 0, f"the agent did not survive storm {number}"
    host.wait("report", 10, since=time.monotonic())
    times = [frame.at for frame in host.of("report", since=began)]
    gaps = sorted((after - before for before, after in zip(times, times[1:])), reverse=True)
    return Outcome(storms, vm.sample().oom_kills - kills, tuple(gaps), time.monotonic() - began)


def survives(vm: Guest, build: Path, storms: int) -> None:
    """The agent lives, and the host hears of it at least every two seconds."""
    with Host(vm.paths.channel, build) as host:
        seen = run(vm, host, storms)
    print(f"{seen.storms} storms in {seen.seconds:.0f} s, {seen.kills} kills; of {len(seen.gaps_s)} gaps between reports "
          f"the longest: {', '.join(f'{gap:.2f}' for gap in seen.gaps_s[:3])} s")
    assert seen.kills >= storms
    assert seen.gap_s <= GAP_MOST_S
