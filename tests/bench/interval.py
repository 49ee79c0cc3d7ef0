# SPDX-License-Identifier: Apache-2.0
"""A ratio of two costs with an interval that says how far to believe it. Pure.

Both sides of a round were measured seconds apart on the same machine, so what a neighbour does to one it mostly
does to the other: the ratio is taken within each round, and the rounds are what is resampled. The median, because one
round that was hit on one side alone must not decide. A t interval would want the ratios to be normal, and those of
a busy machine have a long right tail.
"""
from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

RESAMPLES = 4000
SEED = 1
COVERAGE = 0.95


@dataclass(frozen=True)
class Interval:
    """lo <= ratio <= hi."""

    ratio: float
    lo: float
    hi: float


def ratio_interval(ours: Sequence[float], peer: Sequence[float]) -> Interval:
    """Median of ours/peer over paired rounds, with its 95 % percentile bootstrap interval.

    The same input gives the same interval. One round, or rounds that all agree, give an interval of no width.
    """
    if len(ours) != len(peer) or not ours:
        raise ValueError("rounds come in pairs, and there is at least one")
    if any(value < 0 for value in ours) or any(value <= 0 for value in peer):
        raise ValueError("a cost is not negative, and a peer's is not zero")
    ratios = [a / b for a, b in zip(ours, peer)]
    chance = random.Random(SEED)
    medians = sorted(median(chance.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    centre = median(ratios)
    return Interval(centre, min(percentile(medians, (1 - COVERAGE) / 2), centre),
                    max(percentile(medians, (1 + COVERAGE) / 2), centre))


def percentile(ordered: Sequence[float], share: float) -> float:
    """Of values in order, linear between neighbours: 0 is the first, 1 the last."""
    if not ordered:
        raise ValueError("no values")
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
