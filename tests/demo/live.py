# SPDX-License-Identifier: Apache-2.0
"""What is seen while it runs: a redrawn screen on a terminal, one line per second anywhere else."""
from __future__ import annotations

import shutil
import sys
from collections import deque

from tests.demo.lane import Action, Lane, Point
from tests.demo.words import mib, plain

EVENTS_SHOWN = 12
BAR_BYTES = 2 << 30  # a full bar
BAR_WIDTH = 32


def stall_ms_per_s(lane: Lane) -> float:
    """Memory stall (PSI some) of the last second, in ms per second."""
    if len(lane.points) < 2:
        return 0.0
    before, now = lane.points[-2].sample, lane.points[-1].sample
    seconds = max((now.t_usec - before.t_usec) / 1e6, 0.001)
    return max((now.stall_some_usec - before.stall_some_usec) / 1000 / seconds, 0.0)


class Lines:
    """For pipes, logs and CI."""

    def __init__(self, lanes: list[Lane]) -> None:
        self._lanes = lanes

    def head(self) -> None:
        groups = "".join(f" | {lane.title:^25}" for lane in self._lanes)
        columns = " |    RAM   avail  stall ms/s" * len(self._lanes)
        print(f"              {groups}\n   t  phase     {columns[1:]}", flush=True)

    def tick(self, seconds: float, points: list[Point]) -> None:
        cells = "".join(f" | {mib(lane.usable_bytes(p.sample)):>6}  {mib(p.sample.available_bytes):>6}  "
                        f"{stall_ms_per_s(lane):>9.1f}"
                        for lane, p in zip(self._lanes, points))
        print(plain(f"{seconds:4.0f}s {points[0].phase.value:<10}{cells[1:]}"), flush=True)

    def tell(self, lane: Lane, action: Action) -> None:
        print(plain(f"                 > {lane.title}: {action.text}"), flush=True)

    def close(self) -> None:
        pass


class Screen:
    """The same on a terminal: a bar per guest, and the latest actions below. Drawn over itself."""

    def __init__(self, lanes: list[Lane]) -> None:
        self._lanes = lanes
        self._events: deque[str] = deque(maxlen=EVENTS_SHOWN)
        self._drawn = 0
        self._frame: list[str] = []
        self._seconds = 0.0

    def head(self) -> None:
        sys.stdout.write("\x1b[?25l")  # no cursor while it is redrawn

    def tick(self, seconds: float, points: list[Point]) -> None:
        self._seconds = seconds
        self._frame = [f"t = {seconds:.0f} s   phase: {points[0].phase.value}", "",
                       f"{'':16}{'guest RAM':>10}{'available':>11}{'stall ms/s':>12}   used # / available ."]
        self._frame += [self._row(lane, point) for lane, point in zip(self._lanes, points)]
        self._draw()

    def tell(self, lane: Lane, action: Action) -> None:
        self._events.append(f"{self._seconds:4.0f}s {lane.title}: {action.text}")
        self._draw()

    def close(self) -> None:
        sys.stdout.write("\x1b[?25h\n")
        sys.stdout.flush()

    def _row(self, lane: Lane, point: Point) -> str:
        usable, available = lane.usable_bytes(point.sample), point.sample.available_bytes
        cells = [round(value / BAR_BYTES * BAR_WIDTH) for value in (usable - available, usable)]
        bar = "#" * cells[0] + "." * (cells[1] - cells[0])
        fate = "  OOM-killed" if point.sample.oom_kills else ""
        return (f"{lane.title:<16}{mib(usable):>10}{mib(available):>11}{stall_ms_per_s(lane):>12.1f}   "
                f"{bar:<{BAR_WIDTH}}{fate}")

    def _draw(self) -> None:
        width = shutil.get_terminal_size().columns
        lines = [plain(line)[:width - 1] for line in [*self._frame, "", *self._events]]
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        sys.stdout.write(up + "".join(f"\x1b[2K{line}\n" for line in lines))
        sys.stdout.flush()
        self._drawn = len(lines)


def make_display(lanes: list[Lane]) -> Lines | Screen:
    return Screen(lanes) if sys.stdout.isatty() else Lines(lanes)
