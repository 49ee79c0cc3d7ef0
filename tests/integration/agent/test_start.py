# SPDX-License-Identifier: Apache-2.0
"""Command line, configuration, and the end."""
from __future__ import annotations

import signal
import socket

import pytest
from machine_tree import MachineTree


@pytest.mark.parametrize("argument", ["--dump-config", "--check"])
def test_bad_value_names_file_line_and_what_is_allowed(guest, argument):
    guest.config.write_text("[Agent]\n\nReportInterval=3h\n", encoding="ascii")
    done = guest.run("--config", str(guest.config), "--log-target=stderr", argument)
    assert done.returncode == 2
    for word in ("agent.conf:3", "3h", "100ms", "10s"):
        assert word in done.stderr, done.stderr
    guest.config.write_text("[Agent]\nReportInterval=3s\n", encoding="ascii")
    assert guest.run("--config", str(guest.config), argument).returncode == 0


def test_unknown_key_is_a_warning(guest):
    guest.config.write_text("[Agent]\nColour=blue\nFloor=1G\n", encoding="ascii")
    done = guest.run("--config", str(guest.config), "--log-target=stderr", "--dump-config")
    assert done.returncode == 0
    assert "Colour" in done.stderr and "Floor=1G" in done.stdout


def test_a_machine_without_a_port_is_left_as_it_was(guest):
    machine = MachineTree(guest.folder)
    memory = machine.path / "sys/devices/system/memory"
    before = {path: path.read_bytes() for path in memory.rglob("*") if path.is_file()}
    done = guest.run("--root", str(machine.path), "--port", str(guest.folder / "nowhere"), "--log-target=stderr")
    assert done.returncode == 3
    assert {path: path.read_bytes() for path in memory.rglob("*") if path.is_file()} == before
    assert not (machine.path / "run/memtide/auto-online").exists()
    machine.close()


def test_dump_loads_to_the_same(guest):
    first = guest.run("--dump-config", "--config", str(guest.config)).stdout
    copy = guest.folder / "copy.conf"
    copy.write_text(first, encoding="ascii")
    second = guest.run("--dump-config", "--config", str(copy)).stdout
    keys = lambda text: [line for line in text.splitlines() if "=" in line and not line.startswith("#")]
    assert keys(first) == keys(second) and len(keys(first)) == 11


@pytest.mark.parametrize("argument", ["--uevents=sometimes", "--log-level=loud", "--nonsense", "word"])
def test_bad_command_line(guest, argument):
    assert guest.run(argument).returncode == 2


def test_ends_cleanly(guest):
    guest.start()
    guest.process.send_signal(signal.SIGINT)
    assert guest.process.wait(timeout=10) == 0


def test_asks_the_oom_killer_to_spare_it(guest):
    guest.start()
    assert (guest.machine.path / "proc/self/oom_score_adj").read_text().startswith("-1000")


def test_a_machine_without_anything_still_serves(guest):
    guest.start("--root", str(guest.folder), wait=False)
    hello = guest.bridge.wait("hello")
    assert len({m.facility for m in hello.missing}) >= 5
    guest.bridge.wait("report")


def test_tells_its_manager_and_feeds_the_watchdog(guest, monkeypatch):
    path = guest.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        guest.start()
        seen = b""
        while not all(word in seen for word in (b"READY=1", b"WATCHDOG=1", b"STATUS=Reporting to the host")):
            seen += manager.recv(4096) + b"\n"
        guest.stop()
        while b"STOPPING=1" not in seen:
            seen += manager.recv(4096) + b"\n"


def reload(guest, text: str) -> None:
    guest.config.write_text(text, encoding="ascii")
    guest.process.send_signal(signal.SIGHUP)


def test_a_reload_takes_effect_and_a_wrong_one_does_not(guest):
    guest.bridge.interval_usec = 10_000_000
    guest.start()
    reload(guest, "[Agent]\nReportInterval=100ms\nFloor=777M\n")
    report = guest.bridge.wait("report", accept=lambda r: r.floor_bytes == 777 << 20)
    assert report.interval_usec <= 200_000
    reload(guest, "[Agent]\nReportInterval=5s\nFloor=lots\n")
    guest.wait_for_log("agent.conf:3: ")
    guest.wait_for_log("the running one is kept")
    mark = guest.bridge.mark()
    report = guest.bridge.wait("report", since=mark)
    assert report.floor_bytes == 777 << 20 and report.interval_usec <= 200_000


def test_a_reload_tells_its_manager(guest, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(guest.folder / "notify"))
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(guest.folder / "notify"))
        guest.start()
        reload(guest, "")
        said = [manager.recv(4096).decode()]
        while "RELOADING=1" not in said[-1]:
            said.append(manager.recv(4096).decode())
        while said[-1] != "READY=1":
            said.append(manager.recv(4096).decode())
