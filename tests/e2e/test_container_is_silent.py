# SPDX-License-Identifier: Apache-2.0
"""A cgroup that thrashes at its own memory.max, beside a stream of reads outside: no size of the guest helps it.

Both raise the guest's own counters, and only those of the cgroup tell it from a guest that is too small: one whose
cgroup has no limit, and a hot set larger than memory. Nor does an OOM kill inside a cgroup help, though the stream stalls.
"""
from __future__ import annotations

import time

from tests.e2e.conftest import GuestFactory
from tests.e2e.served import grows
from tests.guest.bridge import Bridge
from tests.guest.config import GIB, MIB
from tests.guest.guest import Guest
from tests.guest.wait import stays, wait_for

STREAM_FROM = 1 * GIB
PAGE_MIB = 256


def vmstat(guest: Guest) -> dict[str, int]:
    return {key: int(value) for key, value in (line.split() for line in guest.check("cat /proc/vmstat").splitlines())}


def gained_mib(before: dict[str, int], after: dict[str, int], key: str) -> float:
    return (after[key] - before[key]) / PAGE_MIB


def start_in_box(guest: Guest, name: str, limit: str, command: str) -> None:
    box = f"/sys/fs/cgroup/{name}"
    guest.check("echo +memory >/sys/fs/cgroup/cgroup.subtree_control")
    guest.check(f"mkdir {box} && echo {limit} >{box}/memory.max")
    guest.check(f"sh -c 'echo $$ >{box}/cgroup.procs; exec {command}' </dev/null >&5 2>&5 3>&- &")


def start_stream(guest: Guest, size: int) -> None:
    guest.check(f"reader stream /dev/vda {STREAM_FROM} {size} </dev/null >&5 2>&5 3>&- &")


def test_container_is_silent(bridge: Bridge, guest: GuestFactory) -> None:
    vm = guest(disk_bytes=8 * GIB)
    start_in_box(vm, "box", "100M", f"reader random /dev/vda {160 * MIB}")
    wait_for("the cgroup refaults", lambda: vmstat(vm)["workingset_activate_file"] > 20 * PAGE_MIB, 30)
    start_stream(vm, 6 * GIB)
    wait_for("the stream is reclaimed", lambda: vmstat(vm)["pgscan_kswapd"] > 10 * PAGE_MIB, 30)

    before, began = vmstat(vm), time.monotonic()
    stays("nothing is asked for", lambda: grows(bridge, vm) == [], 15)
    after, seconds = vmstat(vm), time.monotonic() - began
    scan, hot = (gained_mib(before, after, key) / seconds for key in ("pgscan_kswapd", "workingset_activate_file"))
    print(f"scan {scan:.1f} MiB/s, hot refaults {hot:.1f} MiB/s")
    assert scan > 5 and hot > 2, "the load is not what the test is about"

    start_in_box(vm, "small", "20M", f"load ramp {60 * MIB} 50 1")
    wait_for("the OOM killer ran", lambda: vmstat(vm)["oom_kill"] > before["oom_kill"], 15)
    stays("nothing is asked for", lambda: grows(bridge, vm) == [], 3)


def test_without_a_limit_it_asks(bridge: Bridge, guest: GuestFactory) -> None:
    vm = guest(disk_bytes=8 * GIB)
    start_in_box(vm, "box", "max", f"reader random /dev/vda {500 * MIB}")
    wait_for("memory is asked for", lambda: grows(bridge, vm) != [], 60, interval=0.2)
    print(grows(bridge, vm)[0])
