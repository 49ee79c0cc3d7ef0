# SPDX-License-Identifier: Apache-2.0
"""What sampler.c writes: one line per interval, in a file that QEMU fills from a virtio-serial port.

A file rather than a socket: no reader can hold the guest up, and it is still there after a panic.
"""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

KIB = 1024
PAGE = 4096


@dataclass(frozen=True)
class Sample:
    """One line. Bytes and microseconds; -1 where the kernel has no such value."""

    t_usec: int             # guest's CLOCK_MONOTONIC
    total_bytes: int        # MemTotal
    free_bytes: int
    available_bytes: int    # MemAvailable
    stall_some_usec: int    # memory PSI totals since boot
    stall_full_usec: int
    oom_kills: int          # since boot
    balloon_bytes: int      # taken by the balloon, by the guest's own counters
    phase: str              # of the load: idle, ramp, hold, free, killed, failed
    load_bytes: int         # touched by the load so far
    swapped_out_bytes: int  # since boot


class SampleReader:
    """Reads new lines from where it stopped; a half-written last line waits for its rest."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.all: list[Sample] = []

    def poll(self) -> list[Sample]:
        """The samples since the last call; also kept in `all`."""
        try:
            with open(self._path, "rb") as handle:
                handle.seek(self._offset)
                data = handle.read()
        except FileNotFoundError:
            return []
        whole, _, _ = data.rpartition(b"\n")
        self._offset += len(whole) + 1 if whole else 0
        fresh = [sample for line in whole.split(b"\n") if (sample := parse_sample(line)) is not None]
        self.all.extend(fresh)
        return fresh

    @property
    def last(self) -> Sample | None:
        self.poll()
        return self.all[-1] if self.all else None


def parse_sample(line: bytes) -> Sample | None:
    """None for a line that a dropped write has mangled: losing one is the sampler's contract."""
    fields = line.decode(errors="replace").split()
    if len(fields) != 11:
        return None
    try:
        numbers = [int(field) for field in fields[:8]] + [int(field) for field in fields[9:]]
    except ValueError:
        return None
    return Sample(t_usec=numbers[0], total_bytes=numbers[1] * KIB, free_bytes=numbers[2] * KIB,
                  available_bytes=numbers[3] * KIB, stall_some_usec=numbers[4], stall_full_usec=numbers[5],
                  oom_kills=numbers[6], balloon_bytes=numbers[7] * PAGE, phase=fields[8], load_bytes=numbers[8],
                  swapped_out_bytes=numbers[9] * PAGE)
