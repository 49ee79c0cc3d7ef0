# SPDX-License-Identifier: Apache-2.0
"""P8: 4 GiB of virtio-mem asked for with the kernel's auto-online off: the driver stops at 1 GiB of offline blocks until
somebody onlines them. The agent, as it chooses and writing every block, against the kernel's own onlining, and against
nobody."""
from __future__ import annotations

import time

from tests.bench.result import Result, absolute, compare
from tests.bench.settings import CannotMeasure, Settings, interleave
from tests.bench.stage import new_guest, onlined_by
from tests.guest.guest import GIB, MIB, Guest

NAME = "p8-virtio-mem"
PEERS = ()
SIZE = 4 * GIB
PATIENCE_S, STUCK_S = 20.0, 4.0


def run(settings: Settings) -> list[Result]:
    with new_guest(settings, memory_mib=1024, virtio_mem_bytes=SIZE) as guest:
        stuck = _stuck_bytes(guest)
        settings.say(f"without anybody: {stuck // MIB} MiB after {STUCK_S:.0f} s")
        seen = interleave({way: lambda way=way: _plug_ms(guest, way)  # type: ignore[misc]
                           for way in ("agent", "written", "kernel")}, settings.rounds)
    results = []
    for ours, note in (("agent", ""), ("written", ", written")):
        missing = SIZE - min(done for _, done in seen[ours])
        results += [
            compare(NAME, f"kernel auto-online{note}", [ms for ms, _ in seen[ours]], [ms for ms, _ in seen["kernel"]],
                    1.5, "ms"),
            absolute(NAME, f"none may be missing (nobody: {(SIZE - stuck) // MIB}){note}", missing // MIB, 0, "MiB"),
        ]
    return results


def _plug_ms(guest: Guest, way: str) -> tuple[float, int]:
    """(milliseconds, bytes plugged in the end)."""
    with onlined_by(guest, way):
        begin = time.monotonic()
        guest.request_virtio_mem(SIZE)
        while (done := guest.virtio_mem_bytes()) < SIZE and time.monotonic() - begin < PATIENCE_S:
            time.sleep(0.001)
        took = 1000 * (time.monotonic() - begin)
    _unplug(guest)
    return took, done


def _stuck_bytes(guest: Guest) -> int:
    with onlined_by(guest, "nobody"):
        guest.request_virtio_mem(SIZE)
        time.sleep(STUCK_S)
        size = guest.virtio_mem_bytes()
    _unplug(guest)
    return size


def _unplug(guest: Guest) -> None:
    """The driver tries again after 50 s at the earliest, unless it is told again."""
    guest.request_virtio_mem(0)
    asked = time.monotonic()
    deadline = asked + 60
    while guest.virtio_mem_bytes() > 0:
        if time.monotonic() > deadline:
            raise CannotMeasure(f"{guest.virtio_mem_bytes() // MIB} MiB could not be unplugged between rounds")
        if time.monotonic() - asked > 2:
            guest.request_virtio_mem(0)
            asked = time.monotonic()
        time.sleep(0.02)
