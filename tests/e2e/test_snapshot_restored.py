# SPDX-License-Identifier: Apache-2.0
"""An old snapshot is put back under a running bridge: its agent comes with an old session and an old sequence."""
from __future__ import annotations

from tests.e2e.conftest import GuestFactory
from tests.e2e.served import assert_growth_agrees, grows, shrinks, wait_held, wait_settled
from tests.guest.bridge import Bridge
from tests.guest.config import MIB
from tests.guest.transfer import load_state, save_state
from tests.guest.wait import wait_for


def test_snapshot_restored(bridge: Bridge, guest: GuestFactory) -> None:
    vm = guest(snapshots=True)
    save_state(vm, "young")
    wait_for("the agent is heard after it", lambda: bridge.agent_is_connected("vm"), 20)
    vm.start_load(900 * MIB, 100)
    wait_held(vm, 40)
    grown = assert_growth_agrees(bridge, vm)
    before = len(grows(bridge, vm))

    load_state(vm, "young")
    assert vm.virtio_mem_bytes() < grown, "the snapshot is from before the growth"
    wait_for("the agent is heard again", lambda: bridge.agent_is_connected("vm")
             and bridge.status("vm")["report_age_usec"] in range(2_000_000), 20)
    assert vm.load_phase() == "idle"

    # What the bridge knows is read anew: the next growth starts from the size of the snapshot.
    vm.start_load(900 * MIB, 100)
    wait_held(vm, 40)
    wait_settled(bridge, vm)
    after = grows(bridge, vm)[before:]
    assert after and after[0].number("size_bytes") == 512 * MIB
    assert vm.sample().oom_kills == 0
    assert all(d.result != "done" or d.confirmed_bytes < 0 for d in shrinks(bridge, vm))
