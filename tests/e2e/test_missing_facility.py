# SPDX-License-Identifier: Apache-2.0
"""A kernel without PSI: named in the agent's log, on the host and to its operator, and served all the same."""
from __future__ import annotations

from tests.e2e.conftest import GuestFactory
from tests.e2e.served import assert_growth_agrees, wait_held
from tests.guest.bridge import Bridge
from tests.guest.config import MIB


def test_guest_without_psi_is_served(bridge: Bridge, guest: GuestFactory) -> None:
    vm = guest(cmdline=("psi=0",))
    assert vm.run("cat /proc/pressure/memory")[0] != 0
    lacks = bridge.status("vm")["missing"]
    assert "psi (ENOENT)" in lacks and "psi-trigger (ENOENT)" in lacks
    assert "psi" in vm.paths.agent_log.read_text().lower()
    assert "does without psi" in bridge.log.read_text()
    assert "psi (ENOENT)" in bridge.ctl("status", "vm")

    vm.start_load(1024 * MIB, 100)
    wait_held(vm, 60)
    assert_growth_agrees(bridge, vm)
