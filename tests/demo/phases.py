# SPDX-License-Identifier: Apache-2.0
"""The demo's phases, their constants, and when one ends. The guest with the agent sets the pace; the
others get the same load at the same moment."""
from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

MIB = 1 << 20

LOAD_BYTES = 1536 * MIB     # three times the boot memory
RATE_MIB_S = 110            # asked for; what was reached is measured and must be at least CLAIMED_RATE_MIB_S
CLAIMED_RATE_MIB_S = 100
CALM_S = 5.0
HOLD_S = 5.0
RAMP_LIMIT_S = 60.0
RETURN_LIMIT_S = 180.0      # "within 3 minutes"
RETURN_SHARE_PERCENT = 80
QUIET_S = 8.0               # no change of size for so long: the shrink has ended
AFTER_S = 5.0               # calm again: nothing may grow back, and free page reporting settles


class Phase(Enum):
    CALM = "calm"
    RAMP = "ramp"
    HOLD = "hold"
    RELIEF = "relief"
    SHRINK = "shrink"
    AFTER = "calm again"
    DONE = "done"


@dataclass(frozen=True)
class View:
    """What decides about the end of a phase."""

    now: float
    load_phase: str      # of the guest with the agent
    size_bytes: int      # of that guest, by QEMU
    still_since: float   # when its size last changed
    deadline: float      # --seconds: by then the demo must come to its end


class Schedule:
    """Steps through the phases; `began` has when each was entered (host's monotonic clock)."""

    def __init__(self, now: float, boot_bytes: int) -> None:
        self.phase = Phase.CALM
        self.began: dict[Phase, float] = {Phase.CALM: now}
        self._boot_bytes = boot_bytes
        self._peak_bytes = boot_bytes

    def step(self, view: View) -> Phase | None:
        """The phase that has just begun, or None."""
        self._peak_bytes = max(self._peak_bytes, view.size_bytes)
        if not self._is_over(view):
            return None
        phases = list(Phase)
        self.phase = phases[phases.index(self.phase) + 1]
        self.began[self.phase] = view.now
        return self.phase

    def _is_over(self, view: View) -> bool:
        spent = view.now - self.began[self.phase]
        match self.phase:
            case Phase.CALM:
                return spent >= CALM_S
            case Phase.RAMP:
                return view.load_phase in ("hold", "free", "killed", "failed") or spent > RAMP_LIMIT_S
            case Phase.HOLD:
                return spent >= HOLD_S
            case Phase.RELIEF:
                return view.load_phase in ("free", "killed", "failed") or spent > HOLD_S
            case Phase.SHRINK:
                return self._shrink_is_over(view, spent)
            case Phase.AFTER:
                return spent >= AFTER_S
            case Phase.DONE:
                return False

    def _shrink_is_over(self, view: View, spent: float) -> bool:
        """At boot size, or at rest with enough returned, or out of time."""
        if spent > RETURN_LIMIT_S or view.now > view.deadline:
            return True
        returned = self._peak_bytes - view.size_bytes
        enough = returned * 100 >= (self._peak_bytes - self._boot_bytes) * RETURN_SHARE_PERCENT
        at_rest = view.now - max(view.still_since, self.began[Phase.SHRINK]) >= QUIET_S
        return enough and (at_rest or view.size_bytes <= self._boot_bytes)
