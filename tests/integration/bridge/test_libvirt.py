# SPDX-License-Identifier: Apache-2.0
"""VMs through libvirt: found, resized, and one whose calls hang for ever (fault row 28)."""
from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from libvirt_peer import SIZE, LibvirtPeer, build_module
from qmp_peer import MIB
from world import Vm, World


@pytest.fixture
def libvirt(world: World) -> Iterator[LibvirtPeer]:
    peer = LibvirtPeer(world.folder / "libvirt.sock")
    text = world.config.read_text().replace(
        "Connect=off", f"Connect={peer.uri}\nModule={build_module(world.folder)}")
    world.config.write_text(text)
    yield peer
    peer.hangs.clear()
    world.stop()
    peer.close()


def domain(world: World, libvirt: LibvirtPeer, name: str, policy: str = "Max=device") -> Vm:
    folder = world.folder / "domains"
    folder.mkdir(exist_ok=True)
    vm = Vm(folder, name)
    world.vms[name] = vm
    return libvirt.add(vm, policy)


def test_domain_is_found_and_grown(world: World, libvirt: LibvirtPeer) -> None:
    vm = domain(world, libvirt, "a", "Min=256M\nMax=1G")
    vm.qmp.actual = vm.qmp.target = 256 * MIB
    vm.refresh(available=20 * MIB)
    world.start("--log-level=debug").wait_managed()
    assert (world.status()["min_bytes"], world.status()["max_bytes"]) == (256 * MIB, 1024 * MIB)

    vm.agent.alarm(384 * MIB)
    decision = world.wait_closed()
    assert decision["result"] == "done" and decision["confirmed_bytes"] == 384 * MIB
    assert libvirt.of("a") == [("balloon", 512 * MIB), ("virtio-mem", 128 * MIB)]
    assert not vm.qmp.connections, "never QEMU behind libvirt's back"


def test_policy_of_a_file_and_a_name_in_two_places(world: World, libvirt: LibvirtPeer) -> None:
    vm_d = world.config.parent / "vm.d"
    vm_d.mkdir()
    (vm_d / "a.conf").write_text("[VM]\nMax=2G\n")
    vm = domain(world, libvirt, "a", "Max=1G")
    domain(world, libvirt, "b", "Max=nonsense")
    domain(world, libvirt, "c", "Max=1G\nQmp=/x")
    world.start("--log-level=debug")
    world.wait_managed("a", "c")
    (world.vms_dir / "a.qmp").symlink_to(vm.qmp.path)
    assert world.status("a")["max_bytes"] == 2048 * MIB
    world.wait(lambda: world.status("b")["state"] == "observed", "an error in metadata to leave it observed")
    assert [vm["name"] for vm in world.ctl("list")["vms"]] == ["a", "b", "c"]
    vm.agent.alarm(128 * MIB)
    assert world.wait_closed("a")["result"] == "done"
    assert libvirt.of("a") == [("virtio-mem", 128 * MIB)] and not vm.qmp.connections
    log = world.log.read_text()
    assert log.count("the policy in its metadata has errors") == 1
    assert "its metadata may not name sockets" in log


def test_one_domain_hangs(world: World, libvirt: LibvirtPeer) -> None:
    good, bad = domain(world, libvirt, "good"), domain(world, libvirt, "bad")
    world.configure("Policy", "never")
    world.start().wait_managed()
    for vm in (good, bad):
        vm.keep_reporting()
    libvirt.hangs.add("bad")
    bad.agent.alarm(128 * MIB)
    world.wait(lambda: libvirt.of("bad"), "the call that hangs")
    world.wait(lambda: world.status("bad")["state"] == "monitorless", "its breaker")

    # Nobody else is affected.
    for n in range(1, 4):
        good.agent.alarm(128 * MIB)
        assert world.wait_closed("good", n)["result"] == "done"
    time.sleep(1)
    assert len(libvirt.of("bad")) == 1, "it is asked nothing while it hangs"
    assert world.status("good")["state"] == "managed"

    # What it did after all is read, and it is served again.
    libvirt.hangs.clear()
    world.wait(lambda: world.status("bad")["state"] == "managed", "it to be back")
    world.wait(lambda: world.status("bad")["size_bytes"] == 640 * MIB, "the truth to be read")


def test_libvirtd_goes_and_comes(world: World, libvirt: LibvirtPeer) -> None:
    vm = domain(world, libvirt, "a")
    world.start().wait_managed()
    libvirt.close()
    world.wait(lambda: world.status()["state"] == "monitorless", "the loss")
    assert world.status()["agent_connected"], "the guest is heard on"
    libvirt.listen()
    world.wait(lambda: world.status()["state"] == "managed", "the return")
    assert libvirt.of("a") == [] and vm.qmp.size == 0


def test_somebody_else(world: World, libvirt: LibvirtPeer) -> None:
    vm = domain(world, libvirt, "a")
    world.start().wait_managed()
    vm.qmp.requested = vm.qmp.size = 64 * MIB
    libvirt.say(SIZE)
    world.wait(lambda: "somebody else changes its memory" in world.log.read_text(), "it to be noticed")


def test_without_module(world: World) -> None:
    path: Path = world.folder / "none.so"
    world.config.write_text(world.config.read_text().replace("Connect=off", f"Connect=fake:/x\nModule={path}"))
    vm = world.add()
    world.start().wait_managed()
    assert world.log.read_text().count(f"libvirt: no domain of it is served: {path} does not exist") == 1
    vm.agent.alarm(128 * MIB)
    assert world.wait_closed()["result"] == "done"
