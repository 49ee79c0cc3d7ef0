# SPDX-License-Identifier: Apache-2.0
"""A restart that no guest notices: the service manager keeps the agents' channels."""
from __future__ import annotations

import os
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_peer import AgentPeer
from qmp_peer import MIB
from world import Vm, World

from tests.guest.manager import Manager


@pytest.fixture
def manager(folder: Path) -> Iterator[Manager]:
    running = Manager(folder / "notify")
    yield running
    running.close()


def start(world: World, manager: Manager) -> World:
    world.launcher, world.environment, world.fds = manager.launcher(), manager.environment(), manager.fds
    return world.start()


def restart(world: World, manager: Manager, sig: int) -> World:
    world.stop(sig)
    (world.runtime / "bridge.sock").unlink(missing_ok=True)
    return start(world, manager)


def log(world: World) -> str:
    return world.log.read_text(encoding="utf-8")


def kept(world: World, manager: Manager, *names: str) -> None:
    world.wait(lambda: manager.names() == [f"channel-{name}" for name in names], f"{names} to be kept")


def heard(world: World, vm: Vm) -> None:
    """A Hello and two reports of its agent have arrived."""
    world.wait(lambda: world.status(vm.name)["frames_ok"] >= 3, "reports to go on")


def test_channels_outlive_the_bridge(world: World, manager: Manager) -> None:
    vms = [world.add(name) for name in ("a", "b")]
    start(world, manager)
    for vm in vms:
        vm.agent.wait_session()
        vm.keep_reporting()
    kept(world, manager, "a", "b")
    for sig in (signal.SIGKILL, signal.SIGTERM):
        sessions = [vm.agent.session for vm in vms]
        restart(world, manager, sig)
        for vm, session in zip(vms, sessions):
            world.wait(lambda: vm.agent.session not in (0, session), "a session of the new bridge")
            heard(world, vm)
        assert [vm.agent.connections for vm in vms] == [1, 1], "a channel was closed"
        assert manager.names() == ["channel-a", "channel-b"]
    assert "2 channels were kept" in log(world)
    vms[0].agent.alarm(128 * MIB)
    assert world.wait_closed()["result"] == "done"


def test_who_hangs_up_is_not_kept(world: World, manager: Manager) -> None:
    a, b = world.add("a"), world.add("b")
    start(world, manager).wait_managed()
    kept(world, manager, "a", "b")
    b.agent.disconnect()
    world.wait(lambda: b.agent.connections == 2, "a second connection: the copy that was kept is in nobody's way")
    kept(world, manager, "a", "b")
    a.close()
    del world.vms["a"]
    kept(world, manager, "b")
    world.wait(lambda: "FDSTOREREMOVE=1\nFDNAME=channel-a" in manager.words[-1], "the manager to be told")
    os.rename(world.vms_dir / "b.channel", world.folder / "gone")  # its QEMU lives on, for somebody else to connect to
    world.wait(lambda: b.agent.session == 0, "the channel to be left")


def test_another_socket_of_that_name(world: World, manager: Manager) -> None:
    """While there was no bridge one VM was started anew, and another one's file names another socket."""
    vm, before, after = world.add("a"), AgentPeer(world.folder / "before"), AgentPeer(world.folder / "after")
    policy = world.folder / "vm.d" / "b.conf"
    policy.parent.mkdir()
    policy.write_text(f"[VM]\nChannel={before.path}\n", encoding="utf-8")
    start(world, manager)
    kept(world, manager, "a", "b")
    world.stop(signal.SIGKILL)
    vm.close()
    anew = world.add("a")
    policy.write_text(f"[VM]\nChannel={after.path}\n", encoding="utf-8")
    restart(world, manager, signal.SIGKILL)
    anew.agent.wait_session()
    after.wait_session()
    assert log(world).count("does not end at") == 2
    before.close()
    after.close()


KEEP: list[socket.socket] = []


def pair(kind: int = socket.SOCK_STREAM) -> int:
    one, other = socket.socketpair(socket.AF_UNIX, kind)
    KEEP.append(other)
    return one.detach()


def test_garbage_is_closed_and_named(world: World, manager: Manager) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(world.folder / "listener"))
    listener.listen()
    garbage = {
        "unknown": (os.open("/dev/null", os.O_RDONLY), "none of the bridge's"),
        "channel-": (pair(), "none of the bridge's"),
        "channel-../x": (pair(), "none of the bridge's"),
        "channel-" + "x" * 64: (pair(), "none of the bridge's"),
        "\x1b[31mchannel": (pair(), "none of the bridge's"),
        "channel-file": (os.open("/dev/null", os.O_RDONLY), "no connection to a Unix socket"),
        "channel-pipe": (os.pipe()[0], "no connection to a Unix socket"),
        "channel-datagram": (pair(socket.SOCK_DGRAM), "no connection to a Unix socket"),
        "channel-tcp": (socket.socket(socket.AF_INET).detach(), "no connection to a Unix socket"),
        "channel-listener": (listener.detach(), "no connection to a Unix socket"),
        "channel-a": (pair(), ""),  # a connection, and to whatever: not to the VM's socket
    }
    pipe = os.readlink(f"/proc/self/fd/{garbage['channel-pipe'][0]}")
    for name, (fd, _) in garbage.items():
        manager.hand_over(name, fd)
    vm = world.add("a")
    start(world, manager)
    vm.agent.wait_session()
    vm.keep_reporting()
    heard(world, vm)
    text = log(world)
    assert "does not end at" in text
    for name, (_, why) in garbage.items():
        if why:
            assert f'handed over as "{name}", is {why}'.replace("\x1b", "?") in text, name
    assert "\x1b" not in text
    world.wait(lambda: [name for name in manager.names() if name.isprintable()] == ["channel-a"], "the rest to be dropped")
    assert world.process
    assert pipe not in {os.readlink(fd) for fd in Path(f"/proc/{world.process.pid}/fd").iterdir()}
    for end in KEEP:
        end.close()


def test_metrics_on_a_socket_that_is_handed_over(world: World, manager: Manager) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    world.configure("Listen", "127.0.0.1:1")  # and nobody listens there
    manager.hand_over("metrics", socket.create_server(("0.0.0.0", 0)).detach())
    manager.hand_over("metrics", server.detach())
    manager.hand_over("metrics", pair())
    world.add("a")
    start(world, manager)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert 'memtide_vm_info{vm="a"' in answer.read().decode()
    assert log(world).count('"metrics", is no socket that listens on a loopback address') == 2


def test_nonsense_is_no_reason_not_to_start(world: World, manager: Manager) -> None:
    world.add("a")
    world.launcher, world.environment = manager.launcher(), {"LISTEN_FDS": "many"}
    world.start().wait_managed("a")
    assert "is not to be understood" in log(world)


def test_without_a_manager_nothing_is_said(world: World) -> None:
    vm = world.add("a")
    world.start().wait_managed()
    world.stop(signal.SIGKILL)
    (world.runtime / "bridge.sock").unlink()
    time.sleep(0.1)
    world.start()
    world.wait(lambda: vm.agent.connections == 2, "a connection as before")
