# SPDX-License-Identifier: Apache-2.0
"""The main claim, in a loop: a 512 MiB guest survives a ramp to 1.5 GiB. MEMTIDE_RAMPS is the number of runs."""
from __future__ import annotations

import os

import pytest

from tests.demo.phases import LOAD_BYTES, RATE_MIB_S
from tests.e2e.conftest import GuestFactory
from tests.e2e.served import assert_growth_agrees, wait_held
from tests.guest.bridge import Bridge
from tests.guest.config import MIB
from tests.guest.wait import wait_for

RUNS = int(os.environ.get("MEMTIDE_RAMPS", "1"))


@pytest.mark.parametrize("run", range(1, RUNS + 1))
def test_ramp_survives(bridge: Bridge, guest: GuestFactory, run: int) -> None:
    vm = guest()
    before = vm.sample()
    vm.start_load(LOAD_BYTES, RATE_MIB_S)
    wait_held(vm, 60)
    gained = assert_growth_agrees(bridge, vm)
    stall_ms = (vm.sample().stall_some_usec - before.stall_some_usec) / 1000
    low = min(sample.available_bytes for sample in vm.samples.all)
    print(f"run {run}: gained {gained // MIB} MiB, stall {stall_ms:.1f} ms, least available {low // MIB} MiB")
    vm.free_load()
    wait_for("the load ends well, its memory intact", lambda: vm.load_phase() == "free", 10)
