# SPDX-License-Identifier: Apache-2.0
"""Fixtures: one machine (kernel, initramfs, accelerator) per run, guests and bridges per test.

Environment: MEMTIDE_BUILD (the meson build folder, default build/), MEMTIDE_KERNEL (as demo.sh --kernel, or a series
such as 6.12), MEMTIDE_ACCEL (auto, kvm, tcg), MEMTIDE_E2E_KEEP=1 (logs stay also of tests that pass).
"""
from __future__ import annotations

import functools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.guest import process
from tests.guest.accel import choose_accelerator
from tests.guest.bridge import Bridge
from tests.guest.guest import Guest, GuestConfig, Machine
from tests.guest.initramfs import build_initramfs
from tests.guest.kernel import KernelError, resolve_kernel

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "tests" / "demo"

KERNEL = os.environ.get("MEMTIDE_KERNEL", "cloud")

GuestFactory = Callable[..., Guest]
MachineFactory = Callable[..., Machine]
BridgeFactory = Callable[..., Bridge]


@pytest.fixture(scope="session", autouse=True)
def _signals() -> None:
    process.stop_on_signals()


@pytest.fixture(scope="session")
def build() -> Path:
    """The folder with the daemons under test."""
    path = Path(os.environ.get("MEMTIDE_BUILD") or ROOT / "build")
    if not (path / "agent" / "memtide-agent").exists():
        pytest.skip(f"no memtide-agent in {path} (set MEMTIDE_BUILD)")
    return path


def _machine(choice: str, programs: list[Path], agent_config: Path | None = None) -> Machine:
    kernel = resolve_kernel(choice)
    initramfs = build_initramfs(kernel, programs, agent_config)
    return Machine(kernel, initramfs, choose_accelerator(kernel, initramfs, os.environ.get("MEMTIDE_ACCEL", "auto")))


@pytest.fixture(scope="session")
def bare_machine() -> Machine:
    """Guests without the agent in their image: they prove the harness, and need no build."""
    return _machine(KERNEL, [])


@pytest.fixture(scope="session")
def machine_with(build: Path) -> MachineFactory:
    """Machines by kernel, with the agent in their image. A test of another kernel than the run's is skipped where that
    cannot be had: it may have left the archive."""
    @functools.cache
    def make(kernel: str) -> Machine:
        return _machine(kernel, [build / "agent" / "memtide-agent", build / "host-bridge" / "memtidectl"],
                        DEMO / "agent.conf")

    def make_or_skip(kernel: str | None = None) -> Machine:
        if kernel is None:
            return make(KERNEL)
        try:
            return make(kernel)
        except KernelError as error:
            pytest.skip(str(error))
    return make_or_skip


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Let fixtures see whether the test failed, so that they keep the logs then."""
    outcome: Any = yield
    if outcome.get_result().failed:
        item.stash[FAILED] = True


FAILED = pytest.StashKey[bool]()


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A short path, since socket paths end at 107 bytes; kept when the test fails."""
    path = Path(tempfile.mkdtemp(prefix="mt-"))
    yield path
    if request.node.stash.get(FAILED, False) or os.environ.get("MEMTIDE_E2E_KEEP"):
        print(f"\nlogs of {request.node.name}: {path}")
    else:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def bare_guest(bare_machine: Machine, folder: Path) -> Iterator[GuestFactory]:
    """Start guests without agent; all are stopped at the end."""
    yield from _factory(lambda _: bare_machine, folder, None)


@pytest.fixture
def new_bridge(build: Path, folder: Path) -> Iterator[BridgeFactory]:
    """Make bridges that are not started yet; all are stopped at the end."""
    bridges: list[Bridge] = []

    def make(**policies: str) -> Bridge:
        """With the demo's holds, and a vm.d/NAME.conf for each of `policies`; other guests are adopted."""
        config = folder / "etc" / "bridge.conf"
        (config.parent / "vm.d").mkdir(parents=True, exist_ok=True)
        config.write_text((DEMO / "bridge.conf").read_text())
        for name, text in policies.items():
            (config.parent / "vm.d" / f"{name}.conf").write_text(f"[VM]\n{text}")
        bridges.append(Bridge(build, folder, config))
        return bridges[-1]

    yield make
    for bridge in bridges:
        bridge.stop()


@pytest.fixture
def bridge(new_bridge: BridgeFactory) -> Bridge:
    """A running bridge that adopts every guest, with holds as short as the demo's."""
    return new_bridge().start()


@pytest.fixture
def lone_guest(machine_with: MachineFactory, folder: Path) -> Iterator[GuestFactory]:
    """Start guests with the agent where a bridge will find them, and do not wait for one."""
    (folder / "run" / "vms").mkdir(parents=True, exist_ok=True)
    yield from _factory(machine_with, folder, folder / "run" / "vms")


@pytest.fixture
def guest(lone_guest: GuestFactory, bridge: Bridge) -> GuestFactory:
    """Start guests that the bridge discovers; returns when their agent has reached it."""
    def start_and_wait(name: str = "vm", **options: Any) -> Guest:
        started = lone_guest(name, **options)
        bridge.wait_agent(name)
        return started
    return start_and_wait


def _factory(machine_with: MachineFactory, folder: Path, discovery: Path | None) -> Iterator[GuestFactory]:
    guests: list[Guest] = []

    def start(name: str = "vm", kernel: str | None = None, **options: Any) -> Guest:
        """`kernel`: another one than the run's, such as 6.12; the rest as in GuestConfig."""
        guest = Guest(GuestConfig(name, **options), machine_with(kernel), folder, discovery)
        guests.append(guest)
        guest.start()
        return guest if guest.config.incoming else guest.wait_up()

    yield start
    for guest in guests:
        guest.stop()
