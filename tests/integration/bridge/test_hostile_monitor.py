# SPDX-License-Identifier: Apache-2.0
"""A monitor that is absent, hangs, talks nonsense or is closed affects its VM alone, and is tried again."""
from __future__ import annotations

import json
import time
from typing import Any

import pytest
from qmp_peer import MIB, QmpPeer
from world import Vm, World


def assert_neighbour_is_served(world: World, good: Vm, n: int = 1) -> None:
    good.agent.alarm(128 * MIB)
    decision = world.wait_closed(good.name, n)
    assert decision["result"] == "done"
    assert decision["request_usec"] - decision["alarm_usec"] < 50_000


def test_absent_then_there(world: World) -> None:
    vm, good = world.add("a"), world.add("good")
    vm.qmp.close()
    world.start().wait_managed("good")
    vm.agent.wait_session()
    assert world.status("a")["state"] == "monitorless"
    assert_neighbour_is_served(world, good)
    vm.qmp = QmpPeer(vm.qmp.path)
    vm.qmp.on_change = vm._on_change
    world.wait_managed("a")


def test_no_greeting(world: World) -> None:
    """Another client has the monitor: QEMU accepts and says nothing."""
    vm, good = world.add("a"), world.add("good")
    vm.qmp.greets = False
    world.start().wait_managed("good")
    assert_neighbour_is_served(world, good)
    world.wait(lambda: vm.qmp.connections >= 2, "a second attempt")
    vm.qmp.greets = True
    world.wait_managed("a")


def test_hanging_monitor(world: World) -> None:
    vm, good = world.add("a"), world.add("good")
    world.start().wait_managed()
    vm.qmp.answers = False
    vm.agent.alarm(256 * MIB)
    assert world.wait_closed("a")["result"] == "lost"
    assert_neighbour_is_served(world, good)
    vm.qmp.answers = True
    world.wait_managed("a")
    vm.agent.alarm(256 * MIB)
    assert world.wait(lambda: [d for d in world.decisions("a") if d["result"] == "done"], "a growth", 15)


def test_five_seconds_for_a_reply(world: World) -> None:
    vm, good = world.add("a"), world.add("good")
    world.start().wait_managed()
    vm.qmp.delay_s = 5
    vm.agent.alarm(256 * MIB)
    assert_neighbour_is_served(world, good)
    assert world.wait_closed("a")["result"] == "lost"


@pytest.mark.parametrize("reply", [
    b"hello\r\n", b"{]\r\n", b'{"return": {"status": "run', b'{"return": {}, "return": {}}\r\n',
    b"[" * 100 + b"\r\n", b'{"a":' + b"[" * 100, b'{"return": {"x": 1e400}}\r\n', b"\x00\xff\xfe\r\n",
    b'{"x": "' + b"a" * (2 << 20) + b'"}\r\n',
], ids=["text", "no-json", "half", "twice", "array", "deep", "huge-number", "binary", "2-mib"])
def test_nonsense(world: World, reply: bytes) -> None:
    vm, good = world.add("a"), world.add("good")
    world.start().wait_managed()
    connections = vm.qmp.connections
    vm.qmp.override["query-status"] = reply
    vm.qmp.event("RESUME")
    world.wait(lambda: world.status("a")["state"] == "monitorless", "the monitor to be given up")
    assert_neighbour_is_served(world, good)
    vm.qmp.override.clear()
    world.wait_managed("a")
    assert vm.qmp.connections > connections


@pytest.mark.parametrize("value", [
    [], [{"type": "virtio-mem", "data": {}}], "x", None,
    [{"type": "virtio-mem", "data": {"id": "v", "size": -1, "requested-size": 0, "max-size": 1, "block-size": 1}}],
    [{"type": "virtio-mem", "data": {"id": "v", "size": 4096, "requested-size": 0, "max-size": 0, "block-size": 4096}}],
    [{"type": "virtio-mem", "data": {"id": "v", "size": 0, "requested-size": 0, "max-size": 9000, "block-size": 3000}}],
    [{"type": "dimm", "data": {"size": 1 << 62}}],
], ids=["empty", "no-data", "text", "null", "negative", "beyond-max", "odd-block", "huge-dimm"])
def test_impossible_devices_command_nothing(world: World, value: object) -> None:
    vm, good = world.add("a"), world.add("good")
    world.start().wait_managed()

    def answer_devices(name: str, arguments: dict[str, object]) -> object:
        return value if name == "query-memory-devices" else original(name, arguments)

    original = vm.qmp.execute
    vm.qmp.execute = answer_devices  # type: ignore[method-assign]
    vm.qmp.event("RESUME")
    time.sleep(0.3)
    vm.agent.alarm(256 * MIB)
    assert_neighbour_is_served(world, good)
    assert vm.qmp.of("qom-set") == []


def test_event_storm(world: World) -> None:
    vm, good = world.add("a"), world.add("good")
    world.start().wait_managed()
    event = json.dumps({"event": "MEMORY_DEVICE_SIZE_CHANGE", "data": {"id": "vmem0", "size": 1}}).encode() + b"\r\n"
    for _ in range(20):
        vm.qmp.send_raw(event * 1000)
    assert_neighbour_is_served(world, good)

    def is_served() -> bool:
        """QEMU's replies stand behind its events: on a slow machine they may be too late, and it is asked again."""
        vm.agent.alarm(128 * MIB)
        time.sleep(0.2)
        return any(decision["result"] == "done" for decision in world.decisions("a"))

    world.wait(is_served, "the VM itself to be served")


def test_wrong_ids(world: World) -> None:
    """Errors for somebody else, before each answer: while a command of ours is open, and for one answered before."""
    vm = world.add("a")
    world.start().wait_managed()

    def answer(request: dict[str, Any]) -> None:
        for wrong in (None, 0, 1, request["id"] - 1, request["id"] + 1_000_000, 2**62, str(request["id"])):
            vm.qmp.send_raw(json.dumps({"error": {"class": "GenericError", "desc": "not yours"}, "id": wrong}).encode()
                            + b"\r\n")
        original(request)

    original = vm.qmp._command
    vm.qmp._command = answer  # type: ignore[method-assign]
    vm.agent.alarm(128 * MIB)
    assert world.wait_closed("a")["result"] == "done"
    assert world.status("a")["size_bytes"] == 640 * MIB and world.status("a")["state"] == "managed"
    assert "not yours" not in world.log.read_text() and vm.qmp.connections == 1


def test_closed_between_reserve_and_confirm(world: World) -> None:
    vm = world.add("a")
    vm.qmp.obeys = False
    world.start().wait_managed()
    vm.agent.alarm(256 * MIB)
    world.wait(lambda: vm.qmp.of("qom-set"), "the command")
    vm.qmp.disconnect()
    assert world.wait_closed("a")["result"] == "lost"
    # The truth is read again: QEMU did take the request, so it stays reserved.
    world.wait_managed("a")
    assert world.wait(lambda: world.status("a")["committed_bytes"] == 768 * MIB, "the request to be counted")
    vm.qmp.obeys = True
    vm.qmp.settle()
    world.wait(lambda: world.status("a")["size_bytes"] == 768 * MIB, "the model to follow")


def test_refused_command(world: World) -> None:
    vm = world.add("a")
    world.start().wait_managed()
    vm.qmp.reject.add("qom-set")
    vm.agent.alarm(256 * MIB)
    assert world.wait_closed("a")["result"] == "failed"
    assert world.status("a")["committed_bytes"] == 512 * MIB, "the reserve is released"
    assert "refused by the test" in world.log.read_text(encoding="utf-8")


def test_growth_that_never_comes_is_given_up(world: World) -> None:
    world.config.write_text(world.config.read_text(encoding="utf-8") + "[Resize]\nConfirmTimeout=500ms\n",
                            encoding="utf-8")
    vm = world.add("a")
    vm.qmp.obeys = False
    world.start().wait_managed()
    vm.agent.alarm(256 * MIB)
    assert world.wait_closed("a")["result"] == "timeout"
    assert vm.qmp.requested == 0, "what did not come is asked for no more"
    world.wait(lambda: world.status("a")["committed_bytes"] == 512 * MIB, "the reserve to be released")


def test_without_balloon(world: World) -> None:
    vm = world.add("a", balloon=False)
    world.start().wait_managed()
    vm.agent.alarm(128 * MIB)
    assert world.wait_closed("a")["result"] == "done"


def test_paused_vm_is_left_alone(world: World) -> None:
    vm = world.add("a")
    world.start().wait_managed()
    vm.qmp.running = False
    vm.qmp.event("STOP")
    world.wait(lambda: world.status("a")["state"] == "paused", "the pause to be seen")
    vm.agent.alarm(128 * MIB)
    time.sleep(0.3)
    assert vm.qmp.commands == []
    vm.qmp.running = True
    vm.qmp.event("RESUME")
    world.wait_managed("a")
    vm.agent.alarm(128 * MIB)
    assert world.wait_closed("a")["result"] == "done"


def test_reset_opens_the_balloon(world: World) -> None:
    vm = world.add("a")
    vm.qmp.actual = vm.qmp.target = 300 * MIB
    world.start().wait_managed()
    vm.qmp.event("RESET", guest=True, reason="guest-reset")
    world.wait(lambda: vm.qmp.of("balloon"), "the balloon to be opened")
    assert vm.qmp.of("balloon")[0]["value"] == 511 * MIB  # one is left: the driver reports only what it moves
    assert world.status("a")["agent_connected"] is False or vm.agent.all_of("welcome")


def test_somebody_else_resizes(world: World) -> None:
    vm = world.add("a")
    world.start().wait_managed()
    vm.agent.alarm(128 * MIB)
    world.wait_closed("a")
    vm.qmp.requested = 64 * MIB
    vm.qmp.settle()
    world.wait(lambda: "somebody else changes its memory" in world.log.read_text(encoding="utf-8"), "the rival to be seen")
    commands = len(vm.qmp.commands)
    for _ in range(5):
        vm.agent.alarm(256 * MIB)
        time.sleep(0.05)
    assert len(vm.qmp.commands) == commands
