# SPDX-License-Identifier: Apache-2.0
"""A farm of fake VMs and the bridge over them, each on a core of its own, and what the benchmarks ask of both."""
from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.bench.interval import percentile
from tests.bench.settings import CannotMeasure, Settings, interleave
from tests.farm.farm import NICE, Farm, cpu_nsec
from tests.guest.bridge import Bridge, BridgeError

# The decisions of a benchmark are nobody's history, and nothing is to be taken back between two of its alarms.
CONFIG = """[Host]
Budget=64T
PressureLimit=off
[Shrink]
Policy=never
[Metrics]
Listen=off
[Audit]
File=off
"""
START_S = 90.0
SPARE_DESCRIPTORS = 100  # of the bridge: its loop, its log, memtidectl


@dataclass
class Fleet:
    farm: Farm
    bridge: Bridge
    program: Path  # bench-epoll

    def start(self) -> None:
        """Until every agent has a session and every monitor was read once."""
        self.farm.reset()
        self.bridge.start(START_S)
        place(self.bridge.pid, cores()[0])
        self.farm.wait("all VMs to be served", START_S, sessions=self.farm.n)
        time.sleep(1)

    def stop(self) -> None:
        self.bridge.stop()

    def usec_per_report(self, seconds: float) -> float:
        """CPU of the running bridge, all that it does counted, over the reports that it got."""
        return _usec_per_report(self.farm, self.bridge.pid, seconds)

    def floor_usec_per_report(self, seconds: float) -> float:
        """The same of the bare epoll loop. The bridge must not run."""
        with self._bare_loop() as pid:
            return _usec_per_report(self.farm, pid, seconds)

    def floor_latencies_usec(self, seconds: float, per_sec: int) -> list[float]:
        """From an alarm's write to the arrival of what a bare loop answers at once. The bridge must not run."""
        with self._bare_loop("answer"):
            return self.latencies_usec(seconds, per_sec)

    @contextlib.contextmanager
    def _bare_loop(self, *mode: str) -> Iterator[int]:
        """Its process, connected to all of the farm."""
        self.farm.reset()
        self.farm.eager(True)
        try:
            with subprocess.Popen([self.program, self.bridge.discovery, str(self.farm.n), *mode],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
                assert reader.stdin and reader.stdout
                place(reader.pid, cores()[0])
                try:
                    if reader.stdout.readline() != b"ready\n":
                        raise CannotMeasure("bench-epoll did not start")
                    self.farm.wait("the reader to be served", START_S, sessions=self.farm.n)
                    time.sleep(1)
                    yield reader.pid
                finally:
                    reader.kill()
        finally:
            self.farm.eager(False)

    def latencies_usec(self, seconds: float, per_sec: int, n: int | None = None, first: int = 0) -> list[float]:
        """From an alarm's write to the arrival of its command, of these VMs in turn, sorted."""
        self.farm.reset()
        self.farm.probe(per_sec, n, first)
        time.sleep(seconds)
        self.farm.probe(0)
        time.sleep(0.2)
        seen = sorted(map(float, self.farm.stats()["latencies_usec"]))
        if len(seen) < seconds * per_sec / 2:
            raise CannotMeasure(f"{len(seen)} of {seconds * per_sec:.0f} alarms were answered")
        return seen

    def quiet_and_not(self, settings: Settings, disturb: Callable[[bool], None], n: int | None = None,
                      first: int = 0) -> dict[str, list[float]]:
        """p99 of these VMs while `disturb` is on ("loud") and off ("quiet"), in turns."""
        return self.p99_while(settings, {"loud": lambda: disturb(True), "quiet": lambda: disturb(False)}, n, first)

    def p99_while(self, settings: Settings, states: dict[str, Callable[[], None]], n: int | None = None,
                  first: int = 0) -> dict[str, list[float]]:
        """p99 of these VMs in each of these states, in turns: some 12 s each, 6 of a quick look."""
        seconds, settle_s, per_sec = (3.0, 2.5, 100) if settings.quick else (8.0, 4.0, 100)

        def take(enter: Callable[[], None]) -> float:
            enter()
            time.sleep(settle_s)
            return p99(self.latencies_usec(seconds, per_sec, n, first))

        return interleave({name: partial(take, enter) for name, enter in states.items()}, settings.rounds)


def p99(ordered: list[float]) -> float:
    return percentile(ordered, 0.99)


def largest(wanted: int) -> int:
    """As many VMs as one process may have descriptors for: channel and monitor."""
    import resource  # pylint: disable=import-outside-toplevel
    return min(wanted, (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE_DESCRIPTORS) // 2)


@contextlib.contextmanager
def new_fleet(settings: Settings, n: int, **keys: int) -> Iterator[Fleet]:
    """The farm runs; the bridge does not yet."""
    folder = Path(tempfile.mkdtemp(prefix="mtf-"))
    config = folder / "bridge.conf"
    config.write_text(CONFIG, encoding="utf-8")
    try:
        bridge = Bridge(settings.build, folder, config, level="warning")
        with Farm(settings.program("tests/farm/farm"), bridge.discovery, n, cores()[-1], **keys) as farm:
            fleet = Fleet(farm, bridge, settings.bench_program("bench-epoll"))
            try:
                yield fleet
            finally:
                fleet.stop()
            if broken := farm.broken():
                raise CannotMeasure("the bridge broke its contract: " + "; ".join(broken))
    except BridgeError as error:
        raise CannotMeasure(str(error)) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _usec_per_report(farm: Farm, pid: int, seconds: float) -> float:
    before, reports = cpu_nsec(pid), farm.stats()["reports"]
    time.sleep(seconds)
    spent, reports = cpu_nsec(pid) - before, farm.stats()["reports"] - reports
    if reports < 0.8 * farm.n * seconds:
        raise CannotMeasure(f"the farm sent {reports} reports in {seconds:.0f} s: the machine is too busy")
    return spent / reports / 1000


def place(pid: int, core: int) -> None:
    """On this core, and before what else the machine does, as the farm is: all parties alike, or the ratio is none."""
    os.sched_setaffinity(pid, {core})
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, pid, int(NICE))


def cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))
