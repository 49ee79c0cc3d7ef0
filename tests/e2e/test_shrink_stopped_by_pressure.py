# SPDX-License-Identifier: Apache-2.0
"""Shrink is a conversation: it gives back what the guest can spare, and stops when the guest needs it again."""
from __future__ import annotations

from tests.e2e.conftest import GuestFactory
from tests.e2e.served import grows, shrinks, wait_held
from tests.guest.bridge import Bridge
from tests.guest.config import GIB, MIB
from tests.guest.guest import Guest
from tests.guest.wait import stays, wait_for


def grown_and_relieved(guest: GuestFactory) -> Guest:
    vm = guest()
    vm.start_load(1 * GIB, 100)
    wait_held(vm, 40)
    vm.free_load()
    wait_for("the load is gone", lambda: vm.load_phase() == "free", 10)
    return vm


def test_shrinks_and_comes_to_rest(bridge: Bridge, guest: GuestFactory) -> None:
    vm = grown_and_relieved(guest)
    grown = vm.size_bytes()
    gained = grown - 512 * MIB
    wait_for("a shrink has begun", lambda: shrinks(bridge, vm), 30)
    n_grows = len(grows(bridge, vm))
    wait_for("80 % is back with the host", lambda: grown - vm.size_bytes() >= gained * 8 // 10, 180)
    wait_for("it is at rest", lambda: all(d.result != "pending" for d in bridge.decisions("vm")), 60)
    given = -sum(d.confirmed_bytes for d in shrinks(bridge, vm))
    assert abs(given - (grown - vm.size_bytes())) <= 16 * MIB
    stays("nothing grows back", lambda: len(grows(bridge, vm)) == n_grows, 10, interval=1)


def test_shrink_stopped_by_pressure(bridge: Bridge, guest: GuestFactory) -> None:
    vm = grown_and_relieved(guest)
    grown = vm.size_bytes()
    wait_for("a shrink is under way", lambda: grown - vm.size_bytes() >= 256 * MIB, 60)

    vm.start_load(1 * GIB, 100)
    wait_held(vm, 40)
    broken_off = [d for d in shrinks(bridge, vm) if d.result not in ("done", "pending")]
    assert broken_off, "the shrink was stopped, and it is on record why"
    assert vm.size_bytes() > 1 * GIB
