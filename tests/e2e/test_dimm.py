# SPDX-License-Identifier: Apache-2.0
"""DIMMs on a real guest: plugged where nothing else is left, proven, prepared, pulled; and what a reset makes of them."""
from __future__ import annotations

from tests.e2e.conftest import BridgeFactory, GuestFactory
from tests.e2e.served import grows, shrinks, wait_held, wait_settled
from tests.guest.config import MIB
from tests.guest.guest import Guest
from tests.guest.wait import stays, wait_for

UNIT = 256 * MIB
POLICY = "Min=256M\nMax=device\nDimmSize=256M\n"


def test_grows_and_shrinks_by_dimms(new_bridge: BridgeFactory, lone_guest: GuestFactory) -> None:
    bridge = new_bridge(vm=POLICY).start()
    vm = lone_guest(virtio_mem_bytes=0, balloon=False, dimm_slots=3)
    bridge.wait_agent("vm")
    before = vm.sample().total_bytes
    vm.start_load(700 * MIB, 50)
    wait_held(vm, 90)
    stays("it needs no more", lambda: vm.sample().oom_kills == 0, 3, interval=1)
    wait_settled(bridge, vm)
    plugged = vm.dimm_bytes()
    assert plugged >= UNIT and plugged % UNIT == 0
    assert {d.actuator for d in grows(bridge, vm)} == {"dimm"}
    assert sum(d.confirmed_bytes for d in grows(bridge, vm)) == plugged == vm.sample().total_bytes - before
    assert vm.sample().oom_kills == 0

    vm.qmp.command("stop")
    wait_for("the bridge knows that it stands", lambda: bridge.status("vm")["state"] == "paused", 10)
    stays("nothing moves", lambda: vm.dimm_bytes() == plugged, 2, interval=0.5)
    vm.qmp.command("cont")
    wait_for("the bridge goes on", lambda: bridge.status("vm")["state"] == "managed", 10)

    vm.free_load()
    wait_for("a DIMM is back with the host", lambda: vm.dimm_bytes() < plugged, 90)
    wait_settled(bridge, vm, 30)
    assert {d.actuator for d in shrinks(bridge, vm) if d.confirmed_bytes} == {"dimm"}
    wait_for("its backend is free", lambda: backends(vm) * UNIT == vm.dimm_bytes(), 10)
    assert vm.sample().oom_kills == 0


def backends(vm: Guest) -> int:
    return sum(str(one.get("id", "")).startswith("memtide-dimm") for one in vm.qmp.command("query-memdev"))


def test_reset_with_a_dimm_and_a_full_balloon(new_bridge: BridgeFactory, lone_guest: GuestFactory) -> None:
    """QEMU keeps the balloon's target over a reset, and the driver would fill it while the DIMM is still offline."""
    bridge = new_bridge(vm=POLICY)
    vm = lone_guest(virtio_mem_bytes=0, dimm_slots=2, reboots=True)
    vm.qmp.command("object-add", qom_type="memory-backend-ram", id="memtide-dimm0-mem", size=UNIT)
    vm.qmp.command("device_add", driver="pc-dimm", id="memtide-dimm0", memdev="memtide-dimm0-mem")
    whole = vm.sample().total_bytes
    wait_for("the agent brings it online", lambda: vm.sample().total_bytes >= whole + UNIT * 9 // 10, 20)
    vm.set_balloon(300 * MIB)
    wait_for("the balloon holds 300 MiB", lambda: vm.balloon_bytes() == 300 * MIB, 30)
    bridge.start()
    bridge.wait_agent("vm")

    vm.qmp.command("system_reset")
    wait_for("it is up again", lambda: vm.console().count("memtide-test: up") == 2, 60)
    wait_for("its agent is back", lambda: bridge.agent_is_connected("vm"), 30)
    wait_for("QEMU says what is left in the balloon", lambda: vm.balloon_bytes() == MIB, 10)
    assert vm.dimm_bytes() == UNIT
    wait_for("the DIMM is online again",
             lambda: int(vm.check("awk '/MemTotal/ {print $2}' /proc/meminfo")) * 1024 >= whole + UNIT * 9 // 10, 30)
    assert "Out of memory" not in vm.console() and "deadlocked" not in vm.console()
