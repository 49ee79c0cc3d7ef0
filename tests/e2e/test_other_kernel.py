# SPDX-License-Identifier: Apache-2.0
"""The life of a resize on another kernel than the run's. All rows run on one by MEMTIDE_KERNEL=6.12 ./test.sh e2e; this
is a look in the default run: grown, confirmed, and given back."""
from __future__ import annotations

from tests.e2e.conftest import GuestFactory
from tests.e2e.served import assert_growth_agrees, shrinks, wait_held
from tests.guest.bridge import Bridge
from tests.guest.config import MIB
from tests.guest.wait import wait_for


def test_grows_and_shrinks_on_6_12(bridge: Bridge, guest: GuestFactory) -> None:
    vm = guest(kernel="6.12")
    release = vm.check("uname -r").strip()
    assert release.startswith("6.12.")
    told = bridge.status("vm")
    print(f"{release} lacks {told['missing'] or 'nothing'}")
    assert told["missing"] == []
    vm.start_load(900 * MIB, 100)
    wait_held(vm, 60)
    gained = assert_growth_agrees(bridge, vm)
    vm.free_load()
    grown = vm.size_bytes()
    wait_for("half of it is back with the host", lambda: grown - vm.size_bytes() >= gained // 2, 90)
    wait_for("and the guest says so", lambda: sum(d.confirmed_bytes for d in shrinks(bridge, vm)) <= -gained // 2, 10)
    assert vm.sample().oom_kills == 0
