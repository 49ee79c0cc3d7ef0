# SPDX-License-Identifier: Apache-2.0
"""Live migration under pressure, between two QEMUs of one host: never two owners, and nothing is carried over."""
from __future__ import annotations

from tests.e2e.conftest import GuestFactory
from tests.e2e.served import grows, wait_held, wait_settled
from tests.guest.bridge import Bridge
from tests.guest.config import MIB
from tests.guest.transfer import migrate
from tests.guest.wait import wait_for


def test_migrated_under_pressure(bridge: Bridge, guest: GuestFactory, lone_guest: GuestFactory) -> None:
    source = guest("source")
    source.start_load(850 * MIB, 30)
    wait_for("it has grown once", lambda: any(d.result == "done" for d in grows(bridge, source)), 40)
    target = lone_guest("target", incoming=True)
    wait_for("the bridge sees a machine that waits", lambda: bridge.status("target").get("state") == "paused", 10)

    migrate(source, target)
    moved_usec = wait_for("the guest to be served where it is now",
                          lambda: bridge.agent_is_connected("target") and bridge.status("target")["now_usec"], 20)
    wait_held(target, 60)
    wait_settled(bridge, target)

    # It went on growing there, by what the new QEMU says; here nothing was asked of a machine that has gone.
    there = grows(bridge, target)
    assert there and all(d.result in ("done", "partial") for d in there)
    assert all(d.number("size_bytes") > 512 * MIB for d in there)
    assert target.size_bytes() >= 850 * MIB
    assert bridge.status("source")["state"] == "paused"
    assert all(d.number("request_usec") < moved_usec for d in grows(bridge, source))
    assert target.sample().oom_kills == 0
