# SPDX-License-Identifier: Apache-2.0
"""Nothing is allocated between the start and the end: a guest without memory has none for its agent either."""
from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import BUILD, ROOT
from tests.guest.wait import PATIENCE

MIB = 1 << 20
HERE = Path(__file__).parent


def plain_build() -> Path | None:
    """A build whose allocator is not a sanitizer's."""
    for build in (BUILD, ROOT / "build"):
        program = build / "agent" / "memtide-agent"
        if program.exists() and "asan" not in subprocess.run(["ldd", program], capture_output=True, text=True,
                                                             check=True).stdout:
            return build
    return None


def allocations(guest) -> int:
    before = guest.log_text().count("allocations: ")
    guest.process.send_signal(signal.SIGUSR1)
    end = time.monotonic() + PATIENCE * 5
    while guest.log_text().count("allocations: ") == before:
        assert time.monotonic() < end
        time.sleep(0.02)
    return int(re.findall(r"allocations: (\d+)", guest.log_text())[-1])


def test_pressure_growth_and_shrink_allocate_nothing(guest, monkeypatch):
    build = plain_build()
    if not build or not shutil.which("cc"):
        pytest.skip("needs a compiler, and a build without sanitizers beside the one with")
    library = guest.folder / "count_malloc.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, HERE / "count_malloc.c"], check=True)
    guest.program = build / "agent" / "memtide-agent"
    monkeypatch.setenv("LD_PRELOAD", str(library))
    guest.start(free=600 * MIB)
    monkeypatch.delenv("LD_PRELOAD")
    # Onlining what was offline at the start may allocate, and takes its time on a busy machine.
    guest.bridge.wait("report", accept=lambda r: r.blocks_offline == 0)
    time.sleep(0.5)

    before = allocations(guest)
    assert before > 0
    for _ in range(35):
        guest.machine.use(16 * MIB)
        time.sleep(0.03)
    guest.bridge.wait("alarm")
    now = guest.bridge.now_usec()
    guest.bridge.send("grow_notice", id=3, bytes=256 * MIB, deadline_usec=now + 3_000_000)
    guest.machine.plug(256 * MIB)
    guest.bridge.wait("resize_confirm")
    guest.bridge.send("shrink_request", id=9, step=1, bytes=64 * MIB, remaining_bytes=64 * MIB, last=True,
                      deadline_usec=now + 9_000_000)
    guest.bridge.wait("shrink_offer")
    guest.bridge.send_raw(os.urandom(3000) + b"\0")
    guest.bridge.ping(1)
    guest.bridge.wait("command_result")
    assert allocations(guest) == before
