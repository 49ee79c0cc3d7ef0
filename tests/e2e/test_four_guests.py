# SPDX-License-Identifier: Apache-2.0
"""Four guests of 256 MiB under a budget that cannot hold what all of them might want: peaks at different times are all
served, and a guest that talks nonsense or nothing harms nobody.

The sum of what QEMU says the guests have is read again and again meanwhile, and never exceeds the budget."""
from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tests.e2e.conftest import BridgeFactory, GuestFactory
from tests.guest.bridge import Bridge
from tests.guest.config import MIB
from tests.guest.guest import Guest
from tests.guest.wait import wait_for

BOOT_MIB = 256
LOAD_BYTES = 340 * MIB  # more than an equal share of either budget leaves to programs
POLICY = "Max=1G\n"
CONFIG = """
[Host]
Budget={budget}M
PressureLimit=off
[Shrink]
CalmBeforeShrink=3s
HoldAfterGrow=4s
HoldAfterRefusal=2s
[Resize]
# Four emulated guests share two cores: a guest that is not run for a while is not stuck.
Silence=2s
[Metrics]
Listen=off
[Audit]
File=off
"""


class Host:
    """The guests of one bridge. until() watches the budget while it waits."""

    def __init__(self, bridge: Bridge, guests: list[Guest], budget_mib: int) -> None:
        self.bridge = bridge
        self.guests = guests
        self.budget_bytes = budget_mib * MIB
        self.most_bytes = 0

    def look(self) -> None:
        """Two readings each, the smaller counts: they are not of one instant, and memory may just have changed hands."""
        readings = [[guest.size_bytes() for guest in self.guests] for _ in range(2)]
        self.most_bytes = max(self.most_bytes, sum(map(min, zip(*readings, strict=True))))
        assert self.most_bytes <= self.budget_bytes, f"{[size // MIB for size in readings[1]]} MiB"

    def until(self, what: str, condition: Callable[[], bool], timeout: float) -> None:
        def watched() -> bool:
            self.look()
            return condition()
        wait_for(what, watched, timeout, interval=0.05)

    def rules(self, *names: str) -> set[str]:
        return {str(d.raw["rule"]) for name in names for d in self.bridge.decisions(name)}

    def peak(self, guest: Guest) -> None:
        """A load, until it does not ramp any more."""
        guest.start_load(LOAD_BYTES, 25)
        self.until("the peak is over", lambda: guest.sample().phase != "ramp", 60)

    def relieve(self, guest: Guest) -> None:
        guest.free_load()
        self.until("the load is gone", lambda: guest.load_phase() == "free", 10)


def begin(new_bridge: BridgeFactory, lone_guest: GuestFactory, folder: Path, budget_mib: int,
          policies: dict[str, str]) -> Host:
    bridge = new_bridge(**policies)
    (folder / "etc" / "bridge.conf").write_text(CONFIG.format(budget=budget_mib))
    bridge.start()
    guests = [lone_guest(name, memory_mib=BOOT_MIB, virtio_mem_bytes=768 * MIB) for name in policies]
    for name in policies:
        bridge.wait_agent(name)
    return Host(bridge, guests, budget_mib)


def assert_held(guest: Guest) -> None:
    sample = guest.sample()
    assert sample.phase == "hold" and sample.oom_kills == 0, f"{guest.config.name}: {sample}"


def test_staggered_peaks(new_bridge: BridgeFactory, lone_guest: GuestFactory, bare_guest: GuestFactory,
                         folder: Path) -> None:
    host = begin(new_bridge, lone_guest, folder, 1536, {name: POLICY for name in ("day", "night", "c", "d")})
    day, night, liar, silent = host.guests

    host.peak(day)
    assert_held(day)
    host.relieve(day)
    grown = day.size_bytes()
    host.peak(night)
    assert_held(night)
    host.until("the day's memory is the night's", lambda: day.size_bytes() < grown, 20)
    assert host.rules("day") & {"shrink-donor", "shrink-scarcity"}
    host.relieve(night)

    # The same load in an equal and fixed share.
    alone = bare_guest("alone", memory_mib=1536 // 4, virtio_mem_bytes=0, balloon=False)
    alone.start_load(LOAD_BYTES, 100)
    wait_for("its end", lambda: alone.sample().phase not in ("idle", "ramp"), 30)
    assert alone.sample().phase == "killed"
    alone.stop()

    # One talks nonsense, one does not talk: neither moves, and the others are served.
    liar.check("stop_agent KILL")
    liar.check("{ while :; do head -c 60000 /dev/urandom; usleep 200000; done >$(port org.memtide.agent.0); } 2>/dev/null &")
    silent.check("kill -STOP $(cat /run/agent.pid)")
    sizes = liar.size_bytes(), silent.size_bytes()
    time.sleep(4)
    host.peak(day)
    assert_held(day)
    assert (liar.size_bytes(), silent.size_bytes()) == sizes
    assert host.bridge.running and int(host.bridge.status("c")["frames_garbled"]) > 0
