# SPDX-License-Identifier: Apache-2.0
"""OOM storms without end: MEMTIDE_STORMS is their number."""
from __future__ import annotations

import os
from pathlib import Path

from tests.e2e.conftest import GuestFactory
from tests.e2e.storms import survives

STORMS = int(os.environ.get("MEMTIDE_STORMS", "200"))


def test_agent_outlives_oom_storms(lone_guest: GuestFactory, build: Path) -> None:
    survives(lone_guest(virtio_mem_bytes=0), build, STORMS)
