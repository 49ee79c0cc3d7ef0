# SPDX-License-Identifier: Apache-2.0
"""The gap that the agent fills: where nobody onlines, virtio-mem stops at 1 GiB and the guest has nothing."""
from __future__ import annotations

from tests.e2e.conftest import GuestFactory
from tests.guest.config import GIB, MIB
from tests.guest.wait import stays, wait_for


def test_stops_at_one_gib_without_an_agent(bare_guest: GuestFactory) -> None:
    guest = bare_guest(auto_online="offline")
    assert guest.check("cat /sys/devices/system/memory/auto_online_blocks") == "offline\n"
    before = guest.sample().total_bytes
    guest.request_virtio_mem(2 * GIB)
    wait_for("the driver stops", lambda: guest.virtio_mem_bytes() == 1 * GIB, 10)
    stays("plugged stays 1 GiB", lambda: guest.virtio_mem_bytes() == 1 * GIB, 3)
    assert guest.sample().total_bytes == before  # QEMU says 1 GiB, the guest has gained nothing


def test_onlining_lets_it_go_on(bare_guest: GuestFactory) -> None:
    guest = bare_guest(auto_online="offline")
    guest.request_virtio_mem(2 * GIB)
    wait_for("the driver stops", lambda: guest.virtio_mem_bytes() == 1 * GIB, 10)
    for _ in range(2):
        guest.check("for state in /sys/devices/system/memory/memory*/state; do "
                    "grep -q offline $state && echo online_movable >$state; done; true")
    wait_for("all is plugged", lambda: guest.virtio_mem_bytes() == 2 * GIB, 10)
    assert guest.sample().total_bytes > 1024 * MIB
