# SPDX-License-Identifier: Apache-2.0
"""Growth past 1 GiB of virtio-mem in a kernel that onlines nothing: where it stops dead without an agent."""
from __future__ import annotations

from tests.e2e.conftest import GuestFactory
from tests.e2e.served import assert_growth_agrees, grows, wait_held
from tests.guest.bridge import Bridge
from tests.guest.config import GIB, MIB


def test_grow_past_1gib(bridge: Bridge, guest: GuestFactory) -> None:
    vm = guest(auto_online="offline")  # whatever the kernel was built with
    assert vm.check("cat /sys/devices/system/memory/auto_online_blocks") == "offline\n"
    vm.start_load(2 * GIB, 100)
    wait_held(vm, 60)
    assert_growth_agrees(bridge, vm)
    assert vm.virtio_mem_bytes() > 1536 * MIB
    assert all(d.actuator == "virtio-mem" for d in grows(bridge, vm))
    offline = vm.check("grep -l offline /sys/devices/system/memory/memory*/state | wc -l")
    assert offline == "0\n"
    # What is plugged must be able to go again, so the most of it is not kernel memory.
    zones = vm.check("cat /sys/devices/system/memory/memory*/valid_zones").split()
    assert zones.count("Movable") > zones.count("Normal")
