# SPDX-License-Identifier: Apache-2.0
"""What applications hear: GLib's own memory monitor, and the agent's signals, over a real bus daemon."""
from __future__ import annotations

import shutil
import time

import pytest

pytest.importorskip("gi", reason="needs python3-gi")
if not shutil.which("dbus-daemon"):
    pytest.skip("needs dbus-daemon", allow_module_level=True)

from system_bus import SystemBus  # noqa: E402
from tests.guest.wait import PATIENCE

MIB = 1 << 20
FOUND_S = 15  # the agent looks for the bus every five seconds


def fall(guest, seconds: float = 1.6) -> None:
    """Memory goes at 500 MiB/s."""
    for _ in range(int(seconds / 0.03)):
        guest.machine.use(min(16 * MIB, guest.machine.available - 4 * MIB))
        time.sleep(0.03)


def test_glib_hears_that_memory_is_low(guest):
    guest.start(free=600 * MIB)
    with SystemBus(guest.machine.path) as bus:  # it comes after the agent
        application = bus.application()
        assert "monitor GMemoryMonitorDBus" in application.lines or "MemoryMonitor" in application.lines[0]
        guest.wait_for_log("as org.freedesktop.LowMemoryMonitor", FOUND_S)
        time.sleep(0.3)  # GLib makes its proxy when it hears of the name
        assert not [line for line in application.heard() if line.startswith("warning")]
        fall(guest)
        application.wait("warning 255")
        levels = [int(line.split()[1]) for line in application.lines if line.startswith("warning")]
        assert levels == sorted(set(levels)) and set(levels) <= {50, 100, 255}


def test_applications_hear_of_growth_and_of_shrinking(guest):
    guest.start(free=600 * MIB)
    with SystemBus(guest.machine.path) as bus:
        application = bus.application()
        guest.wait_for_log("as org.memtide.Agent1", FOUND_S)
        deadline = guest.bridge.now_usec() + 5_000_000
        guest.bridge.send("grow_notice", id=3, bytes=256 * MIB, deadline_usec=deadline)
        guest.machine.plug(128 * MIB)
        time.sleep(0.2)
        assert not [line for line in application.heard() if line.startswith("Grown")]  # not yet all
        guest.machine.plug(128 * MIB)
        application.wait(f"Grown {256 * MIB} 3")
        time.sleep(0.8)
        for step in (1, 2):
            guest.bridge.send("shrink_request", id=9, step=step, bytes=64 * MIB, remaining_bytes=(3 - step) * 64 * MIB,
                              last=step == 2, deadline_usec=guest.bridge.now_usec() + 3_000_000)
            guest.bridge.wait("shrink_offer", accept=lambda o, s=step: o.step == s and o.offered_bytes > 0)
            guest.machine.plug(-64 * MIB)
            guest.bridge.wait("resize_confirm", accept=lambda c, s=step: c.id == 9 and c.step == s)
        application.wait(f"ShrinkPrepare {128 * MIB} 9")
        assert len([line for line in application.heard() if line.startswith("ShrinkPrepare")]) == 1


def test_another_monitor_is_left_alone(guest):
    guest.start(wait=False)
    with SystemBus(guest.machine.path) as bus:
        bus.own("org.freedesktop.LowMemoryMonitor")
        application = bus.application()
        guest.bridge.open()
        guest.wait_for_log("Not on the system bus as org.freedesktop.LowMemoryMonitor: another program has", FOUND_S)
        guest.wait_for_log("as org.memtide.Agent1", FOUND_S)
        fall(guest)
        guest.bridge.wait("alarm")
        time.sleep(0.3)
        assert not [line for line in application.heard() if line.startswith("warning")]
        assert guest.log_text().count("another program has") == 1


def test_without_the_policy_it_says_so_and_works(guest):
    guest.start()
    with SystemBus(guest.machine.path, policy=""):
        guest.wait_for_log("Not on the system bus as org.memtide.Agent1: ", FOUND_S)
        mark = guest.bridge.mark()
        guest.bridge.wait("report", since=mark)


def test_a_bus_that_went_is_found_again(guest):
    guest.start(free=600 * MIB)
    with SystemBus(guest.machine.path):
        guest.wait_for_log("as org.freedesktop.LowMemoryMonitor", FOUND_S)
    guest.wait_for_log("The system bus has gone")
    with SystemBus(guest.machine.path) as bus:
        application = bus.application()
        end = time.monotonic() + PATIENCE * FOUND_S
        while guest.log_text().count("On the system bus as org.freedesktop.LowMemoryMonitor") < 2:
            assert time.monotonic() < end, guest.log_text()
            time.sleep(0.05)
        time.sleep(0.3)
        fall(guest)
        application.wait("warning 255")
