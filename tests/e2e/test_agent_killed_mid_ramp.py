# SPDX-License-Identifier: Apache-2.0
"""The agent dies in the middle of a ramp and is started again, as systemd would: nothing is lost but time."""
from __future__ import annotations

from tests.e2e.conftest import GuestFactory
from tests.e2e.served import wait_held
from tests.guest.bridge import Bridge
from tests.guest.config import MIB
from tests.guest.wait import wait_for

OFFLINE_BLOCKS = "grep -l offline /sys/devices/system/memory/memory*/state | wc -l"


def test_agent_killed_mid_ramp(bridge: Bridge, guest: GuestFactory) -> None:
    vm = guest()
    vm.start_load(1200 * MIB, 60)
    wait_for("the ramp is under way", lambda: vm.sample().load_bytes > 500 * MIB, 30, interval=0.05)
    vm.check("stop_agent KILL; usleep 200000; start_agent")
    bridge.wait_agent("vm", 10)
    wait_held(vm, 40)
    assert vm.virtio_mem_bytes() > 512 * MIB


def test_onlines_what_was_plugged_while_it_was_dead(bridge: Bridge, lone_guest: GuestFactory) -> None:
    """No event reaches an agent that starts late, so it must look for itself. Where the kernel onlines nothing, that is:
    else the kernel has onlined it all before anybody looks."""
    vm = lone_guest(agent=False, auto_online="offline", agent_args=("--wait-for-port", "--config", "/tmp/agent.conf"))
    vm.check("printf '[Blocks]\\nOnliner=agent\\n' >/tmp/agent.conf; start_agent")
    bridge.wait_agent(vm.config.name)
    before = vm.sample().total_bytes
    vm.check("stop_agent KILL")
    vm.request_virtio_mem(512 * MIB)
    wait_for("QEMU has plugged it", lambda: vm.virtio_mem_bytes() == 512 * MIB, 10)
    assert vm.check(OFFLINE_BLOCKS) == "4\n"
    assert vm.sample().total_bytes == before
    vm.check("start_agent")
    wait_for("the guest has it", lambda: vm.sample().total_bytes == before + 512 * MIB, 15)
    assert vm.check(OFFLINE_BLOCKS) == "0\n"
