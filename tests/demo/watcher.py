# SPDX-License-Identifier: Apache-2.0
"""Turns the bridge's record into lines for people: what was decided and why, and what the guest confirmed."""
from __future__ import annotations

from tests.demo.lane import Action, Lane
from tests.demo.words import mark, mib, milliseconds
from tests.guest.bridge import Bridge, Decision

OPEN = "pending"


class Watcher:
    """poll() about twice a second; each decision is told when it is made and when it is closed."""

    def __init__(self, bridge: Bridge, lane: Lane) -> None:
        self._bridge = bridge
        self._lane = lane
        self._told: dict[int, str] = {}
        self.decisions: list[Decision] = []

    def poll(self) -> list[Action]:
        self.decisions = self._bridge.decisions(self._lane.guest.config.name)
        fresh = []
        for decision in self.decisions:
            before = self._told.get(decision.id)
            if before is None:
                asked = decision.number("request_usec") / 1e6 or None
                fresh.append(self._lane.act(describe_decision(decision), _label(decision), asked))
            if before in (None, OPEN) and decision.result != OPEN and decision.kind != "deny":
                fresh.append(self._lane.act(describe_outcome(decision), ""))
            self._told[decision.id] = decision.result
        return fresh


def describe_decision(decision: Decision) -> str:
    """grow 512M: predict (critical), 1.2 s to exhaustion, 180M available [grow-alarm]"""
    raw = decision.raw
    reason = f"{decision.cause} ({raw['urgency']})" if decision.cause != "none" else "calm"
    if raw["time_to_exhaustion_usec"]:
        reason += f", {raw['time_to_exhaustion_usec'] / 1e6:.1f} s to exhaustion"
    reason += f", {mib(raw['available_bytes'])} available"
    if decision.kind == "shrink":
        reason += f", demand {mib(raw['demand_bytes'])}"
    return f"{decision.kind} {mib(raw['wanted_bytes'])}: {reason} [{raw['rule']}]"


def describe_outcome(decision: Decision) -> str:
    """✔ guest confirmed +512M in 84 ms (virtio-mem, 1 step)"""
    raw = decision.raw
    spent = decision.milliseconds("request_usec", "closed_usec")
    steps = f"{raw['n_steps']} step{'s' if raw['n_steps'] != 1 else ''}"
    why = f", {raw['refusal']}" if decision.result == "refused" else ""
    text = f"guest confirmed {decision.confirmed_bytes / (1 << 20):+.0f}M of {mib(raw['wanted_bytes'])}"
    return (f"{mark(decision.result == 'done')} {decision.result}{why}: {text} in {milliseconds(spent)} "
            f"({raw['actuator']}, {steps})")


def _label(decision: Decision) -> str:
    sign = {"grow": "+", "shrink": "-"}.get(decision.kind, "deny ")
    return f"{sign}{mib(decision.number('wanted_bytes'))}"
