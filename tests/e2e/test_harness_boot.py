# SPDX-License-Identifier: Apache-2.0
"""The harness itself: a guest boots, obeys, is sampled, and leaves nothing behind."""
from __future__ import annotations

from pathlib import Path

from tests.e2e.conftest import GuestFactory
from tests.guest.config import MIB
from tests.guest.wait import wait_for


def test_boots_and_obeys(bare_guest: GuestFactory) -> None:
    guest = bare_guest()
    assert guest.run("echo one; echo two") == (0, "one\ntwo\n")
    assert guest.run("exit_with() { return 7; }; exit_with") == (7, "")
    assert guest.check("cat /sys/devices/system/memory/block_size_bytes") == "8000000\n"
    # Root memory.reclaim is what the agent frees memory by; it needs no controller to be enabled.
    assert guest.run("test -w /sys/fs/cgroup/memory.reclaim")[0] == 0


def test_is_sampled_ten_times_a_second(bare_guest: GuestFactory) -> None:
    guest = bare_guest(sample_ms=100)
    wait_for("30 samples", lambda: guest.samples.poll() is not None and len(guest.samples.all) >= 30, 10)
    steps = [b.t_usec - a.t_usec for a, b in zip(guest.samples.all, guest.samples.all[1:])]
    assert 90_000 < sorted(steps)[len(steps) // 2] < 110_000
    sample = guest.sample()
    assert 350 * MIB < sample.total_bytes < 512 * MIB
    assert 0 < sample.available_bytes < sample.total_bytes
    assert sample.stall_some_usec >= 0 and sample.oom_kills == 0 and sample.balloon_bytes == 0


def test_leaves_nothing_behind(bare_guest: GuestFactory) -> None:
    guest = bare_guest()
    pid, sockets = guest.pid, guest.paths.sockets
    assert all(path.exists() for path in sockets)
    guest.stop()
    assert not Path(f"/proc/{pid}").exists()
    assert not any(path.exists() for path in sockets)
