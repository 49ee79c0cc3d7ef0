# SPDX-License-Identifier: Apache-2.0
"""What the demo claims, each with its figures. Any that does not hold makes the demo fail.

Sizes are claimed only where two witnesses agree: the guest's confirmations, which the bridge recorded, and
QEMU's query-memory-devices and query-balloon, which the demo asks on a monitor of its own.
"""
from __future__ import annotations

from dataclasses import dataclass

from tests.demo.figures import Figures, grows
from tests.demo.lane import Lane
from tests.demo.phases import (CLAIMED_RATE_MIB_S, LOAD_BYTES, RETURN_LIMIT_S, RETURN_SHARE_PERCENT, Phase)
from tests.demo.words import mib
from tests.guest.bridge import Decision

# Memory is added in whole device blocks of 2 MiB; the guest's MemTotal also moves by what its kernel keeps.
TOLERANCE_PERMILLE = 10


@dataclass(frozen=True)
class Claim:
    holds: bool
    text: str


@dataclass(frozen=True)
class Run:
    """Everything that the claims are judged by."""

    served: Lane
    figures: Figures
    decisions: list[Decision]
    began: dict[Phase, float]
    load_phase: str                # at the end: free = it ended well and its memory was intact
    swap_bytes: int
    bare: Figures | None = None    # the guest without agent, with --contrast


def judge(run: Run) -> list[Claim]:
    claims = [_ramp_was_real(run), _load_survived(run), *_gain_is_confirmed(run), *_memory_came_back(run),
              _did_not_hunt(run)]
    if run.bare is not None:
        claims.append(Claim(run.bare.oom_kills > 0,
                            f"without the agent the same guest is OOM-killed: {run.bare.oom_kills} kills"))
    return claims


def _ramp_was_real(run: Run) -> Claim:
    ramp = [s for s in run.served.guest.samples.all if s.phase == "ramp" and s.load_bytes > 0]
    touched = max((s.load_bytes for s in run.served.guest.samples.all), default=0)
    seconds = (ramp[-1].t_usec - ramp[0].t_usec) / 1e6 if len(ramp) > 1 else 0
    rate = (ramp[-1].load_bytes - ramp[0].load_bytes) / (1 << 20) / seconds if seconds > 0 else 0.0
    good = touched >= LOAD_BYTES and rate >= CLAIMED_RATE_MIB_S and run.swap_bytes == 0
    return Claim(good, f"the load touched {mib(touched)} of anonymous memory at {rate:.0f} MiB/s in a guest of "
                       f"{mib(run.figures.boot_bytes)} with {mib(run.swap_bytes)} of swap")


def _load_survived(run: Run) -> Claim:
    fate = {"free": "ended well, its memory intact", "killed": "was killed"}.get(run.load_phase, run.load_phase)
    return Claim(run.figures.oom_kills == 0 and run.load_phase == "free",
                 f"the guest survived: {run.figures.oom_kills} OOM kills, the load {fate}")


def _gain_is_confirmed(run: Run) -> list[Claim]:
    confirmed = run.figures.gained_bytes_confirmed_by_guest
    plugged = run.figures.peak_bytes - run.figures.boot_bytes
    n_grows = len(grows(run.decisions, run.began))
    needed = LOAD_BYTES - run.figures.boot_bytes
    return [Claim(confirmed >= needed,
                  f"the guest confirmed {mib(confirmed)} gained in {n_grows} resizes (the load needed {mib(needed)})"),
            Claim(_agree(confirmed, plugged), f"QEMU agrees: {mib(plugged)} more than at boot")]


def _memory_came_back(run: Run) -> list[Claim]:
    figures = run.figures
    gained = figures.peak_bytes - figures.boot_bytes
    share = 100 * figures.returned_bytes // gained if gained > 0 else 0
    given = -sum(d.confirmed_bytes for d in run.decisions if d.kind == "shrink")
    seconds = _seconds_to_share(run, gained)
    in_time = "not in time" if seconds is None else f"{RETURN_SHARE_PERCENT} % within {seconds:.0f} s"
    resident_share = 100 * figures.host_rss_returned_bytes // gained if gained > 0 else 0
    return [Claim(seconds is not None, f"after the load {mib(figures.returned_bytes)} of {mib(gained)} "
                                       f"({share} %) went back to the host by QEMU's word, {in_time}"),
            Claim(figures.returned_bytes > 0 and _agree(given, figures.returned_bytes),
                  f"the guest agrees: it confirmed {mib(given)} given"),
            Claim(resident_share >= RETURN_SHARE_PERCENT,
                  f"QEMU's resident memory fell by {mib(figures.host_rss_returned_bytes)}")]


def _seconds_to_share(run: Run, gained: int) -> float | None:
    """From the load's relief until enough was back; None when it never was, or too late, or was regrown."""
    relief = run.began.get(Phase.RELIEF)
    wanted = run.figures.peak_bytes - gained * RETURN_SHARE_PERCENT // 100
    points = run.served.points
    if relief is None or gained <= 0 or points[-1].size_bytes > wanted:
        return None
    first = next(p.at for p in points if p.at >= relief and p.size_bytes <= wanted)
    return first - relief if first - relief <= RETURN_LIMIT_S else None


def _did_not_hunt(run: Run) -> Claim:
    relief_usec = run.began.get(Phase.RELIEF, float("inf")) * 1e6
    regrown = [d for d in run.decisions if d.kind == "grow" and d.number("request_usec") > relief_usec]
    vetoed = [d for d in run.decisions if d.kind == "shrink" and d.result == "vetoed"]
    return Claim(not regrown, f"its own shrink was not taken for pressure: {len(regrown)} grows, "
                              f"{len(vetoed)} vetoes after the load")


def _agree(first: int, second: int) -> bool:
    return abs(first - second) * 1000 <= max(first, second) * TOLERANCE_PERMILLE
