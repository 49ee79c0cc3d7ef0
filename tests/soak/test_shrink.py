# SPDX-License-Identifier: Apache-2.0
"""Shrinking by probing: an idle guest does not feel it, and one that starts to work keeps what it needs.

The stall is the kernel's own, by the independent sampler. The table is left in BUILD/soak-shrink.md.
"""
from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import GuestFactory
from tests.e2e.served import shrinks, wait_held
from tests.guest.bridge import Bridge
from tests.guest.config import GIB, MIB
from tests.guest.guest import Guest
from tests.guest.wait import wait_for
from tests.soak.table import Table

STALL_MOST_MS = 10.0
LOAD_BYTES = 1 * GIB
CACHES = {"empty cache": 0, "cold cache": 900 * MIB}
COMEBACKS = {"100 MiB/s": f"load ramp {LOAD_BYTES} 100 0", "300 MiB/s": f"load ramp {LOAD_BYTES} 300 0",
             "fork storm": f"load fork {LOAD_BYTES} 60 1500 5"}


@pytest.fixture(scope="module")
def table(build: Path) -> Table:
    return Table(build / "soak-shrink.md", ("guest", "given back, MiB", "steps", "stall, ms", "ms per step", "OOM kills"))


def relieved(guest: GuestFactory, cache_bytes: int) -> Guest:
    """It has grown, its load has gone, and perhaps files were read since."""
    vm = guest(disk_bytes=8 * GIB)
    vm.start_load(LOAD_BYTES, 200)
    wait_held(vm, 60)
    vm.free_load()
    wait_for("the load is gone", lambda: vm.load_phase() == "free", 10)
    if cache_bytes:
        vm.check(f"reader stream /dev/vda 0 {cache_bytes}", timeout=60)
    return vm


@pytest.mark.parametrize("cache", CACHES)
def test_idle_guest_does_not_feel_it(bridge: Bridge, guest: GuestFactory, table: Table, cache: str) -> None:
    vm = relieved(guest, CACHES[cache])
    grown, before = vm.size_bytes(), vm.sample()
    wait_for("a shrink has begun", lambda: shrinks(bridge, vm), 60)
    wait_for("half of the growth is back", lambda: grown - vm.size_bytes() >= (grown - 512 * MIB) // 2, 240)
    wait_for("it rests", lambda: all(d.result != "pending" for d in shrinks(bridge, vm)), 120)
    after, taken = vm.sample(), shrinks(bridge, vm)
    steps = sum(d.number("n_steps") for d in taken)
    stall_ms = (after.stall_some_usec - before.stall_some_usec) / 1000
    table.add(cache, (grown - vm.size_bytes()) // MIB, steps, f"{stall_ms:.1f}", f"{stall_ms / steps:.2f}", after.oom_kills)
    print(f"{cache}: {(grown - vm.size_bytes()) // MIB} MiB in {steps} steps, {stall_ms:.1f} ms of stall, the bridge heard "
          f"{[round(d.number('guest_stall_usec') / 1000, 1) for d in taken]} ms; {[d.result for d in taken]}")
    assert after.oom_kills == 0
    assert stall_ms / steps <= STALL_MOST_MS


@pytest.mark.parametrize("comeback", COMEBACKS)
def test_who_starts_to_work_keeps_what_it_needs(bridge: Bridge, guest: GuestFactory, comeback: str) -> None:
    vm = relieved(guest, 0)
    grown = vm.size_bytes()
    wait_for("a shrink is under way", lambda: grown - vm.size_bytes() >= 256 * MIB, 60)
    before = vm.sample()
    vm.check(f"{COMEBACKS[comeback]} </dev/null >&5 2>&5 3>&- &")
    wait_for("the load holds", lambda: vm.sample().phase == "hold" and vm.sample().load_bytes >= LOAD_BYTES * 9 // 10, 60)
    after = vm.sample()
    print(f"{comeback}: {(after.stall_some_usec - before.stall_some_usec) / 1000:.1f} ms of stall, least available "
          f"{min(s.available_bytes for s in vm.samples.all if s.t_usec > before.t_usec) // MIB} MiB, "
          f"{[d.result for d in shrinks(bridge, vm)]}")
    assert after.oom_kills == 0
    assert [d for d in shrinks(bridge, vm) if d.result not in ("done", "pending")], "the shrink was stopped"
