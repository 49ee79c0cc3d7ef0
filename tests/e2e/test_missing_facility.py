# SPDX-License-Identifier: Apache-2.0
"""A kernel that lacks something: named to the host, in the agent's log and to the operators of both sides, and the
guest is served all the same, up and down."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.e2e.conftest import GuestFactory
from tests.e2e.served import assert_growth_agrees, shrinks, wait_held
from tests.guest.bridge import Bridge
from tests.guest.config import MIB
from tests.guest.wait import wait_for


@dataclass(frozen=True)
class Kernel:
    """How a guest comes to lack what, and how it can be seen from a shell that it does."""

    lacks: tuple[str, ...]
    proof: str
    options: dict[str, Any] = field(default_factory=dict)


NO_RECLAIM = "! test -e /sys/fs/cgroup/memory.reclaim"
KERNELS = {
    "no-psi": Kernel(("psi (ENOENT)", "psi-trigger (ENOENT)"), "! cat /proc/pressure/memory", {"cmdline": ("psi=0",)}),
    "no-cgroups": Kernel(("reclaim (ENOENT)", "cgroups (ENOENT)"), NO_RECLAIM, {"cgroup": "none"}),
    # Debian's 6.12 refuses the mount, CONFIG_MEMCG_V1 is not set there: no cgroups at all then.
    "cgroup-v1": Kernel(("reclaim (ENOENT)", "cgroups (ENOENT)"),
                        "test -d /sys/fs/cgroup/memory && ! test -e /sys/fs/cgroup/cgroup.controllers", {"cgroup": "v1"}),
    "5.10": Kernel(("reclaim (ENOENT)",), f"{NO_RECLAIM} && test -e /sys/fs/cgroup/cgroup.procs", {"kernel": "5.10"}),
}


@pytest.mark.parametrize("name", KERNELS)
def test_is_named_and_served(bridge: Bridge, guest: GuestFactory, name: str) -> None:
    kernel = KERNELS[name]
    vm = guest(**kernel.options)
    vm.check(kernel.proof)
    told = bridge.status("vm")["missing"]
    print(f"{vm.check('uname -r').strip()} lacks {', '.join(told)}")
    assert set(kernel.lacks) <= set(told)
    on_host, in_guest, log = bridge.ctl("status", "vm"), vm.check("memtidectl status"), vm.paths.agent_log.read_text()
    for lack in kernel.lacks:
        assert lack in on_host and lack in in_guest
        assert lack.partition(" ")[0] in log.lower()
        assert f"does without {lack.partition(' ')[0]}" in bridge.log.read_text()

    vm.start_load(700 * MIB, 200)
    wait_held(vm, 60)
    assert_growth_agrees(bridge, vm)
    vm.free_load()
    grown = vm.size_bytes()
    wait_for("what is free goes back", lambda: vm.size_bytes() < grown and shrinks(bridge, vm), 60)
    assert vm.sample().oom_kills == 0
