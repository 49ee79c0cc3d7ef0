# SPDX-License-Identifier: Apache-2.0
"""The bridge is killed and started again: guests are found anew, and what it knew it reads from them."""
from __future__ import annotations

from tests.e2e.conftest import GuestFactory
from tests.e2e.served import assert_growth_agrees, grows, wait_held
from tests.guest.bridge import Bridge
from tests.guest.config import MIB
from tests.guest.wait import wait_for


def test_serves_again_after_a_kill(bridge: Bridge, guest: GuestFactory) -> None:
    vm = guest()
    bridge.kill()
    bridge.start()
    bridge.wait_agent("vm")
    vm.start_load(1 * 1024 * MIB, 100)
    wait_held(vm, 40)
    assert_growth_agrees(bridge, vm)


def test_killed_mid_ramp(bridge: Bridge, guest: GuestFactory) -> None:
    vm = guest()
    vm.start_load(1200 * MIB, 60)
    wait_for("the ramp is under way", lambda: vm.sample().load_bytes > 500 * MIB, 30, interval=0.05)
    grown = vm.size_bytes()
    bridge.kill()
    bridge.start()
    wait_held(vm, 40)
    assert vm.size_bytes() > grown
    # It counts from what QEMU says, not from what it once asked for: no grow may start from zero again.
    assert all(d.number("size_bytes") >= grown for d in grows(bridge, vm))
