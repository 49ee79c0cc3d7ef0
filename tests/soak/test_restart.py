# SPDX-License-Identifier: Apache-2.0
"""A bridge that is killed and started again by a manager that keeps its channels: seen from inside a real guest."""
from __future__ import annotations

import json
import time
from pathlib import Path

from tests.e2e.conftest import BridgeFactory, GuestFactory
from tests.guest.guest import Guest
from tests.guest.manager import Manager
from tests.guest.wait import wait_for

AWAY_S = 1.0


def sessions(vm: Guest) -> list[tuple[str, int]]:
    """What the agent says of its sessions, oldest first: what, and when (usec)."""
    events = json.loads(vm.check("memtidectl status --json"))["events"]
    return [(event["what"], event["realtime_usec"]) for event in reversed(events) if event["what"].startswith("session")]


def test_the_port_stays_open(new_bridge: BridgeFactory, lone_guest: GuestFactory, folder: Path) -> None:
    """The agent has its session until the next bridge greets it, and not only until the last one was killed."""
    bridge = new_bridge()
    bridge.manager = Manager(folder / "notify")
    bridge.start()
    vm = lone_guest()
    bridge.wait_agent("vm")
    wait_for("the channel to be kept", lambda: bridge.manager and bridge.manager.names() == ["channel-vm"], 5)
    bridge.kill()
    time.sleep(AWAY_S)
    assert [what for what, _ in sessions(vm)] == ["session-opened"], "the guest has seen its port closed"
    bridge.start()
    bridge.wait_agent("vm")
    assert [what for what, _ in sessions(vm)] == ["session-opened", "session-closed", "session-opened"]
    bridge.manager.close()
