# SPDX-License-Identifier: Apache-2.0
"""A bridge that is killed at random moments while its guests stream, grow and shrink.

The farm holds each command that reaches a monitor against the contract (farm-check.c); here only the killing, and that all
is as it should be again.
"""
from __future__ import annotations

import contextlib
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.farm.farm import Farm
from tests.guest.bridge import Bridge
from tests.guest.wait import wait_for

VMS = 40
CHECK_EVERY = 10  # kills
START_S = 60.0  # at most: on a machine under load 10 s were once too few
INTERVALS = 2  # until a bridge that has just started may act on a VM
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


@contextlib.contextmanager
def restless(build: Path, folder: Path, seed: int) -> Iterator[tuple[Farm, Bridge]]:
    """Guests whose demand changes all the time, and a bridge that is not started yet."""
    (folder / "bridge.conf").write_text(CONFIG, encoding="utf-8")
    bridge = Bridge(build, folder, folder / "bridge.conf", level="info")
    with Farm(build / "tests/farm/farm", bridge.discovery, VMS, vmem=2048, budget=BUDGET_MIB, interval=INTERVAL_MS,
              seed=seed) as farm:
        farm.walk(True)
        try:
            yield farm, bridge
        finally:
            bridge.stop()
    text = bridge.log.read_text(encoding="utf-8", errors="replace")
    assert "Sanitizer" not in text and "runtime error" not in text, text[-3000:]


def kill_at_random(farm: Farm, bridge: Bridge, kills: int, seed: int) -> None:
    """Between two kills it lives for up to a second, and now and then until it has converged."""
    chance = random.Random(seed)
    for kill in range(kills):
        if kill % CHECK_EVERY == 0:
            farm.walk(False)
            bridge.start(START_S)
            assert_converges(farm, bridge)
            farm.walk(True)
        else:
            bridge.start(START_S)
        time.sleep(chance.uniform(0, 1))
        bridge.kill()
        assert not farm.broken(), farm.broken()
    stats = farm.stats()
    assert stats["grows"] > kills and stats["shrinks"] > 0, f"nothing was cut in two: {stats}"


def assert_converges(farm: Farm, bridge: Bridge) -> None:
    """No VM has been heard for more than two intervals before the bridge may act on it, by what its hypervisor says.
    Intervals are counted by the reports that the bridge took, and not by a clock: the machine may be busy."""
    def converged() -> bool:
        vms = json.loads(bridge.ctl("list", "--json"))["vms"]
        late = [vm for vm in vms if not _may_act(vm) and vm.get("frames_ok", 0) > 1 + INTERVALS]  # a Hello comes first
        assert not late, f"heard, and not acted upon: {late[0]}"
        return len(vms) == VMS and all(map(_may_act, vms))
    wait_for("the bridge to converge", converged, 20, 0.02)
    committed = sum(vm["committed_bytes"] for vm in json.loads(bridge.ctl("list", "--json"))["vms"])
    assert committed == farm.stats()["committed_bytes"], f"it believes in {committed} bytes"


def _may_act(vm: dict[str, Any]) -> bool:
    return vm["state"] == "managed" and vm["committed_bytes"] > 0 and vm.get("frames_ok", 0) > INTERVALS


def assert_recovers(farm: Farm, bridge: Bridge) -> None:
    """It starts from the hypervisors' truth, and serves who asks."""
    farm.walk(False)
    bridge.start(START_S)
    wait_for("the bridge to see what is", lambda: _sees_the_truth(farm, bridge), 20)
    farm.reset()
    farm.probe(50)
    farm.wait("alarms to be answered", 20, grows=50)
    farm.probe(0)
    assert not farm.broken(), farm.broken()


def _sees_the_truth(farm: Farm, bridge: Bridge) -> bool:
    """What the bridge says of all VMs is what their monitors would say."""
    stats = farm.stats()
    status = [bridge.status(f"vm{i:05}") for i in range(VMS)]
    return stats["sessions"] == VMS and sum(one["committed_bytes"] for one in status) == stats["committed_bytes"]
