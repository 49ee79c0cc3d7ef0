# SPDX-License-Identifier: Apache-2.0
"""org.memtide.Bridge1 on the system bus: everybody may look, root alone may change, signals tell of decisions."""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from world import World

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT / "tests/integration/agent"))
if not shutil.which("dbus-daemon") or not shutil.which("busctl"):
    pytest.skip("needs dbus-daemon and busctl", allow_module_level=True)

from system_bus import SystemBus  # noqa: E402

NAME = ("org.memtide.Bridge1", "/org/memtide/Bridge1", "org.memtide.Bridge1")


@pytest.fixture
def bus(folder: Path) -> Iterator[SystemBus]:
    with SystemBus(folder, policy="org.memtide.Bridge1.conf") as running:
        yield running


def busctl(bus: SystemBus, *words: str, user: int | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["busctl", f"--address=unix:path={bus.socket}", "--timeout=5", *words], capture_output=True,
                          text=True, check=False, timeout=10, user=user)


def call(bus: SystemBus, *words: str, user: int | None = None) -> subprocess.CompletedProcess[str]:
    return busctl(bus, "call", *NAME, *words, user=user)


def joined(world: World, bus: SystemBus) -> None:
    text = world.config.read_text(encoding="utf-8")
    world.config.write_text(text.replace("[Bridge]\n", f"[Bridge]\nSystemBus={bus.socket}\n"), encoding="utf-8")
    world.add()
    world.start().wait_managed()
    world.wait(lambda: call(bus, "GetBridge").returncode == 0, "the bridge on the bus")


def subscribed(connection: Any) -> None:
    """The bus answers in order: it knows by now what this connection wants to hear."""
    name = "org.freedesktop.DBus"
    connection.call_sync(name, "/org/freedesktop/DBus", name, "GetId", None, None, 0, 5000, None)


def test_root_may_change(world: World, bus: SystemBus) -> None:
    joined(world, bus)
    assert "virtio_mem_bytes" in call(bus, "GetVm", "s", "a").stdout
    assert call(bus, "Hold", "st", "a", "60000000").returncode == 0
    assert world.status()["held"] is True
    assert call(bus, "Resume", "s", "a").returncode == 0


def objects(bus: SystemBus, user: int | None = None) -> dict[str, Any]:
    """What the manager of objects has: path -> interface -> property -> value."""
    done = busctl(bus, "--json=short", "call", NAME[0], NAME[1], "org.freedesktop.DBus.ObjectManager",
                  "GetManagedObjects", user=user)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout)["data"][0])


def test_every_vm_is_an_object(world: World, bus: SystemBus) -> None:
    world.folder.chmod(0o755)
    joined(world, bus)
    bus.socket.chmod(0o777)
    world.add("b-1.x")
    world.wait_managed("b-1.x")
    found = objects(bus, user=65534 if os.geteuid() == 0 else None)
    vms = {path: interfaces["org.memtide.Vm1"] for path, interfaces in found.items() if "org.memtide.Vm1" in interfaces}
    assert sorted(vms) == ["/org/memtide/Bridge1/vm/a", "/org/memtide/Bridge1/vm/b_2d1_2ex"]
    one = {name: value["data"] for name, value in vms["/org/memtide/Bridge1/vm/b_2d1_2ex"].items()}
    assert one["Name"] == "b-1.x" and one["State"] == "managed" and one["SizeBytes"] == 512 << 20
    assert "Fields" not in one, "it is too much to be had of all at once"
    fields = busctl(bus, "--json=short", "get-property", NAME[0], "/org/memtide/Bridge1/vm/a", "org.memtide.Vm1", "Fields")
    assert json.loads(fields.stdout)["data"]["size_bytes"]["data"] == world.status("a")["size_bytes"]
    for path, words in (("/org/memtide/Bridge1/vm/none", "Name"), ("/org/memtide/Bridge1/vm/a", "Nonsense")):
        assert busctl(bus, "get-property", NAME[0], path, "org.memtide.Vm1", words).returncode != 0
    assert busctl(bus, "set-property", NAME[0], "/org/memtide/Bridge1/vm/a", "org.memtide.Vm1", "SizeBytes", "t",
                  "1").returncode != 0


def test_vms_come_and_go_as_objects(world: World, bus: SystemBus) -> None:
    gio = pytest.importorskip("gi.repository.Gio", reason="needs python3-gi")
    glib = pytest.importorskip("gi.repository.GLib", reason="needs python3-gi")
    joined(world, bus)
    flags = gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION
    connection = gio.DBusConnection.new_for_address_sync(f"unix:path={bus.socket}", flags, None, None)
    heard: list[tuple[str, Any]] = []
    connection.signal_subscribe(NAME[0], "org.freedesktop.DBus.ObjectManager", None, NAME[1], None,
                                gio.DBusSignalFlags.NONE, lambda *signal: heard.append((signal[4], signal[5].unpack())))
    subscribed(connection)

    def told() -> int:
        while glib.MainContext.default().iteration(False):
            pass
        return len(heard)
    world.add("late")
    world.wait(lambda: told() == 1, "the VM to be told of")
    name, (path, interfaces) = heard[0]
    assert name == "InterfacesAdded" and path == "/org/memtide/Bridge1/vm/late"
    assert interfaces["org.memtide.Vm1"]["Name"] == "late"
    world.vms.pop("late").close()
    world.wait(lambda: heard[told() - 1][0] == "InterfacesRemoved", "its end to be told of")
    assert heard[-1][1][0] == path and "org.memtide.Vm1" in heard[-1][1][1]
    connection.close_sync(None)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_others_may_look(world: World, bus: SystemBus) -> None:
    world.folder.chmod(0o755)
    joined(world, bus)
    bus.socket.chmod(0o777)
    assert call(bus, "GetVm", "s", "a", user=65534).returncode == 0
    for words in (["Hold", "st", "a", "60000000"], ["Resize", "st", "a", "1073741824"], ["Resume", "s", "a"]):
        refused = call(bus, *words, user=65534)
        assert refused.returncode != 0 and "denied" in (refused.stderr + refused.stdout).lower(), words
    assert world.status()["held"] is False


def test_signals(world: World, bus: SystemBus) -> None:
    gio = pytest.importorskip("gi.repository.Gio", reason="needs python3-gi")
    glib = pytest.importorskip("gi.repository.GLib", reason="needs python3-gi")
    joined(world, bus)
    flags = gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION
    connection = gio.DBusConnection.new_for_address_sync(f"unix:path={bus.socket}", flags, None, None)
    heard: list[tuple[int, str, str, str, str]] = []
    connection.signal_subscribe(NAME[0], NAME[2], "DecisionChanged", NAME[1], None, gio.DBusSignalFlags.NONE,
                                lambda *signal: heard.append(signal[5].unpack()))
    subscribed(connection)

    def closed() -> bool:
        while glib.MainContext.default().iteration(False):
            pass
        return any(result != "pending" for *_, result in heard)
    world.vms["a"].agent.alarm(128 << 20)
    world.wait(closed, "the signals")
    decision = world.decisions()[0]
    assert [signal[4] for signal in heard] == ["pending", "done"]
    assert heard[0][:4] == (decision["id"], "a", "grow", "grow-alarm")
    connection.close_sync(None)
