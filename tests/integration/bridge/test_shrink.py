# SPDX-License-Identifier: Apache-2.0
"""Taking back: asked first, in steps, and stopped by the guest."""
from __future__ import annotations

import time
from typing import Any

import memtide_pb2 as pb
from qmp_peer import MIB
from world import Vm, World


def calm_with_surplus(world: World, **options: Any) -> Vm:
    """A VM of 512 MiB + 512 MiB plugged whose guest needs 600."""
    vm = world.add(**options)
    vm.qmp.size = vm.qmp.requested = 512 * MIB
    vm.refresh(available=700 * MIB, demand=600 * MIB)
    world.start().wait_managed()
    return vm


def test_gives_back_in_steps_below_a_block(world: World) -> None:
    vm = calm_with_surplus(world)
    vm.keep_reporting()
    decision = world.wait_closed(timeout=20)
    assert (decision["kind"], decision["rule"], decision["result"]) == ("shrink", "shrink-idle", "done")
    assert -decision["confirmed_bytes"] == decision["wanted_bytes"]
    sizes = [512 * MIB] + [arguments["value"] for arguments in vm.qmp.of("qom-set")]
    steps = [before - after for before, after in zip(sizes, sizes[1:])]
    assert len(steps) > 1 and all(0 < step <= 64 * MIB for step in steps), steps
    requests = vm.agent.all_of("shrink_request")
    assert [request.step for request in requests] == list(range(1, len(steps) + 1))
    assert requests[-1].last and not requests[0].last


def test_refusal_is_respected(world: World) -> None:
    vm = calm_with_surplus(world)
    vm.offers = 0
    vm.keep_reporting()
    decision = world.wait_closed()
    assert (decision["result"], decision["refusal"]) == ("refused", "margin")
    vm.agent.wait_for("shrink_request", 2)
    first, second = [when for when, message in vm.agent.received if message.WhichOneof("body") == "shrink_request"][:2]
    assert second - first > 1.9, "it is held for 2 s"  # from the refusal, which a busy machine brings late and never early
    assert vm.qmp.commands == []


def test_smaller_offer_is_taken(world: World) -> None:
    vm = calm_with_surplus(world)
    vm.offers = 16 * MIB
    vm.keep_reporting()
    vm.agent.wait_for("shrink_request", 3)
    assert vm.qmp.of("qom-set")[0]["value"] == 496 * MIB


def test_veto_gives_everything_back(world: World) -> None:
    vm = calm_with_surplus(world)
    vm.keep_reporting()
    request = vm.agent.wait_for("shrink_request", 3)
    vm.qmp.obeys = False  # the third step stays in flight
    world.wait(lambda: len(vm.qmp.of("qom-set")) == 3, "the third step")
    sent = time.monotonic()
    vm.agent.send("alarm", urgency=pb.URGENCY_HIGH, cause=pb.CAUSE_VETO, need_bytes=0, usable_bytes=vm.usable,
                  veto_id=request.id)
    decision = world.wait_closed()
    assert decision["result"] == "vetoed"
    restored = vm.qmp.commands[-1]
    assert restored[2]["value"] == 512 * MIB and restored[0] - sent < 0.2


def test_silence_in_flight_gives_everything_back(world: World) -> None:
    vm = calm_with_surplus(world)
    vm.keep_reporting()
    vm.confirms = False
    vm.agent.wait_for("shrink_request")
    world.wait(lambda: vm.qmp.of("qom-set"), "the first step")
    vm.fall_silent()
    assert world.wait_closed()["result"] == "silent"
    assert vm.qmp.requested == 512 * MIB


def test_stale_guest_is_never_shrunk(world: World) -> None:
    world.configure("CalmBeforeShrink", "1s")
    vm = calm_with_surplus(world)
    vm.agent.report()
    vm.agent.report()
    time.sleep(3)  # calm for long enough, by reports that are stale after 600 ms
    assert vm.agent.all_of("shrink_request") == [] and vm.qmp.commands == []


def test_burst_of_old_reports_is_no_news(world: World) -> None:
    """An agent that was stopped for a minute and goes on: its queue says calm, and means nothing."""
    vm = calm_with_surplus(world)
    vm.agent.report()
    before = world.status()["frames_void"]
    for age in range(60, 30, -1):
        vm.agent.send("report", monotonic_usec=vm.agent.now_usec() - age * 1_000_000, **vm.agent.figures)
    time.sleep(1)
    assert vm.agent.all_of("shrink_request") == []
    assert world.status()["frames_void"] == before + 30


def test_need_in_flight_turns_it_around(world: World) -> None:
    vm = calm_with_surplus(world)
    vm.keep_reporting()
    vm.agent.wait_for("shrink_request", 2)
    vm.fall_silent()
    vm.refresh(available=MIB, demand=1400 * MIB)
    vm.agent.alarm(400 * MIB)
    assert world.wait_closed()["result"] == "vetoed"
    vm.agent.alarm(400 * MIB)
    grown = world.wait_closed(n=2)
    # Partial where the restored memory came after the reading that the growth was planned on.
    assert grown["kind"] == "grow" and grown["result"] in ("done", "partial")
    assert vm.qmp.size >= 848 * MIB  # 400 MiB more than what it had when the alarm was judged


def test_never_policy(world: World) -> None:
    world.config.write_text(world.config.read_text(encoding="utf-8") + "[Shrink]\nPolicy=never\n", encoding="utf-8")
    vm = calm_with_surplus(world)
    vm.keep_reporting()
    time.sleep(1.5)
    assert vm.agent.all_of("shrink_request") == []
