# SPDX-License-Identifier: Apache-2.0
"""The load that all comparisons rest on: it kills a small guest, fits a large one, and checks its memory."""
from __future__ import annotations

from tests.e2e.conftest import GuestFactory
from tests.guest.config import GIB, MIB
from tests.guest.wait import wait_for


def test_ramp_is_oom_killed_without_agent(bare_guest: GuestFactory) -> None:
    guest = bare_guest()
    guest.start_load(1536 * MIB, 100)
    wait_for("the OOM killer", lambda: guest.load_phase() == "killed", 30)
    wait_for("it is sampled", lambda: guest.sample().oom_kills == 1, 5)
    touched = max(sample.load_bytes for sample in guest.samples.all)
    print(f"OOM-killed at {touched // MIB} MiB")
    assert 300 * MIB < touched < 420 * MIB
    assert "load: killed by signal 9" in guest.paths.agent_log.read_text()
    assert guest.check("echo alive") == "alive\n"


def test_ramp_keeps_its_rate_holds_and_frees(bare_guest: GuestFactory) -> None:
    guest = bare_guest(memory_mib=1024)
    guest.start_load(400 * MIB, 50)
    wait_for("all is touched", lambda: guest.load_phase() == "hold", 20)
    ramp = [s for s in guest.samples.all + guest.samples.poll() if s.phase == "ramp"]
    seconds = (ramp[-1].t_usec - ramp[0].t_usec) / 1e6
    rate = (ramp[-1].load_bytes - ramp[0].load_bytes) / MIB / seconds
    assert 25 < rate < 55, f"{rate:.0f} MiB/s"  # a machine with others on it makes it slower, never faster
    # The load's own word may be ahead of the samples: one that was taken wholly after it has all of the load's memory.
    seen = len(guest.samples.all)
    wait_for("samples of the whole load", lambda: guest.sample().phase == "hold" and len(guest.samples.all) > seen + 2, 10)
    held = guest.sample()
    guest.free_load()
    wait_for("all is freed", lambda: guest.load_phase() == "free", 10)
    wait_for("it is available again",
             lambda: guest.sample().available_bytes > held.available_bytes + 350 * MIB, 10)
    # Free page reporting gives it back to the host by itself (facts/shrink.md S15).
    wait_for("QEMU's resident memory falls", lambda: guest.resident_bytes() < 600 * MIB, 20)


def test_plugged_memory_is_used_where_the_kernel_onlines(bare_guest: GuestFactory) -> None:
    guest = bare_guest(auto_online="online_movable")
    guest.request_virtio_mem(1 * GIB)
    wait_for("QEMU has plugged it", lambda: guest.virtio_mem_bytes() == 1 * GIB, 10)
    wait_for("the guest has it", lambda: guest.sample().total_bytes > 1400 * MIB, 10)
    guest.start_load(1100 * MIB, 400)
    wait_for("all is touched", lambda: guest.load_phase() == "hold", 20)
    assert guest.size_bytes() == 1536 * MIB
