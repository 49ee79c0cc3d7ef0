# SPDX-License-Identifier: Apache-2.0
"""The figures of one guest over the whole demo: the same for each lane, so that they can stand side by side."""
from __future__ import annotations

import statistics
from dataclasses import dataclass

from tests.demo.lane import Lane
from tests.demo.phases import Phase
from tests.demo.words import mib, milliseconds
from tests.guest.bridge import Decision


@dataclass(frozen=True)
class Figures:
    """Names and order are the JSON's; a time that does not exist in a lane is None."""

    boot_bytes: int
    peak_bytes: int
    gained_bytes_confirmed_by_guest: int
    oom_kills: int
    returned_bytes: int
    host_rss_returned_bytes: int
    alarm_to_request_ms: float | None
    request_to_online_ms: float | None
    stall_ms: float


def served_figures(lane: Lane, began: dict[Phase, float], decisions: list[Decision]) -> Figures:
    """The guest with the agent: gained is the sum of its own confirmations, as the bridge recorded them."""
    grown = grows(decisions, began)
    done = [d for d in grown if d.result == "done"]
    return _figures(lane, began, gained=sum(d.confirmed_bytes for d in grown),
                    alarm_ms=_median([d.milliseconds("alarm_usec", "request_usec") for d in grown]),
                    online_ms=_median([d.milliseconds("request_usec", "closed_usec") for d in done]))


def contrast_figures(lane: Lane, began: dict[Phase, float], requests: list[float]) -> Figures:
    """A guest without agent: nobody confirms, so its own MemTotal is taken; requests are the script's."""
    samples = lane.guest.samples.all
    usable = [lane.usable_bytes(sample) for sample in samples]
    return _figures(lane, began, gained=max(usable) - usable[0], alarm_ms=None,
                    online_ms=_median([_online_after(lane, request) for request in requests]))


def grows(decisions: list[Decision], began: dict[Phase, float]) -> list[Decision]:
    """What was grown for the load: up to its relief."""
    end_usec = began.get(Phase.RELIEF, float("inf")) * 1e6
    return [d for d in decisions if d.kind == "grow" and 0 < d.number("request_usec") < end_usec]


def latency_words(grown: list[Decision]) -> str:
    """Medians of a grow's stages, for the comparison with a crude loop."""
    def stage(first: str, second: str) -> str:
        return milliseconds(_median([d.milliseconds(first, second) for d in grown]))
    return (f"{stage('request_usec', 'accepted_usec')} for QMP, {stage('request_usec', 'first_confirm_usec')} from "
            f"request to the first memory online, {stage('request_usec', 'closed_usec')} to all of it "
            f"({median_size(grown)} a time)")


def median_size(grown: list[Decision]) -> str:
    return mib(int(_median([float(d.confirmed_bytes) for d in grown]) or 0))


def _figures(lane: Lane, began: dict[Phase, float], gained: int, alarm_ms: float | None,
             online_ms: float | None) -> Figures:
    sizes = [point.size_bytes for point in lane.points]
    resident = [point.resident_bytes for point in lane.points]
    stalled = lane.samples_between(began[Phase.RAMP], began.get(Phase.RELIEF, float("inf")))
    stall_usec = stalled[-1].stall_some_usec - stalled[0].stall_some_usec if stalled else 0
    return Figures(boot_bytes=sizes[0], peak_bytes=max(sizes), gained_bytes_confirmed_by_guest=gained,
                   oom_kills=lane.guest.sample().oom_kills, returned_bytes=max(sizes) - sizes[-1],
                   host_rss_returned_bytes=max(resident) - resident[-1],
                   alarm_to_request_ms=alarm_ms, request_to_online_ms=online_ms,
                   stall_ms=round(stall_usec / 1000, 3))


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(statistics.median(known), 3) if known else None


def _online_after(lane: Lane, request: float) -> float | None:
    """Milliseconds until the sampler saw MemTotal rise; no finer than its interval."""
    samples = lane.samples_between(request, float("inf"))
    for sample in samples:
        if sample.total_bytes > samples[0].total_bytes:
            return (sample.t_usec / 1e6 + lane.clock_s - request) * 1000
    return None
