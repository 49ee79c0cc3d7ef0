# SPDX-License-Identifier: Apache-2.0
"""What several scenarios check about a guest that memtide serves."""
from __future__ import annotations

from tests.guest.bridge import Bridge, Decision
from tests.guest.config import MIB
from tests.guest.guest import Guest
from tests.guest.wait import wait_for

TOLERANCE_BYTES = 16 * MIB


def grows(bridge: Bridge, guest: Guest) -> list[Decision]:
    """Resizes that asked the hypervisor for more, oldest first."""
    return [d for d in bridge.decisions(guest.config.name) if d.kind == "grow" and d.number("request_usec")]


def shrinks(bridge: Bridge, guest: Guest) -> list[Decision]:
    return [d for d in bridge.decisions(guest.config.name) if d.kind == "shrink"]


def wait_held(guest: Guest, timeout: float) -> None:
    """The load has touched all that it wanted; it must not have been killed on the way."""
    wait_for("the load is through", lambda: guest.sample().phase not in ("idle", "ramp"), timeout)
    assert guest.sample().phase == "hold", f"the load's end: {guest.sample().phase}"
    assert guest.sample().oom_kills == 0


def wait_settled(bridge: Bridge, guest: Guest, timeout: float = 10.0) -> None:
    """No resize is open: each was closed by the guest or by its deadline."""
    name = guest.config.name
    wait_for("all resizes are closed", lambda: all(d.result != "pending" for d in bridge.decisions(name)), timeout)


def assert_growth_agrees(bridge: Bridge, guest: Guest) -> int:
    """What the guest confirmed is what QEMU says it has more than at boot. Returns those bytes."""
    name = guest.config.name

    def at_rest() -> tuple[int, int] | None:
        """Confirmed and plugged, of one moment: a load that has just ended may be given more."""
        before, size, after = bridge.decisions(name), guest.size_bytes(), bridge.decisions(name)
        if len(before) != len(after) or any(d.result == "pending" for d in before + after):
            return None
        return sum(d.confirmed_bytes for d in after if d.kind == "grow"), size - guest.config.memory_mib * MIB

    figures = wait_for("a moment without a resize", at_rest, 10)
    assert figures
    confirmed, plugged = figures
    assert abs(confirmed - plugged) <= TOLERANCE_BYTES, f"guest {confirmed // MIB}, QEMU {plugged // MIB} MiB"
    return confirmed
