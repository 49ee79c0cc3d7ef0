# SPDX-License-Identifier: Apache-2.0
"""The run itself: one loop, ten times a second, that moves the phases on and shows what happens."""
from __future__ import annotations

import time

from tests.demo.live import make_display
from tests.demo.phases import LOAD_BYTES, RATE_MIB_S, Phase, Schedule, View
from tests.demo.stage import Stage
from tests.demo.watcher import Watcher

TICK_S = 0.1
WATCH_EVERY = 5   # ticks between looks at the bridge's record
POINT_EVERY = 10  # ticks between points and lines


class Performance:
    """Owns nothing: stage and its guests outlive it."""

    def __init__(self, stage: Stage, seconds: int) -> None:
        self._stage = stage
        self._start = time.monotonic()
        self._deadline = self._start + seconds
        self._display = make_display(stage.lanes)
        self._size, self._still_since = 0, self._start
        self.watcher = Watcher(stage.bridge, stage.served)
        self.schedule = Schedule(self._start, stage.served.guest.size_bytes())
        self.load_phase = "idle"

    def run(self) -> None:
        self._display.head()
        try:
            tick = 0
            while self.schedule.phase is not Phase.DONE:
                self._tick(tick)
                tick += 1
                time.sleep(max(self._start + tick * TICK_S - time.monotonic(), 0.0))
            self._point()
        finally:
            self._display.close()

    def _tick(self, tick: int) -> None:
        if tick % POINT_EVERY == 0:
            self._point()
        if tick % WATCH_EVERY == 0:
            self._watch()
        for lane in self._stage.lanes:
            killed = lane.notice_kill()
            if killed:
                self._display.tell(lane, killed)
        self._serve_rival()
        phase = self.schedule.step(self._view())
        if phase is Phase.RAMP:
            for lane in self._stage.lanes:
                lane.guest.start_load(LOAD_BYTES, RATE_MIB_S)
        elif phase is Phase.RELIEF:
            for lane in self._stage.lanes:
                if lane.guest.sample().phase in ("ramp", "hold"):
                    lane.guest.free_load()

    def _view(self) -> View:
        """The sampler's newest line tells the load's phase; no round trip through a busy guest is needed."""
        now, size = time.monotonic(), self._stage.served.guest.size_bytes()
        if size != self._size:
            self._size, self._still_since = size, now
        # A sample from before the load was started must not end the ramp.
        self.load_phase = self._stage.served.guest.sample().phase
        return View(now, self.load_phase, size, self._still_since, self._deadline)

    def _watch(self) -> None:
        for action in self.watcher.poll():
            self._display.tell(self._stage.served, action)

    def _point(self) -> None:
        points = [lane.observe(self.schedule.phase) for lane in self._stage.lanes]
        self._display.tick(time.monotonic() - self._start, points)

    def _serve_rival(self) -> None:
        words = self._stage.script.step() if self._stage.script else None
        if words:
            lane = self._stage.lanes[-1]
            self._display.tell(lane, lane.act(words, "plug"))
