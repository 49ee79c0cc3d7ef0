# SPDX-License-Identifier: Apache-2.0
"""The way to the host: absent, closed, deaf, flapping. None of it may cost CPU or end the agent."""
from __future__ import annotations

import os
import pty
import time
import tty

from tests.guest.wait import PATIENCE, wait_for


def test_without_a_port_it_says_what_to_add_and_exits_with_3(guest):
    guest.bridge.go_away()
    done = guest.run("--root", str(guest.folder), "--log-target=stderr")
    assert done.returncode == 3
    assert "<target type='virtio' name='org.memtide.agent.0'/>" in done.stderr
    assert "virtserialport" in done.stderr


def test_waits_for_the_port_when_told_to(guest):
    guest.bridge.go_away()
    guest.start("--wait-for-port", wait=False)
    guest.wait_for_log("waiting for it")
    guest.bridge.listen()
    guest.bridge.open()


def test_onlines_while_it_waits(guest):
    guest.bridge.go_away()
    guest.start("--wait-for-port", wait=False)
    guest.wait_for_log("waiting for it")
    folder = guest.machine.path / "sys/devices/system/memory"
    offline = [p for p in folder.glob("memory*/state") if p.read_text().strip() == "offline"]
    end = time.monotonic() + PATIENCE * 5
    while offline and time.monotonic() < end:
        time.sleep(0.05)
        offline = [p for p in offline if p.read_text().strip() == "offline"]
    assert not offline


def test_a_closed_port_costs_nothing_and_is_found_again(guest):
    guest.start()
    guest.bridge.go_away()
    guest.wait_for_log("The host closed the port")
    time.sleep(0.3)
    before = guest.cpu_seconds()
    time.sleep(4)
    assert guest.cpu_seconds() - before <= 0.05
    mark = guest.bridge.mark()
    guest.bridge.listen()
    guest.bridge.wait("report", since=mark, seconds=6)


def test_a_host_that_does_not_read_gets_the_latest(guest):
    """What waits is replaced, not queued: after the host wakes, its second report is a fresh one."""
    guest.bridge.interval_usec = 100_000
    guest.start()
    guest.bridge.reads = False
    for number in range(1, 400):  # answers, to fill the socket
        guest.bridge.ping(number)
        time.sleep(0.006)
    assert guest.process.poll() is None
    guest.machine.use(32 << 20)
    time.sleep(1)
    mark = guest.bridge.mark()
    guest.bridge.reads = True
    guest.bridge.wait("report", since=mark, accept=lambda r: r.memory_available_bytes == guest.machine.available)


def test_flapping_leaks_nothing(guest):
    guest.start()
    guest.bridge.wait("report", accept=lambda r: r.blocks_offline == 0)  # onlining opens files of its own
    time.sleep(0.5)
    descriptors = guest.n_descriptors()
    hellos = guest.bridge.mark()
    for _ in range(20):
        guest.bridge.disconnect()
        time.sleep(0.05)
    mark = guest.bridge.mark()
    guest.bridge.wait("report", since=mark, seconds=8)
    time.sleep(0.5)
    assert guest.n_descriptors() == descriptors
    assert len(guest.bridge.all("hello", since=hellos)) <= 20


def test_a_hung_up_character_device_costs_nothing(guest):
    """A pty whose other end is closed polls as hung up for ever, as a virtio-serial port does."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    path = os.ttyname(slave)
    guest.start("--port", path, wait=False)
    guest.wait_for_log("The host opened the port")
    assert os.read(master, 4096)[:1] == b"\0"
    os.close(slave)
    os.close(master)
    lost = ("The host closed the port", "Lost the port: Input/output error")  # the latter when it was about to write
    wait_for("the port to be lost", lambda: any(text in guest.log_text() for text in lost), 5)
    before = guest.cpu_seconds()
    time.sleep(2)
    assert guest.cpu_seconds() - before <= 0.05
    assert guest.process.poll() is None


def test_a_flood_of_garbage_is_throttled(guest):
    guest.start()
    before = guest.cpu_seconds()
    end = time.monotonic() + 2
    while time.monotonic() < end:
        try:
            guest.bridge.send_raw(b"\x01" * 65536)
        except TimeoutError:
            pass
    assert guest.cpu_seconds() - before < 0.5
    guest.bridge.disconnect()
    mark = guest.bridge.mark()
    guest.bridge.wait("report", since=mark)
