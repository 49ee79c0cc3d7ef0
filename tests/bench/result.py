# SPDX-License-Identifier: Apache-2.0
"""One line of the outcome: ours, the peer, their ratio and what was promised of it. Pure."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tests.bench.interval import ratio_interval


@dataclass(frozen=True)
class Result:
    """Less is better, always. `bar` is the largest ratio that keeps the promise; None promises nothing."""

    name: str
    ours: float
    peer: float
    peer_name: str
    ratio: float
    lo: float
    hi: float
    bar: float | None
    unit: str

    @property
    def ok(self) -> bool:
        """The whole interval keeps the promise, not just its middle."""
        return self.bar is None or self.hi <= self.bar

    @property
    def verdict(self) -> str:
        """ok, MISSED (the whole interval is above the bar), unsure (it lies on both sides), or - (no bar)."""
        if self.bar is None:
            return "-"
        if self.ok:
            return "ok"
        return "MISSED" if self.lo > self.bar else "unsure"

    def line(self) -> str:
        bar = "-" if self.bar is None else f"{self.bar:.2f}"
        return (f"{self.name:<14} {_number(self.ours):>9} {_number(self.peer):>9} {self.unit:<10} {self.ratio:>6.2f} "
                f"[{self.lo:.2f}, {self.hi:.2f}]".ljust(70) + f" {bar:>6}  {self.verdict:<7} {self.peer_name}")

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "ours": self.ours, "peer": self.peer, "peer_name": self.peer_name,
                "ratio": self.ratio, "lo": self.lo, "hi": self.hi, "bar": self.bar, "ok": self.ok}


HEAD = f"{'name':<14} {'ours':>9} {'peer':>9} {'unit':<10} {'ratio':>6} [95 % interval]".ljust(70) \
       + f" {'bar':>6}  {'ok':<7} peer"


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.3g}"


def compare(name: str, peer_name: str, ours: Sequence[float], peer: Sequence[float], bar: float | None,
            unit: str) -> Result:
    """Paired rounds of the same thing."""
    interval = ratio_interval(ours, peer)
    return Result(name, median(ours), median(peer), peer_name, interval.ratio, interval.lo, interval.hi, bar, unit)


def absolute(name: str, limit_name: str, ours: float, limit: float, unit: str) -> Result:
    """What has no peer but a limit: the worst that was seen, as a share of the limit. A limit of 0 allows nothing."""
    ratio = ours / limit if limit else float(ours)
    return Result(name, ours, limit, limit_name, ratio, ratio, ratio, 1.0 if limit else 0.0, unit)
