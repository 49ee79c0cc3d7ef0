# SPDX-License-Identifier: Apache-2.0
"""The peer: the polling script that people write. No agent; QEMU's balloon statistics every 5 s, and
"used above 90 %: plug some, sleep".

It is a fair rival: its guest boots with memhp_default_state=online_movable, so what it plugs is used at
once; its step is as large as memtide's first; and it never waits for anything but its own clock.
"""
from __future__ import annotations

import time
from dataclasses import dataclass, field

from tests.guest.config import MIB
from tests.guest.guest import Guest

POLL_S = 5
USED_LIMIT_PERCENT = 90
STEP_BYTES = 512 * MIB
BALLOON = "/machine/peripheral/balloon0"


@dataclass
class PollingScript:
    """Call step() often; it acts only when its poll is due. `log` has what it did and when (monotonic)."""

    guest: Guest
    log: list[tuple[float, str]] = field(default_factory=list)
    _due: float = 0.0
    _requested: int = 0

    def start(self) -> None:
        self.guest.qmp.command("qom-set", path=BALLOON, property="guest-stats-polling-interval", value=POLL_S)
        self._due = time.monotonic() + POLL_S

    def step(self) -> str | None:
        """What it did now, in words, or None."""
        if time.monotonic() < self._due:
            return None
        self._due += POLL_S
        used = self._used_percent()
        if used is None or used <= USED_LIMIT_PERCENT:
            return None
        self._requested = min(self._requested + STEP_BYTES, self.guest.config.virtio_mem_bytes)
        self.guest.request_virtio_mem(self._requested)
        words = f"used {used} %: plug {STEP_BYTES // MIB} MiB"
        self.log.append((time.monotonic(), words))
        return words

    def _used_percent(self) -> int | None:
        """From the guest's last answer, up to POLL_S old: that is what balloon statistics are."""
        stats = self.guest.qmp.command("qom-get", path=BALLOON, property="guest-stats")["stats"]
        total, available = stats.get("stat-total-memory", -1), stats.get("stat-available-memory", -1)
        if not 0 < total < 1 << 62 or not 0 <= available <= total:
            return None  # the driver has not answered yet
        return 100 * (total - available) // total
