# SPDX-License-Identifier: Apache-2.0
"""Garbage on the port is dropped and counted on both sides, and the next good frame is understood."""
from __future__ import annotations

import random
import socket

from tests.e2e.conftest import GuestFactory
from tests.e2e.served import assert_growth_agrees, wait_held
from tests.guest.bridge import Bridge
from tests.guest.config import MIB
from tests.guest.wait import wait_for

FRAME_LIMIT = 4096


def garbage(seed: int) -> bytes:
    """Noise, a flood without a delimiter, short frames, empty frames: 300 KiB, the same for the same seed."""
    noise = random.Random(seed)
    pieces = [noise.randbytes(100_000), b"\xff" * 100_000, b"\x00" * 1000]
    pieces += [noise.randbytes(noise.randrange(1, FRAME_LIMIT)).replace(b"\0", b"\1") + b"\0" for _ in range(50)]
    return b"".join(pieces)


def test_guest_survives_garbage_from_the_host(bridge: Bridge, guest: GuestFactory) -> None:
    vm = guest()
    pid = vm.check("cat /run/agent.pid")
    bridge.stop()
    with socket.socket(socket.AF_UNIX) as host:
        host.settimeout(20)
        host.connect(str(vm.paths.channel))
        host.sendall(garbage(1))
    bridge.start()
    bridge.wait_agent("vm")
    assert vm.check("cat /run/agent.pid") == pid
    assert vm.run("kill -0 $(cat /run/agent.pid)")[0] == 0
    vm.start_load(600 * MIB, 100)
    wait_held(vm, 30)
    assert_growth_agrees(bridge, vm)


def test_bridge_survives_garbage_from_a_guest(bridge: Bridge, guest: GuestFactory) -> None:
    vm = guest()
    pid = bridge.pid
    vm.check("stop_agent KILL")
    vm.check("head -c 1000000 /dev/urandom >$(port org.memtide.agent.0)", timeout=30)
    vm.check("head -c 100000 /dev/zero >$(port org.memtide.agent.0)")
    wait_for("it was dropped and counted", lambda: _dropped(bridge) > 0, 10)
    vm.check("start_agent")
    bridge.wait_agent("vm")
    assert bridge.running and bridge.pid == pid
    vm.start_load(600 * MIB, 100)
    wait_held(vm, 30)
    assert_growth_agrees(bridge, vm)


def _dropped(bridge: Bridge) -> int:
    status = bridge.status("vm")
    return sum(int(status.get(f"frames_{reason}", 0)) for reason in ("garbled", "overlong", "malformed", "void"))
