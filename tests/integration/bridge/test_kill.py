# SPDX-License-Identifier: Apache-2.0
"""The bridge is killed while its guests grow and shrink. `./test.sh soak` does it a thousand times."""
from __future__ import annotations

import time
from pathlib import Path

from conftest import BUILD

from tests.farm.kill import VMS, assert_recovers, kill_at_random, restless

KILLS, SEED = 20, 1


def test_killed_at_any_moment(folder: Path) -> None:
    with restless(BUILD, folder, SEED) as (farm, bridge):
        kill_at_random(farm, bridge, KILLS, SEED)
        assert_recovers(farm, bridge)


def test_nothing_moves_while_it_is_dead(folder: Path) -> None:
    with restless(BUILD, folder, SEED) as (farm, bridge):
        bridge.start()
        farm.wait("resizes", 20, grows=VMS // 2, shrinks=5)
        bridge.kill()
        time.sleep(0.2)  # what was asked for is done
        farm.reset()
        before = farm.stats()
        time.sleep(1)
        after = farm.stats()
        assert after["committed_bytes"] == before["committed_bytes"]
        assert after["grows"] == after["shrinks"] == 0
