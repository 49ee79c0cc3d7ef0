# SPDX-License-Identifier: Apache-2.0
"""One guest of the demo with its history. All lanes are measured by the same means: the sampler inside,
QEMU's own word, and the resident memory of the QEMU process."""
from __future__ import annotations

import time
from dataclasses import dataclass, field

from tests.demo.phases import Phase
from tests.guest.guest import Guest
from tests.guest.samples import Sample


@dataclass(frozen=True)
class Point:
    """The state at one moment, as seen from the host."""

    at: float            # host's monotonic clock, seconds
    phase: Phase
    size_bytes: int      # by QEMU: boot + DIMM + virtio-mem - balloon
    resident_bytes: int  # of the QEMU process
    sample: Sample       # the newest by then


@dataclass(frozen=True)
class Action:
    """Something that was done to the guest, or that befell it."""

    at: float
    text: str
    label: str  # a word or two, for the plot


@dataclass
class Lane:
    key: str     # memtide, no_agent, polling_script: as in the JSON
    title: str
    guest: Guest
    points: list[Point] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    clock_s: float = 0.0   # host's monotonic clock minus the guest's
    _killed: bool = False

    def align_clock(self) -> None:
        """So that samples of all guests lie on one axis; good to about 10 ms."""
        before = time.monotonic()
        guest = self.guest.monotonic()
        self.clock_s = (before + time.monotonic()) / 2 - guest

    def observe(self, phase: Phase) -> Point:
        """Take a point now."""
        guest = self.guest
        point = Point(time.monotonic(), phase, guest.size_bytes(), guest.resident_bytes(), guest.sample())
        self.points.append(point)
        return point

    def notice_kill(self) -> Action | None:
        """Record the OOM killer's visit, once."""
        sample = self.guest.sample()
        if self._killed or sample.oom_kills == 0:
            return None
        self._killed = True
        touched = max(s.load_bytes for s in self.guest.samples.all)
        return self.act(f"the OOM killer took the load at {touched >> 20} MiB", "OOM kill")

    def act(self, text: str, label: str, at: float | None = None) -> Action:
        """Record an action of now, or of `at`."""
        action = Action(time.monotonic() if at is None else at, text, label)
        self.actions.append(action)
        return action

    def samples_between(self, start: float, end: float) -> list[Sample]:
        """Samples by the host's clock."""
        return [s for s in self.guest.samples.all if start <= s.t_usec / 1e6 + self.clock_s <= end]

    def usable_bytes(self, sample: Sample) -> int:
        """MemTotal less a balloon that is still counted in it (only with deflate-on-oom)."""
        counted = self.guest.config.balloon and self.guest.config.deflate_on_oom
        return sample.total_bytes - (sample.balloon_bytes if counted else 0)
