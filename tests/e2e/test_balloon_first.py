# SPDX-License-Identifier: Apache-2.0
"""One planner over two actuators: growth takes back the balloon before it plugs, and boot memory that a guest
does not need goes to the balloon, since nothing else can take it."""
from __future__ import annotations

from tests.e2e.conftest import BridgeFactory, GuestFactory
from tests.e2e.served import grows, shrinks, wait_held, wait_settled
from tests.guest.bridge import Bridge
from tests.guest.config import MIB
from tests.guest.guest import Guest
from tests.guest.wait import wait_for

# Without Min= a guest is kept at what it began with; here it began with a balloon.
POLICY = "Min=256M\nMax=device\n"


def ballooned(new_bridge: BridgeFactory, lone_guest: GuestFactory, boot: int, held: int) -> tuple[Bridge, Guest]:
    """A guest whose balloon was filled before the bridge came: it would take a later hand for a rival's."""
    bridge = new_bridge(vm=POLICY)
    vm = lone_guest(memory_mib=boot)
    vm.set_balloon(held * MIB)
    wait_for(f"the balloon holds {held} MiB", lambda: vm.balloon_bytes() == held * MIB, 30)
    wait_for("the guest sees it", lambda: vm.sample().balloon_bytes == held * MIB, 5)
    bridge.start()
    bridge.wait_agent("vm")
    return bridge, vm


def test_balloon_first(new_bridge: BridgeFactory, lone_guest: GuestFactory) -> None:
    bridge, vm = ballooned(new_bridge, lone_guest, 1536, 1024)
    vm.start_load(700 * MIB, 100)
    wait_held(vm, 60)  # page by page: an emulated CPU deflates 60 MiB/s, and kernel 6.12 needs the slower model
    wait_settled(bridge, vm)
    first = grows(bridge, vm)[0]
    assert first.actuator == "balloon" and first.confirmed_bytes > 0
    assert vm.balloon_bytes() < 1024 * MIB
    assert vm.virtio_mem_bytes() == 0, "nothing is plugged while the balloon still holds memory"
    # A balloon that deflates on OOM would have saved the load too; that must not be what happened.
    assert "Out of memory" not in vm.console()


def test_plugs_when_the_balloon_is_empty(new_bridge: BridgeFactory, lone_guest: GuestFactory) -> None:
    bridge, vm = ballooned(new_bridge, lone_guest, 768, 256)
    vm.start_load(1024 * MIB, 100)
    wait_held(vm, 30)
    wait_settled(bridge, vm)
    assert vm.balloon_bytes() == 0
    assert vm.virtio_mem_bytes() > 256 * MIB


def test_boot_memory_goes_to_the_balloon(new_bridge: BridgeFactory, lone_guest: GuestFactory) -> None:
    bridge = new_bridge(vm=POLICY).start()
    vm = lone_guest(memory_mib=1024)
    bridge.wait_agent("vm")
    wait_for("the bridge takes what is idle", lambda: vm.balloon_bytes() >= 256 * MIB, 60)
    wait_settled(bridge, vm, 60)
    given = -sum(d.confirmed_bytes for d in shrinks(bridge, vm))
    assert abs(given - vm.balloon_bytes()) <= 16 * MIB
    assert vm.sample().oom_kills == 0
