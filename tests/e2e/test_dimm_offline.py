# SPDX-License-Identifier: Apache-2.0
"""A real DIMM that the host takes back: offline, confirmed and ejected; or pinned, and then as it was."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.conftest import GuestFactory
from tests.e2e.host_peer import HostPeer
from tests.guest.config import MIB
from tests.guest.guest import Guest
from tests.guest.wait import wait_for

BLOCK = 128 * MIB
SIZE = 2 * BLOCK
MEMORY = "/sys/devices/system/memory"


def plug(guest: Guest, name: str) -> int:
    """Returns the address of a new DIMM whose blocks are there, offline."""
    guest.qmp.command("object-add", qom_type="memory-backend-ram", id=f"{name}-backend", size=SIZE, reserve=False)
    guest.qmp.command("device_add", driver="pc-dimm", id=name, memdev=f"{name}-backend")
    address = next(int(device["data"]["addr"]) for device in guest.qmp.command("query-memory-devices")
                   if device["data"].get("id") == name)
    last = (address + SIZE) // BLOCK - 1
    wait_for("the DIMM's blocks", lambda: guest.run(f"test -e {MEMORY}/memory{last}/firmware_node")[0] == 0, 10)
    return address


def online(guest: Guest, address: int, *zones: str) -> None:
    for number, zone in enumerate(zones, address // BLOCK):
        guest.check(f"echo online_{zone} >{MEMORY}/memory{number}/state")


def blocks(guest: Guest, address: int) -> list[str]:
    """State, and zone where it is online."""
    return [guest.check(f"cd {MEMORY}/memory{number}; read s <state; [ $s = offline ] && echo offline || cat valid_zones"
                        ).strip() for number in range(address // BLOCK, (address + SIZE) // BLOCK)]


def take_back(guest: Guest, host: HostPeer, number: int, address: int) -> Any:
    """The conversation up to the agent's answer."""
    host.send("shrink_request", id=number, step=1, bytes=SIZE, remaining_bytes=SIZE, last=True)
    assert host.wait("shrink_offer", 6).offered_bytes == SIZE
    host.send("offline_range", id=number, address=address, bytes=SIZE)
    return host.wait("command_result", 12, lambda result: result.id == number)


def test_dimm_offline(lone_guest: GuestFactory, build: Path) -> None:
    vm = lone_guest(agent=False, virtio_mem_bytes=0, dimm_slots=2, auto_online="offline")
    first = plug(vm, "dimm0")
    online(vm, first, "movable", "movable")
    vm.check("start_agent")
    host = HostPeer(vm, build)
    wait_for("the resize has settled", lambda: host.wait("report", 5).usable_bytes > 600 * MIB, 10)
    vm.check("sleep 1")

    done = take_back(vm, host, 1, first)
    assert (done.outcome, done.bytes, done.error) == (host.pb.COMMAND_DONE, SIZE, 0)
    assert blocks(vm, first) == ["offline", "offline"]
    confirmed = [c for c in host.all("resize_confirm") if c.id == 1]
    assert confirmed and confirmed[-1].delta_bytes <= -SIZE + 8 * MIB
    assert not host.all("alarm")  # what the agent does itself is no pressure
    vm.qmp.command("device_del", id="dimm0")
    wait_for("the DIMM is gone", lambda: vm.dimm_bytes() == 0, 10)

    # The kernel's own memory in its lower block: the kernel says EBUSY, and the upper one comes back as it was.
    second = plug(vm, "dimm1")
    wait_for("the agent onlines it", lambda: blocks(vm, second).count("offline") == 0, 10)
    for number in range(second // BLOCK, (second + SIZE) // BLOCK):
        vm.check(f"echo offline >{MEMORY}/memory{number}/state")
    online(vm, second, "kernel", "movable")
    vm.check("mkdir -p /tmp/many; i=0; while [ $i -lt 3000 ]; do : >/tmp/many/$i; i=$((i+1)); done", timeout=60)
    vm.check("sleep 1")
    kept = take_back(vm, host, 2, second)
    assert (kept.outcome, kept.bytes, kept.error) == (host.pb.COMMAND_FAILED, 0, 16)  # EBUSY
    assert blocks(vm, second) == ["Normal", "Movable"]
    host.close()
