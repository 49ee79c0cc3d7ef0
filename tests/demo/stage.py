# SPDX-License-Identifier: Apache-2.0
"""Sets the stage: kernel, initramfs, accelerator, bridge and guests, with a line for each as it stands."""
from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tests.demo.lane import Lane
from tests.demo.options import Options
from tests.demo.words import mark, plain
from tests.guest.accel import choose_accelerator
from tests.guest.bridge import Bridge
from tests.guest.guest import Guest, GuestConfig, Machine
from tests.guest.initramfs import build_initramfs
from tests.guest.kernel import resolve_kernel
from tests.guest.script import PollingScript

T = TypeVar("T")
BRIDGE_CONFIG = Path(__file__).with_name("bridge.conf")
AGENT_CONFIG = Path(__file__).with_name("agent.conf")
SERVED = "demo"


class Stage:
    """Everything that runs. close() ends all of it; logs stay in `folder`."""

    def __init__(self, options: Options, folder: Path) -> None:
        self.machine = _make_machine(options)
        self.bridge = _step("bridge", lambda: Bridge(options.build, folder, BRIDGE_CONFIG).start(),
                            lambda _: "adopts all VMs")
        self.lanes = [self._lane("memtide", "with memtide", folder, GuestConfig(SERVED), self.bridge.discovery)]
        self.script: PollingScript | None = None
        if options.contrast:
            self.lanes.append(self._lane("no_agent", "no agent", folder, GuestConfig("no-agent", agent=False)))
            rival = GuestConfig("polling-script", agent=False, auto_online="online_movable")
            self.lanes.append(self._lane("polling_script", "polling script", folder, rival))
            self.script = PollingScript(self.lanes[-1].guest)
        _step("guests", self._boot, lambda seconds: f"{len(self.lanes)} booted in {seconds:.1f} s")

    def close(self) -> None:
        for lane in self.lanes:
            lane.guest.stop()
        self.bridge.stop()

    @property
    def served(self) -> Lane:
        return self.lanes[0]

    def _lane(self, key: str, title: str, folder: Path, config: GuestConfig, discovery: Path | None = None) -> Lane:
        return Lane(key, title, Guest(config, self.machine, folder, discovery))

    def _boot(self) -> float:
        """All at once: each waits mostly for devices. The agent's handshake is part of being up."""
        for lane in self.lanes:
            lane.guest.start()
        for lane in self.lanes:
            lane.guest.wait_up()
            lane.align_clock()
        self.bridge.wait_agent(SERVED)
        if self.script:
            self.script.start()
        return max(lane.guest.boot_s for lane in self.lanes)


def _make_machine(options: Options) -> Machine:
    kernel = _step("kernel", lambda: resolve_kernel(options.kernel), lambda k: f"{k.label}, unpacked, not installed")
    agent = options.build / "agent" / "memtide-agent"
    initramfs = _step("initramfs", lambda: build_initramfs(kernel, [agent], AGENT_CONFIG),
                      lambda path: f"{path.stat().st_size / 1e6:.1f} MB")
    accelerator = _step("accelerator", lambda: choose_accelerator(kernel, initramfs, options.accel),
                        lambda a: f"{a.name} ({a.reason})")
    return Machine(kernel, initramfs, accelerator)


def _step(name: str, action: Callable[[], T], tell: Callable[[T], str]) -> T:
    start = time.monotonic()
    value = action()
    print(plain(f"{mark(True)} {name}: {tell(value)}  [{time.monotonic() - start:.1f} s]"), flush=True)
    return value
