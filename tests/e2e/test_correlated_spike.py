# SPDX-License-Identifier: Apache-2.0
"""All guests of one bridge want the same at the same moment, and the budget holds it for two of the four at most: the
critical one is served, and what QEMU says they have together never exceeds the budget."""
from __future__ import annotations

from pathlib import Path

from tests.e2e.conftest import BridgeFactory, GuestFactory
from tests.e2e.test_four_guests import LOAD_BYTES, POLICY, assert_held, begin
from tests.guest.config import MIB

BUDGET_MIB = 1536
CLASSES = {"store": "critical", "batch": "batch", "web": "normal", "cron": "normal"}


def test_correlated_spike(new_bridge: BridgeFactory, lone_guest: GuestFactory, folder: Path) -> None:
    host = begin(new_bridge, lone_guest, folder, BUDGET_MIB,
                 {name: f"{POLICY}Class={word}\n" for name, word in CLASSES.items()})
    for guest in host.guests:
        guest.start_load(LOAD_BYTES, 25)
    host.until("the spike is over", lambda: all(g.sample().phase != "ramp" for g in host.guests), 90)
    store, *others = host.guests
    assert_held(store)
    assert store.size_bytes() > max(guest.size_bytes() for guest in others)
    assert store.size_bytes() > BUDGET_MIB // 4 * MIB  # more than its equal share, in which it would have been killed
    assert host.rules(*(guest.config.name for guest in others)) & {"deny-pool", "deny-share", "deny-budget"}
