# SPDX-License-Identifier: Apache-2.0
"""Two bridges that find the same VM: one of them resizes it, the other one looks and says who does."""
from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import BUILD
from qmp_peer import MIB
from world import Vm, World


@pytest.fixture
def second(world: World, folder: Path) -> Iterator[World]:
    """Its VMs are those of the first, under names of its own."""
    (folder / "2").mkdir()
    with World(BUILD, folder / "2") as running:
        running.lease_dir = world.lease_dir
        yield running


def share(vm: Vm, second: World, name: str) -> None:
    os.symlink(vm.agent.path, second.vms_dir / f"{name}.channel")
    os.symlink(vm.qmp.path, second.vms_dir / f"{name}.qmp")


def let_in_the_next(vm: Vm) -> None:
    """Channel and monitor serve one client at a time: now it is the other bridge's turn."""
    for peer in (vm.qmp, vm.agent):
        peer.disconnect()


def leases(world: World) -> list[Path]:
    """Who holds what; the file of locks stays."""
    return [path for path in world.lease_dir.glob("*") if path.name != "locks"]


def test_one_resizes(world: World, second: World) -> None:
    vm = world.add("a")
    share(vm, second, "mine")
    world.start().wait_managed("a")
    assert world.process
    holder = f"process {world.process.pid} ({world.runtime}, as VM a)"
    second.start()
    second.wait(lambda: second.status("mine")["leased_by"] == holder, "it to know who has the VM")
    assert f"VM mine: it is resized by {holder}, and only observed here" in second.log.read_text(encoding="utf-8")
    assert "leased" in second.status("mine")["lacks"] and world.status("a")["leased_by"] == ""
    let_in_the_next(vm)
    second.wait(lambda: second.status("mine")["state"] == "observed", "it to observe")
    vm.agent.alarm(256 * MIB)
    assert second.wait_closed("mine")["rule"] == "deny-observed" and vm.qmp.commands == []

    world.stop(signal.SIGKILL)
    second.wait(lambda: second.status("mine")["state"] == "managed", "it to take over")
    vm.agent.alarm(256 * MIB)
    assert second.wait_closed("mine", 2)["result"] == "done" and vm.qmp.size == 256 * MIB


def test_who_only_looks_needs_none(world: World, second: World) -> None:
    vm = world.add("a")
    share(vm, second, "a")
    (second.folder / "vm.d").mkdir()
    (second.folder / "vm.d" / "a.conf").write_text("[VM]\nMode=shadow\nMax=device\n", encoding="utf-8")
    second.start("--log-level=debug")
    vm.agent.wait_session()
    assert leases(world) == []
    world.start()
    world.wait(lambda: len(leases(world)) == 1, "the other one to take it")
    (second.folder / "vm.d" / "a.conf").write_text("[VM]\nMax=device\n", encoding="utf-8")
    second.wait(lambda: second.status("a")["leased_by"], "it to find the VM taken")
    os.unlink(vm.agent.path)
    world.wait(lambda: leases(world) == [], "the lease to go with its VM")


def test_no_place_for_leases(world: World) -> None:
    vm = world.add("a")
    world.lease_dir = Path("/proc/none")
    world.start().wait_managed("a")
    vm.agent.alarm(128 * MIB)
    assert world.wait_closed()["result"] == "done"
    assert world.log.read_text(encoding="utf-8").count("/proc/none is of no use") == 1
