# SPDX-License-Identifier: Apache-2.0
"""Faults of the host that the bridge lives on, and of all guests at once (tests/FAULTS.md)."""
from __future__ import annotations

import os
import random
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import BUILD
from qmp_peer import MIB
from world import Vm, World

from tests.farm.farm import Farm, cpu_nsec, descriptors, resident_kib
from tests.guest.bridge import Bridge

CALM = "[Host]\nBudget={budget}M\nPressureLimit=off\n[Shrink]\nPolicy=never\n[Metrics]\nListen=off\n[Audit]\nFile=off\n"


def fleet(folder: Path, n: int, budget_mib: int) -> Iterator[tuple[Farm, Bridge]]:
    """A running bridge over n fake VMs; the contract is checked at the end."""
    (folder / "bridge.conf").write_text(CALM.format(budget=budget_mib), encoding="utf-8")
    bridge = Bridge(BUILD, folder, folder / "bridge.conf", level="warning")
    with Farm(BUILD / "tests/farm/farm", bridge.discovery, n, budget=budget_mib) as farm:
        with bridge:
            farm.wait("all sessions", 60, sessions=n, monitors=n)
            yield farm, bridge
        assert not farm.broken(), farm.broken()


@pytest.fixture
def starving(folder: Path) -> Iterator[tuple[Farm, Bridge]]:
    yield from fleet(folder, 200, 200 * 512 + 64 * 128)


@pytest.fixture
def roomy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Farm, Bridge]]:
    # What the sanitizer keeps of freed memory is none of the bridge's, and the more the slower the machine is.
    monkeypatch.setenv("ASAN_OPTIONS", os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1")
    yield from fleet(folder, 100, 1 << 20)


def test_all_starve_in_the_same_second(starving: tuple[Farm, Bridge]) -> None:
    """Budget for 64 of 200 that each want 128 MiB: all of it is given, and not a byte more at any command."""
    farm, _ = starving
    farm.reset()
    farm.probe(2000)
    stats = farm.wait("the budget to be used up", 30, grows=64)
    time.sleep(0.5)
    stats = farm.stats()
    assert stats["over_budget"] == 0
    assert stats["committed_bytes"] == (200 * 512 + 64 * 128) * MIB


@pytest.mark.parametrize("mode", ["flood", "garbage", "slowloris", "flapping"])
def test_a_tenth_misbehaves(roomy: tuple[Farm, Bridge], mode: str) -> None:
    """The others are all served meanwhile, and nothing is left behind."""
    farm, bridge = roomy
    before_fds, before_kib = descriptors(bridge.pid), resident_kib(bridge.pid)
    farm.agents(mode, 10)
    time.sleep(0.5)
    farm.reset()
    farm.probe(200, 90, 10)
    farm.wait("the others' alarms to be answered", 30, grows=90)
    farm.probe(0)
    assert resident_kib(bridge.pid) - before_kib < 8192
    farm.agents("honest", 10)
    farm.wait("all of them again", 60, sessions=100)
    assert descriptors(bridge.pid) <= before_fds


@pytest.mark.parametrize("mode", ["dead", "hung", "slow"])
def test_a_tenth_of_the_monitors_hangs(roomy: tuple[Farm, Bridge], mode: str) -> None:
    farm, bridge = roomy
    before = descriptors(bridge.pid)
    farm.monitors(mode, 10)
    farm.reset()
    farm.probe(200, 90, 10)
    farm.wait("the others' alarms to be answered", 30, grows=90)
    farm.probe(0)
    farm.monitors("obedient", 10)
    farm.wait("all of them again", 60, monitors=100)
    assert descriptors(bridge.pid) <= before


def wrapped(world: World, line: str) -> World:
    """The bridge is started by a shell that does something to it first; "$@" is the command."""
    wrapper = world.folder / "wrapper"
    wrapper.write_text(f'#!/bin/sh\nset -- {world.bridge_path} "$@"\n{line}\n', encoding="utf-8")
    wrapper.chmod(0o700)
    world.bridge_path = wrapper
    return world


def spin_check(world: World, pid: int, old: Vm) -> None:
    spent, since = cpu_nsec(pid), time.monotonic()
    old.agent.alarm(128 * MIB)
    world.wait(lambda: old.qmp.size == 128 * MIB, "the old VM to be served")
    time.sleep(1)
    assert cpu_nsec(pid) - spent < 0.02e9 * (time.monotonic() - since), "it spins"


def test_no_descriptors_left(world: World) -> None:
    """New VMs are not taken up, the old ones are served, and it does not spin; later all is well."""
    world.add("old")
    wrapped(world, 'exec prlimit --nofile=40:40 "$@"').start().wait_managed()
    assert world.process
    pid, old = world.process.pid, world.vms["old"]
    extras = [world.add(f"new{i:02}") for i in range(20)]
    # One is free at times: each attempt to connect takes one, and gives it back.
    world.wait(lambda: descriptors(pid) >= 39, "the last descriptor to be taken")
    time.sleep(1)
    assert world.status("old")["state"] == "managed", "who wants to know what is wrong is answered"
    with (socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second):
        for client in (first, second):  # more than can be answered: they wait, and nobody spins for them
            client.connect(str(world.runtime / "bridge.sock"))
        spin_check(world, pid, old)
    assert descriptors(pid) >= 38 and old.qmp.connections == 1, "there were some left, or the old VM was lost"
    assert sum(vm.qmp.connections > 0 and vm.agent.connections > 0 for vm in extras) < 20
    for extra in extras[5:]:
        world.vms.pop(extra.name).close()
    names = [extra.name for extra in extras[:5]]
    world.wait_managed(*names)
    for name in names:
        world.vms[name].agent.alarm(128 * MIB)
        assert world.wait_closed(name)["result"] == "done"


def test_the_log_is_full(world: World) -> None:
    world.add()
    wrapped(world, 'exec "$@" >/dev/full 2>/dev/full').start().wait_managed()
    world.vms["a"].agent.alarm(128 * MIB)
    assert world.wait_closed()["result"] == "done"


def test_a_storm_of_hangups(world: World) -> None:
    """Each reload is whole or none, and nobody waits for it."""
    vm = world.add()
    world.start().wait_managed()
    assert world.process
    for i in range(200):
        world.process.send_signal(signal.SIGHUP)
        if i == 100:
            vm.agent.alarm(128 * MIB)
    assert world.wait_closed()["result"] == "done"
    assert world.status()["state"] == "managed"


def torn(data: bytes) -> list[bytes]:
    """Prefixes at and around page boundaries, and a few anywhere; then one bit turned over."""
    chance = random.Random(1)
    cuts = [0, 1, 15, 16, 100, 4095, 4096, 4097, len(data) // 2, len(data) - 4096, len(data) - 1]
    flips = [bytearray(data) for _ in range(3)]
    for flipped in flips:
        flipped[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return [data[:cut] for cut in cuts if cut >= 0] + [bytes(flipped) for flipped in flips]


def test_torn_history_changes_no_size(world: World) -> None:
    """Whatever is left of the file, the bridge starts, and from what QEMU says."""
    vm = world.add()
    world.start().wait_managed()
    vm.agent.alarm(256 * MIB)
    world.wait_closed()
    world.stop()
    file = world.runtime / "audit.sqlite"
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = file.read_bytes()
    commands = len(vm.qmp.commands)
    for left in torn(data):
        for old in world.runtime.glob("audit.sqlite*"):
            os.unlink(old)
        file.write_bytes(left)
        world.start().wait_managed()
        status = world.status()
        assert (status["size_bytes"], status["committed_bytes"]) == (vm.usable, vm.usable), len(left)
        world.stop(signal.SIGKILL)
        (world.runtime / "bridge.sock").unlink(missing_ok=True)
    assert len(vm.qmp.commands) == commands
