# SPDX-License-Identifier: Apache-2.0
"""A real guest in which the ways to online memory take turns."""
from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.settings import CannotMeasure, Settings
from tests.guest.accel import choose_accelerator
from tests.guest.control import ControlError
from tests.guest.guest import Guest, GuestConfig, GuestError, Machine
from tests.guest.initramfs import build_initramfs
from tests.guest.kernel import KernelError, resolve_kernel
from tests.guest.programs import build_program
from tests.guest.qmp import QmpError

UDEVD = Path("/lib/systemd/systemd-udevd")
RULE = ('SUBSYSTEM=="memory", ACTION=="add", DEVPATH=="/devices/system/memory/memory[0-9]*", '
        'ATTR{state}=="offline", ATTR{state}="online_movable"')
AGENT_WAYS = {"agent": "auto", "written": "agent"}  # Onliner=
AUTO_ONLINE = "/sys/devices/system/memory/auto_online_blocks"


@contextlib.contextmanager
def new_guest(settings: Settings, with_udev: bool = False, **options: Any) -> Iterator[Guest]:
    """A guest whose agent is started by the test; it must not reach its host before."""
    programs = [settings.program("agent/memtide-agent"), build_program("blockwatch", Path(__file__).parent)]
    if with_udev:
        if not UDEVD.exists():
            raise CannotMeasure(f"no {UDEVD}: the udev rule is the peer")
        programs.append(UDEVD)
    folder = Path(tempfile.mkdtemp(prefix="mt-"))
    try:
        kernel = resolve_kernel(os.environ.get("MEMTIDE_KERNEL", "cloud"))
        initramfs = build_initramfs(kernel, programs)
        machine = Machine(kernel, initramfs,
                          choose_accelerator(kernel, initramfs, os.environ.get("MEMTIDE_ACCEL", "auto")))
        settings.say(f"guest: {kernel.label}, {machine.accelerator.name}")
        config = GuestConfig("bench", agent=False, sample_ms=1000,
                             agent_args=("--wait-for-port", "--config", "/tmp/bench.conf"), **options)
        with Guest(config, machine, folder) as guest:
            yield guest
    except (GuestError, KernelError, ControlError, QmpError) as error:
        raise CannotMeasure(str(error)) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def onlined_by(guest: Guest, way: str) -> Iterator[None]:
    """agent (as it chooses), written (by the agent), kernel, udev or nobody; settled at the beginning, gone at the end."""
    guest.check(f"rm -f /run/memtide/auto-online; echo {'online_movable' if way == 'kernel' else 'offline'} >{AUTO_ONLINE}")
    if way in AGENT_WAYS:
        guest.check(f"printf '[Blocks]\\nZone=movable\\nOnliner={AGENT_WAYS[way]}\\n' >/tmp/bench.conf; start_agent")
        time.sleep(0.7)
        if way == "agent":  # it has the kernel online: on a busy machine it takes a while to say so
            guest.check(f"for i in $(seq 100); do grep -q ^online {AUTO_ONLINE} && break; sleep 0.1; done; grep ^online {AUTO_ONLINE}")
        guest.check("kill -0 $(cat /run/agent.pid)")
    elif way == "udev":
        guest.check(f"mkdir -p /etc/udev/rules.d; echo '{RULE}' >/etc/udev/rules.d/40-memory.rules")
        guest.check("systemd-udevd </dev/null >&5 2>&5 3>&- & echo $! >/run/udevd.pid")
        time.sleep(0.7)
        guest.check("kill -0 $(cat /run/udevd.pid)")
    try:
        yield
    finally:
        if way in AGENT_WAYS:
            guest.check("stop_agent TERM")
        elif way == "udev":
            # Its socket outlives it, and would have libudev, and so the agent, listen to a daemon that is gone.
            guest.check("kill $(cat /run/udevd.pid) && wait $(cat /run/udevd.pid); rm -rf /run/udev")
