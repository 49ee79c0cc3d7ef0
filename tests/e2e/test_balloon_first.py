# SPDX-License-Identifier: Apache-2.0
"""Growth takes back the balloon before it plugs: it is the faster, and it is the guest's own memory."""
from __future__ import annotations

from tests.e2e.conftest import GuestFactory
from tests.e2e.served import grows, wait_held, wait_settled
from tests.guest.bridge import Bridge
from tests.guest.config import MIB
from tests.guest.wait import wait_for


def test_balloon_first(bridge: Bridge, guest: GuestFactory) -> None:
    vm = guest(memory_mib=1536)
    vm.set_balloon(1024 * MIB)
    wait_for("the balloon holds 1 GiB", lambda: vm.balloon_bytes() == 1024 * MIB, 20)
    wait_for("the guest sees it", lambda: vm.sample().balloon_bytes == 1024 * MIB, 5)

    vm.start_load(700 * MIB, 100)
    wait_held(vm, 30)
    wait_settled(bridge, vm)
    first = grows(bridge, vm)[0]
    assert first.actuator == "balloon" and first.confirmed_bytes > 0
    assert vm.balloon_bytes() < 1024 * MIB
    assert vm.virtio_mem_bytes() == 0, "nothing is plugged while the balloon still holds memory"
    # A balloon that deflates on OOM would have saved the load too; that must not be what happened.
    assert "Out of memory" not in vm.console()


def test_plugs_when_the_balloon_is_empty(bridge: Bridge, guest: GuestFactory) -> None:
    vm = guest(memory_mib=768)
    vm.set_balloon(256 * MIB)
    wait_for("the balloon holds 256 MiB", lambda: vm.balloon_bytes() == 256 * MIB, 20)

    vm.start_load(1024 * MIB, 100)
    wait_held(vm, 30)
    wait_settled(bridge, vm)
    assert vm.balloon_bytes() == 0
    assert vm.virtio_mem_bytes() > 256 * MIB
