# SPDX-License-Identifier: Apache-2.0
"""Drives the farm of fake VMs (farm.c), and reads what a process costs."""
from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.guest.wait import wait_for

NICE = "-15"
BROKEN = ("wrong_grow", "wrong_shrink", "below_floor", "over_budget")


class Farm:
    """Use as a context manager. Keys as farm.c has them: boot, vmem, budget (MiB); interval, work (ms); seed."""

    def __init__(self, program: Path, folder: Path, n: int, cpu: int | None = None, **keys: int) -> None:
        self.n = n
        self.log = folder.parent / "farm.log"
        # To measure: on a core of its own, and before what else the machine does.
        prefix = ["nice", "-n", NICE, "taskset", "-c", str(cpu)] if cpu is not None else []
        self._command = [*prefix, str(program), str(folder), str(n), *(f"{key}={value}" for key, value in keys.items())]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Farm:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                                             text=True, bufsize=1)
        assert self._process.stdout
        if self._process.stdout.readline() != "ready\n":
            raise OSError(f"the farm did not start: {self.log.read_text(encoding='utf-8').strip()}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._process and self._process.stdin:
            try:
                self._process.stdin.close()
            except OSError:
                pass
            self._process.wait(timeout=10)

    def say(self, *words: object) -> None:
        assert self._process and self._process.stdin
        self._process.stdin.write(" ".join(map(str, words)) + "\n")

    def agents(self, mode: str, n: int, first: int = 0) -> None:
        self.say("agents", first, n, mode)

    def monitors(self, mode: str, n: int, first: int = 0) -> None:
        self.say("monitors", first, n, mode)

    def probe(self, per_sec: int, n: int | None = None, first: int = 0) -> None:
        """Alarms of these VMs in turn; 0 a second: none any more."""
        self.say("probe", per_sec, first, self.n - first if n is None else n)

    def walk(self, on: bool) -> None:
        self.say("walk", int(on))

    def eager(self, on: bool) -> None:
        """Who connects from now on gets reports without a handshake."""
        self.say("eager", int(on))

    def reset(self) -> None:
        self.say("reset")

    def stats(self) -> dict[str, Any]:
        self.say("stats")
        assert self._process and self._process.stdout
        return dict(json.loads(self._process.stdout.readline()))

    def wait(self, what: str, timeout: float = 30.0, **at_least: int) -> dict[str, Any]:
        """Until each of these counts is reached."""
        def reached() -> dict[str, Any]:
            stats = self.stats()
            return stats if all(stats[key] >= value for key, value in at_least.items()) else {}
        return wait_for(what, reached, timeout, 0.02)

    def broken(self) -> list[str]:
        """The invariants that did not hold, with what happened."""
        stats = self.stats()
        return [f"{key}: {stats[key]}" for key in BROKEN if stats[key]] \
            and [line for line in self.log.read_text(encoding="utf-8").splitlines() if line.startswith("vm")][:20]


def cpu_nsec(pid: int) -> int:
    """All threads of a process; the kernel counts it to the nanosecond, where ticks are of 10 ms."""
    return sum(int((task / "schedstat").read_text(encoding="ascii").split()[0])
               for task in Path(f"/proc/{pid}/task").iterdir())


def resident_kib(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Rss:"))


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
