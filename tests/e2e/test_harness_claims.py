# SPDX-License-Identifier: Apache-2.0
"""The demo's claims can fail: from a run in which all hold, each lie breaks the claim that is about it."""
from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.demo.claims import Run, judge
from tests.demo.figures import Figures
from tests.demo.lane import Lane
from tests.demo.phases import LOAD_BYTES, Phase, Schedule, View
from tests.guest.bridge import Decision
from tests.guest.samples import Sample

MIB = 1 << 20
BOOT, GAIN = 512 * MIB, 1280 * MIB
RAMP_S, RELIEF_S = 5.0, 24.0
FIGURES = Figures(boot_bytes=BOOT, peak_bytes=BOOT + GAIN, gained_bytes_confirmed_by_guest=GAIN, oom_kills=0,
                  returned_bytes=GAIN, host_rss_returned_bytes=GAIN, alarm_to_request_ms=1.0,
                  request_to_online_ms=70.0, stall_ms=0.0)


def sample(at: float, load: int) -> Sample:
    return Sample(t_usec=int(at * 1e6), total_bytes=BOOT, free_bytes=0, available_bytes=0, stall_some_usec=0,
                  stall_full_usec=0, oom_kills=0, balloon_bytes=0, phase="ramp", load_bytes=load,
                  swapped_out_bytes=0)


def decision(kind: str, at: float, confirmed: int, result: str = "done") -> Decision:
    return Decision({"id": 1, "kind": kind, "result": result, "confirmed_bytes": confirmed,
                     "request_usec": int(at * 1e6)})


def served(ramp_s: float, back_at: float) -> Lane:
    """Only what the claims read: samples of the ramp, and QEMU's size over time."""
    samples = [sample(RAMP_S, MIB), sample(RAMP_S + ramp_s, LOAD_BYTES)]
    points = [SimpleNamespace(at=at, size_bytes=size) for at, size in
              ((0.0, BOOT), (RELIEF_S - 1, BOOT + GAIN), (back_at, BOOT), (back_at + 5, BOOT))]
    guest = SimpleNamespace(samples=SimpleNamespace(all=samples))
    return cast(Lane, SimpleNamespace(guest=guest, points=points))


def run(ramp_s: float = 14.0, back_at: float = 50.0, **changes: Any) -> Run:
    base = Run(served=served(ramp_s, back_at), figures=FIGURES,
               decisions=[decision("grow", 8, GAIN), decision("shrink", 30, -GAIN)],
               began={Phase.RAMP: RAMP_S, Phase.RELIEF: RELIEF_S}, load_phase="free", swap_bytes=0, bare=None)
    return replace(base, **changes)


def test_all_hold() -> None:
    assert [claim.text for claim in judge(run(bare=replace(FIGURES, oom_kills=1))) if not claim.holds] == []


@pytest.mark.parametrize(("lie", "broken"), [
    (run(ramp_s=20.0), "anonymous memory"),                                 # 77 MiB/s is no ramp at 100
    (run(swap_bytes=MIB), "anonymous memory"),
    (run(figures=replace(FIGURES, oom_kills=1)), "survived"),
    (run(load_phase="failed"), "survived"),                                 # its memory was damaged
    (run(figures=replace(FIGURES, gained_bytes_confirmed_by_guest=900 * MIB)), "confirmed"),
    (run(figures=replace(FIGURES, peak_bytes=BOOT + GAIN + 64 * MIB)), "QEMU agrees"),
    (run(back_at=RELIEF_S + 200), "went back"),                             # not within three minutes
    (run(decisions=[decision("grow", 8, GAIN)]), "the guest agrees"),
    (run(figures=replace(FIGURES, host_rss_returned_bytes=100 * MIB)), "resident"),
    (run(decisions=[decision("grow", 8, GAIN), decision("shrink", 30, -GAIN), decision("grow", 40, 0)]), "own shrink"),
    (run(bare=FIGURES), "without the agent"),                               # nothing was there to be survived
])
def test_each_lie_is_found(lie: Run, broken: str) -> None:
    failed = [claim.text for claim in judge(lie) if not claim.holds]
    assert any(broken in text for text in failed), failed


def view(now: float, load: str = "idle", size: int = BOOT, still: float = 0.0) -> View:
    return View(now=now, load_phase=load, size_bytes=size, still_since=still, deadline=180.0)


def test_schedule_waits_for_the_shrink_to_rest() -> None:
    schedule = Schedule(0.0, BOOT)
    assert schedule.step(view(4.9)) is None
    assert schedule.step(view(5.0)) is Phase.RAMP
    assert schedule.step(view(6.0, "idle")) is None                         # a sample from before the load
    assert schedule.step(view(19.0, "hold", BOOT + GAIN)) is Phase.HOLD
    assert schedule.step(view(24.0, "hold", BOOT + GAIN)) is Phase.RELIEF
    assert schedule.step(view(24.5, "free", BOOT + GAIN)) is Phase.SHRINK
    assert schedule.step(view(40.0, "free", BOOT + 128 * MIB, still=39.0)) is None
    assert schedule.step(view(47.0, "free", BOOT + 128 * MIB, still=39.0)) is Phase.AFTER


def test_schedule_ends_by_its_deadline() -> None:
    schedule = Schedule(0.0, BOOT)
    for now, load in ((5.0, "idle"), (19.0, "hold"), (24.0, "hold"), (24.5, "free")):
        schedule.step(view(now, load, BOOT + GAIN))
    assert schedule.phase is Phase.SHRINK
    assert schedule.step(view(179.0, "free", BOOT + GAIN)) is None
    assert schedule.step(view(180.1, "free", BOOT + GAIN)) is Phase.AFTER
