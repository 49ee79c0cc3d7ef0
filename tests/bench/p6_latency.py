# SPDX-License-Identifier: Apache-2.0
"""P6: from the moment when a guest runs short to the command at its monitor: the agent and the bridge, against a script that
looks once a second and against a plain PSI-trigger client.

A ramp takes all memory of a guest without swap, and the guest is short when a quarter is available: where the script acts,
so that it waits for its own interval only. The moment is the guest's sampler's, which knows of no party. (A hog held by
memory.high, which stalls the more evenly, is no need of the guest's, and the agent asks for nothing then.) A party that has
not noticed when the load is killed gets that time.
"""
from __future__ import annotations

import contextlib
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tests.bench.fleet import CONFIG
from tests.bench.result import Result, compare
from tests.bench.settings import SEED, CannotMeasure, Settings, interleave
from tests.guest.accel import choose_accelerator
from tests.guest.bridge import Bridge, BridgeError
from tests.guest.control import ControlError
from tests.guest.guest import MIB, Guest, GuestConfig, GuestError, Machine
from tests.guest.initramfs import build_initramfs
from tests.guest.kernel import KernelError, resolve_kernel
from tests.guest.programs import build_program
from tests.guest.qmp import QmpError
from tests.guest.wait import wait_for

NAME = "p6-latency"
PEERS = ()
VM = "vm"
LOAD_BYTES, RATE_MIB_S = 900 * MIB, 200
GRANT_BYTES = 1024 * MIB
SHORT_PERCENT = 25  # of MemTotal is available: from then on the time is counted
PATIENCE_S = 40.0
# The best that such a script can be: it acts at its first look at a guest that is short, by shell builtins alone.
SCRIPT = ("usleep {phase_usec}; while :; do read -r word rest </run/load; [ \"$word\" = killed ] && break; "
          "while read -r key value rest; do case $key in MemTotal:) total=$value ;; MemAvailable:) free=$value ;; esac; "
          "done </proc/meminfo; [ $((free * 100 / total)) -lt {short_percent} ] && break; sleep 1; done")


def run(settings: Settings) -> list[Result]:
    chance = random.Random(SEED)
    with _guest_and_bridge(settings) as (guest, bridge):
        seen = interleave({
            "ours": lambda: _ours_ms(guest, bridge),
            "script": lambda: _peer_ms(guest, SCRIPT.format(
                phase_usec=chance.randrange(1_000_000), short_percent=SHORT_PERCENT)),
            "trigger": lambda: _peer_ms(guest, "stallwait || [ $? = 1 ]"),
        }, settings.rounds)
    return [compare(NAME, "a script that looks once a second", seen["ours"], seen["script"], 0.25, "ms"),
            compare(NAME, "a PSI trigger of 50 ms in 500 ms", seen["ours"], seen["trigger"], 0.7, "ms")]


def _ours_ms(guest: Guest, bridge: Bridge) -> float:
    bridge.start()
    guest.check("start_agent")
    bridge.wait_agent(VM)
    time.sleep(1)
    offset_usec, begin_usec = _offset_usec(guest), time.monotonic() * 1e6
    guest.check(f"start_load {LOAD_BYTES} {RATE_MIB_S} 0")

    def sent() -> float:
        stamps = [decision.number("request_usec") for decision in bridge.decisions(VM)]
        return min((usec for usec in stamps if usec > begin_usec), default=0.0)

    usec = wait_for("the bridge to act", sent, PATIENCE_S, 0.2)
    guest.check("stop_agent TERM")
    bridge.stop()
    return _after_short_ms(guest, usec, begin_usec, offset_usec)


def _peer_ms(guest: Guest, client: str) -> float:
    """The load in the background and the client beside it, in one command: what it costs to say so is the same for all."""
    offset_usec, begin_usec = _offset_usec(guest), time.monotonic() * 1e6
    guest.check(f"start_load {LOAD_BYTES} {RATE_MIB_S} 0; {client}", PATIENCE_S)
    guest.request_virtio_mem(GRANT_BYTES)
    return _after_short_ms(guest, time.monotonic() * 1e6, begin_usec, offset_usec)


def _offset_usec(guest: Guest) -> float:
    """From the guest's clock to ours; that of /proc/uptime has a step of 10 ms."""
    def once() -> float:
        before = time.monotonic()
        seen = guest.monotonic()
        return 1e6 * ((before + time.monotonic()) / 2 - seen - 0.005)
    return median(once() for _ in range(5))


def _after_short_ms(guest: Guest, acted_usec: float, begin_usec: float, offset_usec: float) -> float:
    """How long after the guest had become short. Who acted before that has waited for nothing."""
    _clean_up(guest)
    guest.samples.poll()
    times = [sample.t_usec + offset_usec for sample in guest.samples.all
             if 100 * sample.available_bytes < SHORT_PERCENT * sample.total_bytes]
    short_usec = min((usec for usec in times if usec > begin_usec), default=acted_usec)
    return max(acted_usec - short_usec, 0.0) / 1000


def _clean_up(guest: Guest) -> None:
    guest.run("load free")
    wait_for("the load to end", lambda: guest.load_phase() in ("idle", "free", "killed", "failed"), PATIENCE_S)
    guest.request_virtio_mem(0)
    with contextlib.suppress(AssertionError):  # what stays plugged stays empty, and is counted by nobody
        wait_for("the guest to be small again", lambda: guest.virtio_mem_bytes() == 0, 5.0)
    time.sleep(0.5)


@contextlib.contextmanager
def _guest_and_bridge(settings: Settings) -> Iterator[tuple[Guest, Bridge]]:
    folder = Path(tempfile.mkdtemp(prefix="mt-"))
    (folder / "bridge.conf").write_text(CONFIG, encoding="utf-8")
    try:
        kernel = resolve_kernel(os.environ.get("MEMTIDE_KERNEL", "cloud"))
        initramfs = build_initramfs(kernel, [settings.program("agent/memtide-agent"),
                                             build_program("stallwait", Path(__file__).parent)])
        machine = Machine(kernel, initramfs,
                          choose_accelerator(kernel, initramfs, os.environ.get("MEMTIDE_ACCEL", "auto")))
        settings.say(f"guest: {kernel.label}, {machine.accelerator.name}")
        bridge = Bridge(settings.build, folder, folder / "bridge.conf", level="warning")
        with Guest(GuestConfig(VM, agent=False, auto_online="online_movable", sample_ms=20), machine, folder, bridge.discovery) as guest:
            try:
                yield guest, bridge
            finally:
                bridge.stop()
    except (GuestError, KernelError, ControlError, QmpError, BridgeError) as error:
        raise CannotMeasure(str(error)) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
