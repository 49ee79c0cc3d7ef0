# SPDX-License-Identifier: Apache-2.0
"""The bridge is killed at random moments while its guests stream, grow and shrink. The farm holds each command that
reaches a monitor against the contract (farm-check.c); here only the killing, and that all is as it should be again.

MEMTIDE_KILLS: how often (default 20; `./test.sh soak` has 1000). MEMTIDE_SEED: of the moments and of the guests' demand.
"""
from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.farm.farm import Farm
from tests.guest.bridge import Bridge
from tests.guest.wait import wait_for

KILLS = int(os.environ.get("MEMTIDE_KILLS", "20"))
SEED = int(os.environ.get("MEMTIDE_SEED", "1"))
VMS = 40
INTERVAL_MS = 200
BUDGET_MIB = VMS * 1536  # 512 are boot RAM, and the demands go to 2 GiB
# So short that grows and shrinks are under way all the time.
CONFIG = f"""
[Host]
Budget={BUDGET_MIB}M
PressureLimit=off
[Shrink]
Policy=idle
CalmBeforeShrink=200ms
HoldAfterGrow=200ms
HoldAfterRefusal=400ms
DeadBand=64M
[Bridge]
ReportInterval={INTERVAL_MS}ms
[Metrics]
Listen=off
"""


@pytest.fixture
def farm(folder: Path) -> Iterator[Farm]:
    from conftest import BUILD
    (folder / "run/vms").mkdir(parents=True)
    with Farm(BUILD / "tests/farm/farm", folder / "run/vms", VMS, vmem=2048, budget=BUDGET_MIB, interval=INTERVAL_MS,
              seed=SEED) as running:
        yield running


@pytest.fixture
def bridge(folder: Path, farm: Farm) -> Iterator[Bridge]:
    from conftest import BUILD
    (folder / "bridge.conf").write_text(CONFIG, encoding="utf-8")
    one = Bridge(BUILD, folder, folder / "bridge.conf", level="info")
    yield one
    one.stop()
    text = one.log.read_text(encoding="utf-8", errors="replace")
    assert "Sanitizer" not in text and "runtime error" not in text, text[-3000:]


def sees_the_truth(bridge: Bridge, farm: Farm) -> bool:
    """What the bridge says of all VMs is what their monitors would say."""
    stats = farm.stats()
    status = [bridge.status(f"vm{i:05}") for i in range(VMS)]
    return stats["sessions"] == VMS and sum(one["committed_bytes"] for one in status) == stats["committed_bytes"]


def test_killed_at_any_moment(farm: Farm, bridge: Bridge) -> None:
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    farm.walk(True)
    for _ in range(KILLS):
        bridge.start()
        time.sleep(chance.uniform(0, 1))
        bridge.kill()
        assert not farm.broken(), farm.broken()
    stats = farm.stats()
    assert stats["grows"] > KILLS and stats["shrinks"] > 0, f"nothing was cut in two: {stats}"

    # It starts from the hypervisors' truth, and serves who waits: in two reports of each guest where there is budget.
    farm.walk(False)
    bridge.start()
    wait_for("the bridge to see what is", lambda: sees_the_truth(bridge, farm), 20)
    farm.reset()
    farm.probe(50)
    farm.wait("alarms to be answered", 20, grows=50)
    farm.probe(0)
    assert not farm.broken(), farm.broken()


def test_nothing_moves_while_it_is_dead(farm: Farm, bridge: Bridge) -> None:
    farm.walk(True)
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
