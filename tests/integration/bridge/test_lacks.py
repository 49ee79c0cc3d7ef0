# SPDX-License-Identifier: Apache-2.0
"""What a VM lacks is said when it is attached, with the fix, and memtidectl doctor tells it at any time."""
from __future__ import annotations

import json
import subprocess
from typing import Any

from qmp_peer import MIB
from world import World


def doctor(world: World, *words: str) -> tuple[int, list[dict[str, Any]]]:
    done = subprocess.run([world.ctl_path, "--socket", world.runtime / "bridge.sock", "doctor", *words, "--json"],
                          capture_output=True, text=True, check=False, timeout=20)
    return done.returncode, json.loads(done.stdout)["lacks"] if done.stdout else []


def codes(world: World) -> set[str]:
    return {lack["code"] for lack in doctor(world, "a")[1]}


def test_all_that_qemu_shows(world: World) -> None:
    vm = world.add(vmem=0, balloon=False)
    vm.qmp.devices = [{"name": "gpu", "type": "child<vfio-pci>"}]
    vm.qmp.prealloc = True
    world.start().wait_managed()
    expected = {"no-virtio-mem", "no-balloon", "vfio", "preallocated"}
    world.wait(lambda: codes(world) == expected, f"{expected}")
    code, lacks = doctor(world)
    assert code == 1 and all(lack["fix"] and lack["text"] and lack["vm"] == "a" for lack in lacks)
    assert set(world.status()["lacks"]) == expected
    world.wait(lambda: world.log.read_text(encoding="utf-8").count("a device is passed through") == 1, "the log")


def test_healthy_and_agentless(world: World) -> None:
    vm = world.add()
    world.start().wait_managed()
    # The scripted agent names no balloon driver among its capabilities.
    world.wait(lambda: codes(world) == {"no-balloon-driver"}, "one lack")
    vm.agent.close()
    world.wait(lambda: codes(world) == {"no-agent"}, "the agent's end")
    assert doctor(world, "nobody") == (1, [])


def test_a_monitor_that_knows_none_of_it(world: World) -> None:
    vm = world.add()
    vm.qmp.reject = {"query-version", "qom-list", "query-memdev"}
    world.start().wait_managed()
    vm.agent.alarm(128 * MIB)
    world.wait(lambda: vm.qmp.of("qom-set"), "growth")
    assert codes(world) == {"no-balloon-driver"}
