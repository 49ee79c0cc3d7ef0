# SPDX-License-Identifier: Apache-2.0
"""From an alarm to memory that the guest has confirmed."""
from __future__ import annotations

from qmp_peer import MIB
from world import World


def test_alarm_grows_by_virtio_mem(world: World) -> None:
    vm = world.add()
    world.start().wait_managed()
    vm.agent.report()
    vm.agent.alarm(256 * MIB)

    decision = world.wait_closed()
    assert (decision["kind"], decision["rule"], decision["result"]) == ("grow", "grow-alarm", "done")
    assert decision["actuator"] == "virtio-mem"
    assert decision["confirmed_bytes"] == 256 * MIB == vm.qmp.size
    notice = vm.agent.wait_for("grow_notice")
    assert notice.id == decision["id"] and notice.bytes == 256 * MIB and not notice.balloon
    # The guest confirms for longer than the host waits without progress (5 s): a slow wave is not a stuck one.
    assert notice.deadline_usec > vm.agent.now_usec() + 30_000_000
    assert len(vm.qmp.of("qom-set")) == 1
    assert world.status()["size_bytes"] == 768 * MIB


def test_balloon_is_deflated_before_anything_is_plugged(world: World) -> None:
    vm = world.add()
    vm.qmp.actual = vm.qmp.target = 256 * MIB
    vm.refresh(available=20 * MIB)
    world.start().wait_managed()
    vm.agent.alarm(384 * MIB)

    decision = world.wait_closed()
    assert decision["result"] == "done" and decision["confirmed_bytes"] == 384 * MIB
    assert vm.qmp.of("balloon") == [{"value": 512 * MIB}]
    assert vm.qmp.size == 128 * MIB
    assert [name for _, name, _ in vm.qmp.commands] == ["balloon", "qom-set"]
