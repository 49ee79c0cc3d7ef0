# SPDX-License-Identifier: Apache-2.0
"""Growth past 1 GiB of virtio-mem, where a kernel that onlines nothing stops dead without an agent.

Once as the agent does it by itself, which is to have the kernel online, and once with every block written by the agent.
"""
from __future__ import annotations

from tests.e2e.conftest import GuestFactory
from tests.e2e.served import assert_growth_agrees, grows, wait_held
from tests.guest.bridge import Bridge
from tests.guest.config import GIB, MIB
from tests.guest.guest import Guest

MEMORY = "/sys/devices/system/memory"
AUTO_ONLINE = f"{MEMORY}/auto_online_blocks"
POLICY = "/sys/module/memory_hotplug/parameters/online_policy"


def assert_grows(bridge: Bridge, vm: Guest) -> None:
    vm.start_load(2 * GIB, 100)
    wait_held(vm, 60)
    assert_growth_agrees(bridge, vm)
    assert vm.virtio_mem_bytes() > 1536 * MIB
    assert all(d.actuator == "virtio-mem" for d in grows(bridge, vm))
    assert vm.check(f"grep -l offline {MEMORY}/memory*/state | wc -l") == "0\n"
    # What is plugged must be able to go again, so the most of it is not kernel memory.
    zones = vm.check(f"cat {MEMORY}/memory*/valid_zones").split()
    assert zones.count("Movable") > zones.count("Normal")


def test_grow_past_1gib(bridge: Bridge, guest: GuestFactory) -> None:
    vm = guest()
    if vm.run(f"test -e {POLICY}")[0] == 0:
        assert vm.check(f"cat {AUTO_ONLINE} {POLICY}") == "online\nauto-movable\n"
    else:
        assert vm.check(f"cat {AUTO_ONLINE}") == "offline\n"  # before Linux 5.16: the agent chooses zones
    assert_grows(bridge, vm)

    # Killed where the kernel does not online, it would leave virtio-mem to stop at 1 GiB: the unit calls this.
    vm.check(f"echo offline >{AUTO_ONLINE}; stop_agent KILL; memtide-agent release")
    assert vm.check(f"cat {AUTO_ONLINE}") == "online\n"


def test_grow_past_1gib_block_by_block(bridge: Bridge, lone_guest: GuestFactory) -> None:
    vm = lone_guest(agent=False, auto_online="offline", agent_args=("--wait-for-port", "--config", "/tmp/agent.conf"))
    assert vm.check(f"cat {AUTO_ONLINE}") == "offline\n"
    vm.check("printf '[Blocks]\\nOnliner=agent\\n' >/tmp/agent.conf; start_agent")
    bridge.wait_agent(vm.config.name)
    assert vm.check(f"cat {AUTO_ONLINE}") == "offline\n"
    assert_grows(bridge, vm)
    vm.check("stop_agent TERM")
    assert vm.check(f"cat {AUTO_ONLINE}") == "online\n"
