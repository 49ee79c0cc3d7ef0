# SPDX-License-Identifier: Apache-2.0
"""The bridge killed at MEMTIDE_KILLS random moments (1000) of MEMTIDE_SEED (1), over fake VMs: not one command in the wrong
direction, and at the end it sees what is."""
from __future__ import annotations

import os
from pathlib import Path

from tests.farm.kill import assert_recovers, kill_at_random, restless

KILLS = int(os.environ.get("MEMTIDE_KILLS", "1000"))
SEED = int(os.environ.get("MEMTIDE_SEED", "1"))


def test_killed_at_any_moment(build: Path, folder: Path) -> None:
    print(f"{KILLS} kills, seed {SEED}")
    with restless(build, folder, SEED) as (farm, bridge):
        kill_at_random(farm, bridge, KILLS, SEED)
        assert_recovers(farm, bridge)
