# SPDX-License-Identifier: Apache-2.0
"""What an operator tells the bridge by memtidectl: a size, a hold, and the modes of a VM."""
from __future__ import annotations

import json
import os
import subprocess
import time
from typing import Any

import pytest
from qmp_peer import MIB
from world import World


def ctl(world: World, *words: str) -> tuple[int, Any]:
    done = subprocess.run([world.ctl_path, "--socket", world.runtime / "bridge.sock", *words, "--json"],
                          capture_output=True, text=True, check=False, timeout=20)
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def policy(world: World, text: str, name: str = "a") -> None:
    (world.folder / "vm.d").mkdir(exist_ok=True)
    (world.folder / "vm.d" / f"{name}.conf").write_text("[VM]\n" + text, encoding="utf-8")


def talking(world: World, text: str = "Max=2G\n", **options: Any) -> Any:
    policy(world, text)
    vm = world.add(**options)
    vm.keep_reporting()
    return vm


def begin(world: World, state: str = "managed") -> None:
    """Until the bridge has heard the guest."""
    world.start("--log-level=debug")
    world.wait(lambda: world.status()["state"] == state and "report_age_usec" in world.status(), f"{state}, with a report")


def test_grows_as_asked_and_waits(world: World) -> None:
    world.configure("HoldAfterGrow", "1min")  # it stays until it is looked at
    vm = talking(world)
    begin(world)
    code, decision = ctl(world, "resize", "a", "768M", "--wait")
    assert code == 0 and (decision["rule"], decision["result"]) == ("operator", "done"), decision
    assert decision["target_bytes"] == 768 * MIB and decision["confirmed_bytes"] == 256 * MIB
    assert vm.qmp.size == 256 * MIB
    assert world.decisions()[0]["id"] == decision["id"]


def test_dry_run_touches_nothing(world: World) -> None:
    vm = talking(world)
    begin(world)
    code, plan = ctl(world, "resize", "a", "4G", "--dry-run")
    assert code == 0 and plan["kind"] == "grow"
    assert plan["planned_bytes"] == 2048 * MIB, "held to Max="
    assert [step["to_bytes"] for step in plan["steps"]][-1] == 1536 * MIB
    assert {step["device"] for step in plan["steps"]} == {"vmem0"}
    assert vm.qmp.commands == [] and world.decisions() == []
    assert vm.agent.all_of("grow_notice") == []


@pytest.mark.parametrize(("text", "size", "rule"), [
    ("Max=512M\n", "1G", "deny-max"),
    ("Min=512M\nMax=2G\n", "256M", "deny-min"),
    ("", "1G", "deny-observed"),
    ("Mode=observed\nMax=2G\n", "1G", "deny-observed"),
])
def test_denials_name_their_bound(world: World, text: str, size: str, rule: str) -> None:
    vm = talking(world, text)
    begin(world, "observed" if rule == "deny-observed" else "managed")
    code, decision = ctl(world, "resize", "a", size)
    assert code == 1 and decision["rule"] == rule and vm.qmp.commands == []


def test_a_shrink_stays_a_conversation(world: World) -> None:
    vm = talking(world, "Min=512M\nMax=2G\n")
    vm.qmp.size = vm.qmp.requested = 512 * MIB
    vm.refresh(available=300 * MIB, demand=900 * MIB)
    vm.offers = 0
    begin(world)
    code, decision = ctl(world, "resize", "a", "512M", "--wait")
    assert code == 1 and (decision["kind"], decision["result"], decision["refusal"]) == ("shrink", "refused", "margin")
    assert vm.qmp.commands == [], "the guest did not offer anything"
    vm.offers = None
    code, decision = ctl(world, "resize", "a", "512M", "--wait")
    assert code == 0 and decision["result"] == "done" and vm.qmp.size == 0, decision


def test_what_is_not_ready(world: World) -> None:
    world.add()
    world.start()
    code, text = ctl(world, "resize", "nobody", "1G")
    assert code == 1 and "nobody" in text
    for words in (["resize", "a"], ["resize", "a", "much"], ["hold", "a", "soon"], ["resume"], ["hold", "a", "1s", "x"]):
        assert ctl(world, *words)[0] == 2, words


def test_hold_is_kept_over_a_restart(world: World) -> None:
    vm = talking(world)
    begin(world)
    assert ctl(world, "hold", "a")[0] == 0
    vm.refresh(available=MIB, demand=900 * MIB)
    vm.agent.alarm(256 * MIB)
    time.sleep(0.3)
    assert vm.qmp.commands == [] and world.status()["held"] is True
    world.stop()
    begin(world)
    vm.agent.alarm(256 * MIB)
    time.sleep(0.3)
    assert vm.qmp.commands == [] and world.status()["held"] is True
    assert ctl(world, "resize", "a", "640M", "--wait")[0] == 0, "an operator's own is done all the same"
    code, status = ctl(world, "resume", "a")
    assert code == 0 and status["held"] is False
    vm.agent.alarm(256 * MIB)
    world.wait(lambda: len(vm.qmp.of("qom-set")) > 1, "growth")


def test_hold_ends_by_itself(world: World) -> None:
    vm = talking(world)
    begin(world)
    assert ctl(world, "hold", "a", "500ms")[0] == 0
    vm.agent.alarm(256 * MIB)
    assert vm.qmp.commands == []
    time.sleep(0.5)
    vm.agent.alarm(256 * MIB)
    world.wait(lambda: vm.qmp.of("qom-set"), "growth")


def test_shadow_is_all_but_doing(world: World) -> None:
    vm = talking(world, "Mode=shadow\nMax=2G\n")
    begin(world, "shadow")
    vm.agent.alarm(256 * MIB)
    decision = world.wait_closed()
    assert (decision["rule"], decision["result"]) == ("grow-alarm", "shadow")
    assert ctl(world, "resize", "a", "1G", "--wait")[1]["result"] == "shadow"
    assert vm.qmp.commands == [] and vm.agent.all_of("grow_notice") == []
    assert world.status()["shadow_bytes"] == 1024 * MIB
    policy(world, "Max=2G\n")
    world.wait_managed()
    vm.agent.alarm(256 * MIB)
    world.wait(lambda: vm.qmp.of("qom-set"), "growth")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_only_its_own_user_may_change(world: World) -> None:
    talking(world)
    begin(world)
    for path in (world.folder, world.runtime, world.runtime / "bridge.sock"):
        path.chmod(0o777)  # somebody has opened the socket to all
    asked = [world.ctl_path, "--socket", world.runtime / "bridge.sock"]
    look = subprocess.run([*asked, "status", "a"], capture_output=True, text=True, check=False, user=65534, timeout=10)
    assert look.returncode == 0, look.stderr
    change = subprocess.run([*asked, "hold", "a"], capture_output=True, text=True, check=False, user=65534, timeout=10)
    assert change.returncode == 1 and "root" in change.stderr
    assert world.status()["held"] is False
