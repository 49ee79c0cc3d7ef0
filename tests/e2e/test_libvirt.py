# SPDX-License-Identifier: Apache-2.0
"""Domains of a real libvirtd, found by their port, with their policy in their metadata: balloon, virtio-mem and DIMM
both ways, another hand on one, and libvirtd's own death."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import BridgeFactory, MachineFactory
from tests.e2e.served import grows, shrinks, wait_held, wait_settled
from tests.guest import libvirt
from tests.guest.bridge import Bridge
from tests.guest.config import GIB, MIB
from tests.guest.guest import GuestConfig
from tests.guest.libvirt import Libvirtd, LibvirtGuest
from tests.guest.wait import stays, wait_for

pytestmark = pytest.mark.skipif(libvirt.missing() is not None, reason=str(libvirt.missing()))


DomainFactory = Callable[[GuestConfig, dict[str, str]], LibvirtGuest]


@pytest.fixture
def new_domain(machine_with: MachineFactory, folder: Path) -> Iterator[DomainFactory]:
    libvirtd = Libvirtd(folder).start()
    guests: list[LibvirtGuest] = []

    def make(config: GuestConfig, policy: dict[str, str]) -> LibvirtGuest:
        guests.append(LibvirtGuest(config, machine_with(), libvirtd, policy))
        return guests[-1].start().wait_up(120)
    try:
        yield make
    finally:
        for guest in guests:
            guest.stop()
        libvirtd.stop()


def through_libvirt(bridge: Bridge, build: Path, folder: Path, libvirtd: Libvirtd) -> Bridge:
    config = folder / "etc" / "bridge.conf"
    config.write_text(config.read_text().replace(
        "Connect=off", f"Connect={libvirtd.uri}\nModule={build / 'host-bridge' / 'libvirt.so'}"))
    return bridge.start()


def test_libvirt(new_bridge: BridgeFactory, build: Path, folder: Path, new_domain: DomainFactory) -> None:
    domain = new_domain(GuestConfig("vm", virtio_mem_bytes=1 * GIB), {"min": "256M", "max": "1408M"})
    libvirtd, name = domain.libvirtd, domain.config.name
    # Before the bridge comes, which would take a later hand on it for a rival's.
    libvirtd.virsh("setmem", name, "384M", "--live")
    wait_for("the balloon holds 128 MiB", lambda: domain.balloon_bytes() == 128 * MIB, 30)
    bridge = through_libvirt(new_bridge(), build, folder, libvirtd)
    bridge.wait_agent(name, 40)
    status = bridge.status(name)
    assert (status["min_bytes"], status["max_bytes"]) == (256 * MIB, 1408 * MIB), "metadata has them"

    domain.start_load(600 * MIB, 60)
    wait_held(domain, 60)
    wait_settled(bridge, domain, 30)
    # One decision may have steps of both; what they came to counts.
    assert domain.balloon_bytes() == 0 and domain.virtio_mem_bytes() > 128 * MIB
    assert sum(d.confirmed_bytes for d in grows(bridge, domain)) > domain.virtio_mem_bytes()

    # libvirtd dies and comes again: the guest is as large as it was, and is served on.
    held = domain.size_bytes()
    libvirtd.kill()
    wait_for("the bridge has lost it", lambda: bridge.status(name)["state"] == "monitorless", 10)
    stays("its size is held", lambda: domain.size_bytes() == held, 1)
    libvirtd.start()
    wait_for("the bridge is back", lambda: bridge.status(name)["state"] == "managed", 30)
    assert domain.size_bytes() == held

    plugged = domain.virtio_mem_bytes()
    domain.free_load()
    wait_for("it is shrunk", lambda: domain.virtio_mem_bytes() < plugged and shrinks(bridge, domain), 60)
    wait_settled(bridge, domain, 60)
    assert domain.sample().oom_kills == 0

    # Somebody at virsh: the bridge yields.
    libvirtd.virsh("update-memory-device", name, "--alias", "virtiomem0", "--requested-size", "1022MiB")
    wait_for("it is noticed", lambda: "somebody else changes its memory" in bridge.log.read_text(), 15)
    wait_for("it is done", lambda: domain.virtio_mem_bytes() == 1022 * MIB, 30)
    stays("nobody undoes it", lambda: domain.virtio_mem_bytes() == 1022 * MIB, 4)

    libvirtd.virsh("destroy", name)
    wait_for("the bridge forgets it", lambda: not bridge.status(name), 15)


def test_dimm(new_bridge: BridgeFactory, build: Path, folder: Path, new_domain: DomainFactory) -> None:
    """By the operator's word: what an alarm and an idle guest lead to has been seen over QMP (test_dimm.py)."""
    domain = new_domain(GuestConfig("vm", virtio_mem_bytes=0, balloon=False),
                        {"min": "256M", "max": "device", "dimmSize": "128M"})
    libvirtd, before = domain.libvirtd, domain.sample().total_bytes
    bridge = through_libvirt(new_bridge(), build, folder, libvirtd)
    bridge.wait_agent("vm", 40)

    bridge.ctl("resize", "vm", "640M", "--wait")
    assert domain.dimm_bytes() == 128 * MIB
    assert "ua-memtide-dimm0" in libvirtd.virsh("dumpxml", "vm")
    wait_for("all of it is online", lambda: domain.sample().total_bytes == before + 128 * MIB, 5)

    bridge.ctl("resize", "vm", "512M", "--wait")
    assert domain.dimm_bytes() == 0 and "memory model='dimm'" not in libvirtd.virsh("dumpxml", "vm")
    assert not [one for one in domain.qmp.command("query-memdev") if "memtide" in str(one.get("id"))]
    assert [(d.kind, d.actuator, d.result, d.confirmed_bytes) for d in bridge.decisions("vm")
            if d.result != "pending"] == [("grow", "dimm", "done", 128 * MIB), ("shrink", "dimm", "done", -128 * MIB)]
