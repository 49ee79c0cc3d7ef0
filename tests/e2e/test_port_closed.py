# SPDX-License-Identifier: Apache-2.0
"""The host closes the port for a while, then unplugs it and plugs it again: the agent must not spin on it, and must
come back by itself. MEMTIDE_CLOSED_S is for how long."""
from __future__ import annotations

import os
import time

from tests.e2e.conftest import GuestFactory
from tests.guest.bridge import Bridge
from tests.guest.config import PORT
from tests.guest.guest import Guest
from tests.guest.wait import wait_for

CLOSED_S = int(os.environ.get("MEMTIDE_CLOSED_S", "20"))
# Calm sampling is about once a second; a spin on the closed port would take all of the CPU.
MOST_CPU_PERCENT = 2.0


def cpu_ticks(vm: Guest) -> int:
    """User and system time of the agent in the guest, in 1/100 s."""
    fields = vm.check("cat /proc/$(cat /run/agent.pid)/stat").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_port_closed(bridge: Bridge, guest: GuestFactory) -> None:
    vm = guest()
    pid = vm.check("cat /run/agent.pid")
    bridge.stop()
    before = cpu_ticks(vm)
    time.sleep(CLOSED_S)
    percent = (cpu_ticks(vm) - before) / CLOSED_S
    print(f"agent's CPU while the port was closed: {percent:.2f} %")
    assert percent <= MOST_CPU_PERCENT
    bridge.start()
    bridge.wait_agent("vm", 15)
    assert vm.check("cat /run/agent.pid") == pid
    assert vm.run("kill -0 $(cat /run/agent.pid)")[0] == 0, "it is the same agent, not a restarted one"

    # The agent reports once a second: its port goes between two writes, or in one.
    ident = PORT.replace(".", "-")
    vm.qmp.command("device_del", id=f"port-{ident}")
    wait_for("the bridge hears it no more", lambda: bridge.status("vm")["report_age_usec"] > 2_500_000, 10)
    before = cpu_ticks(vm)
    time.sleep(2)
    assert cpu_ticks(vm) - before <= 20, "without a port it does next to nothing"
    vm.qmp.command("device_add", driver="virtserialport", chardev=ident, id=f"port-{ident}", name=PORT)
    wait_for("the bridge hears it again", lambda: bridge.status("vm")["report_age_usec"] < 2_000_000, 15)
    assert vm.check("cat /run/agent.pid") == pid
