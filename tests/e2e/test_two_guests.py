# SPDX-License-Identifier: Apache-2.0
"""Two guests on one bridge: each gets what it needs, and neither is touched for the other's sake."""
from __future__ import annotations

from tests.e2e.conftest import GuestFactory
from tests.e2e.served import assert_growth_agrees, grows, wait_held
from tests.guest.bridge import Bridge
from tests.guest.config import MIB


def test_two_guests(bridge: Bridge, guest: GuestFactory) -> None:
    first, second = guest("first"), guest("second")
    first.start_load(900 * MIB, 50)
    wait_held(first, 60)
    assert_growth_agrees(bridge, first)
    assert second.size_bytes() == 512 * MIB and grows(bridge, second) == []

    second.start_load(900 * MIB, 50)
    wait_held(second, 60)
    assert_growth_agrees(bridge, second)
    assert first.sample().phase == "hold" and first.sample().oom_kills == 0
    # It may have given back what it did not need meanwhile, but nothing that it needed.
    assert first.sample().available_bytes > 100 * MIB


def test_a_dead_guest_leaves_the_other_alone(bridge: Bridge, guest: GuestFactory) -> None:
    first, second = guest("first"), guest("second")
    first.stop()
    second.start_load(700 * MIB, 100)
    wait_held(second, 30)
    assert_growth_agrees(bridge, second)
