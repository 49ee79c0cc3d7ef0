# SPDX-License-Identifier: Apache-2.0
"""What every benchmark is told, and how it takes turns with its peers."""
from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]
SEED = 1


class CannotMeasure(Exception):
    """What is needed is not there, or the peer did not do its part; the text says what."""


@dataclass(frozen=True)
class Settings:
    build: Path    # meson's folder, not one with sanitizers
    rounds: int
    samples: int   # of p3-alloc, and of p1-rss's growth
    quick: bool    # a look, not a figure to quote
    say: Callable[[str], None]  # progress, for people

    def program(self, name: str) -> Path:
        path = self.build / name
        if not path.exists():
            raise CannotMeasure(f"no {path}: build it first, without sanitizers")
        return path

    def bench_program(self, name: str) -> Path:
        return self.program(f"tests/bench/{name}")


def interleave(parties: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Every party once per round, in an order drawn anew for each: what a round suffers, all of it suffer."""
    chance = random.Random(SEED)
    seen: dict[str, list[T]] = {name: [] for name in parties}
    for _ in range(rounds):
        for name in chance.sample(list(parties), k=len(parties)):
            seen[name].append(parties[name]())
    return seen
