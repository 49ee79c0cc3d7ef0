# SPDX-License-Identifier: Apache-2.0
"""128 real blocks, of a DIMM and of virtio-mem, come to an agent that hears of few of them: none stays offline."""
from __future__ import annotations

import time

from tests.e2e.conftest import GuestFactory
from tests.guest.config import GIB
from tests.guest.guest import Guest
from tests.guest.wait import wait_for

SIZE = 8 * GIB  # of each; 64 blocks
CONFIG = "[Blocks]\\nOnliner=agent\\nUeventBuffer=4K\\n"  # one page, which a dozen events fill
FIRST = "/sys/devices/system/memory/memory0/uevent"
STATES = "/sys/devices/system/memory/memory*/state"


def test_no_lost_blocks(lone_guest: GuestFactory) -> None:
    # 16 GiB of memory want 256 MiB for their memmap.
    vm = lone_guest(agent=False, memory_mib=1536, virtio_mem_bytes=SIZE, dimm_slots=8, sample_ms=1000,
                    agent_args=("--wait-for-port", "--config", "/tmp/agent.conf"))
    vm.check(f"printf '{CONFIG}' >/tmp/agent.conf; start_agent; sleep 1")
    boot, total = int(vm.check(f"ls {STATES} | wc -l")), vm.sample().total_bytes

    # A DIMM is there at once, all of it.
    signal(vm, "STOP")
    vm.qmp.command("object-add", qom_type="memory-backend-ram", id="dimm0-backend", size=SIZE, reserve=False)
    vm.qmp.command("device_add", driver="pc-dimm", id="dimm0", memdev="dimm0-backend")
    wait_for("the DIMM's blocks", lambda: offline(vm) == 64, 20)
    signal(vm, "CONT")
    wait_for("they are online", lambda: offline(vm) == 0, 20)
    lost_of_dimm = lost(vm)

    # The driver of virtio-mem has no more than 1 GiB offline at a time, whose events would fit: what fills the buffer for
    # them is news of a block that nothing happens to.
    vm.request_virtio_mem(SIZE)
    end = time.monotonic() + 90
    while vm.virtio_mem_bytes() < SIZE and time.monotonic() < end:
        signal(vm, "STOP")
        vm.check(f"for i in $(seq 16); do echo change >{FIRST}; done")
        time.sleep(0.5)
        signal(vm, "CONT")
        time.sleep(0.2)
    assert vm.virtio_mem_bytes() == SIZE
    vm.check("sleep 2")
    lost_of_virtio_mem = lost(vm) - lost_of_dimm
    print(f"{lost_of_dimm} events lost of the DIMM, {lost_of_virtio_mem} of virtio-mem; {offline(vm)} blocks offline")
    assert offline(vm) == 0
    assert int(vm.check(f"ls {STATES} | wc -l")) == boot + 128
    assert vm.sample().total_bytes == total + 2 * SIZE
    assert lost_of_dimm >= 32 and lost_of_virtio_mem >= 32, "it was too easy"


def signal(vm: Guest, name: str) -> None:
    vm.check(f"kill -{name} $(cat /run/agent.pid)")


def offline(vm: Guest) -> int:
    return int(vm.check(f"grep -l offline {STATES} | wc -l"))


def lost(vm: Guest) -> int:
    """By the kernel's own count; protocol 15 is that of uevents."""
    return int(vm.check("awk '$2 == 15 { n += $9 } END { print n }' /proc/net/netlink"))
