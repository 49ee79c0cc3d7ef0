# SPDX-License-Identifier: Apache-2.0
"""The agent outlives its guest's OOM storms and keeps reporting; `./test.sh soak` has many more of them."""
from __future__ import annotations

from pathlib import Path

from tests.e2e.conftest import GuestFactory
from tests.e2e.storms import survives


def test_agent_outlives_oom_storms(lone_guest: GuestFactory, build: Path) -> None:
    survives(lone_guest(virtio_mem_bytes=0), build, 5)
