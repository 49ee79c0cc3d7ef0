# SPDX-License-Identifier: Apache-2.0
"""A guest whose memory comes online slowly: it is waited for, and what comes after the end is on record all the same."""
from __future__ import annotations

import time
import urllib.request
from typing import Any

from qmp_peer import MIB
from test_metrics import free_port, listen
from world import Vm, World


def begin(world: World) -> tuple[Vm, Any]:
    """A growth of 128 MiB that QEMU calls plugged, and of which the guest has confirmed 60."""
    text = world.config.read_text(encoding="utf-8")
    world.config.write_text(text.replace("Policy=idle", "Policy=never"), encoding="utf-8")  # nothing else is decided
    vm = world.add()
    vm.confirms = False
    vm.interval_s = 0.05
    world.start().wait_managed()
    vm.agent.report()
    vm.agent.alarm(128 * MIB)
    notice = vm.agent.wait_for("grow_notice")
    world.wait(lambda: vm.qmp.size == 128 * MIB, "QEMU to plug it")
    confirm(vm, notice.id, 60)
    return vm, notice


def confirm(vm: Vm, decision: int, mib: int) -> None:
    vm.agent.send("resize_confirm", id=decision, step=0, delta_bytes=mib * MIB, usable_bytes=vm.usable,
                  blocks_online=4, blocks_offline=0, latency_usec=1000, stall_usec=0)


def test_a_block_that_is_offline_is_waited_for(world: World) -> None:
    vm, notice = begin(world)
    vm.refresh = lambda *_, **__: None  # type: ignore[method-assign]
    vm.agent.figures["blocks_offline"] = 1
    vm.keep_reporting()
    time.sleep(1)
    assert world.decisions()[0]["result"] == "pending"
    vm.agent.figures["blocks_offline"] = 0
    confirm(vm, notice.id, 128)
    decision = world.wait_closed()
    assert (decision["result"], decision["confirmed_bytes"], decision["late_bytes"]) == ("done", 128 * MIB, 0)


def test_what_comes_late_is_in_every_record(world: World) -> None:
    port = free_port()
    listen(world, f"127.0.0.1:{port}")
    vm, notice = begin(world)
    vm.keep_reporting()  # with nothing offline, so that no more is to be expected
    decision = world.wait_closed()
    assert (decision["result"], decision["confirmed_bytes"]) == ("partial", 60 * MIB)

    confirm(vm, notice.id + 1, 128)  # of no decision
    confirm(vm, notice.id, 9999)  # never more than was given
    late = world.wait(lambda: world.decisions()[0]["late_bytes"] and world.decisions()[0], "the decision to be amended")
    assert (late["result"], late["confirmed_bytes"], late["late_bytes"]) == ("done", 128 * MIB, 68 * MIB)
    assert late["closed_usec"] == decision["closed_usec"] < late["late_usec"]
    assert late["first_confirm_usec"] == decision["first_confirm_usec"]
    assert world.ctl("history", "a")["decisions"] == world.decisions() == [late]
    text = world.text("explain", "a")
    assert "done, late" in text and "late        68M of it after it was closed" in text
    assert "a: grow done, late: 68M of +128M that the guest confirms" in world.log.read_text(encoding="utf-8")

    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        metrics = answer.read().decode()
    assert f'memtide_resize_late_bytes_total{{direction="grow"}} {68 * MIB}\n' in metrics
    assert 'direction="grow",actuator="virtio-mem",result="partial"} 1\n' in metrics, "it was closed once"
    assert 'direction="grow",actuator="virtio-mem",result="done"} 0\n' in metrics
    assert "memtide_alarm_to_usable_seconds_count 1\n" in metrics
