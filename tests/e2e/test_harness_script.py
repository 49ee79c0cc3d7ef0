# SPDX-License-Identifier: Apache-2.0
"""The rival works as meant: on a slow load it plugs in time and the load lives."""
from __future__ import annotations

from tests.e2e.conftest import GuestFactory
from tests.guest.config import MIB
from tests.guest.script import PollingScript
from tests.guest.wait import wait_for


def test_polling_script_saves_a_slow_load(bare_guest: GuestFactory) -> None:
    guest = bare_guest(auto_online="online_movable")
    script = PollingScript(guest)
    script.start()
    guest.start_load(350 * MIB, 100)  # 90 % used, and then it waits: time enough for a poll
    wait_for("it has plugged", lambda: script.step() is not None, 15)
    wait_for("the guest has grown", lambda: guest.sample().total_bytes > 800 * MIB, 10)
    assert guest.load_phase() == "hold"
    assert guest.sample().oom_kills == 0
