# SPDX-License-Identifier: Apache-2.0
"""Guests with a systemd of their own, in which memtide's units run as they are installed."""
from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.guest.debian import DebianError, debian_disk
from tests.guest.guest import Guest, GuestConfig, Machine
from tests.guest.initramfs import build_pivot
from tests.guest.wait import wait_for

BOOT_S = 180.0


@dataclass(frozen=True)
class Unit:
    """One unit of a guest."""

    vm: Guest
    name: str

    def show(self, key: str) -> str:
        return self.vm.check(f"systemctl show {self.name} -p {key} --value").strip()

    @property
    def pid(self) -> int:
        return int(self.show("MainPID"))

    def wait_state(self, state: str, timeout: float = 20) -> None:
        wait_for(f"{self.name} to be {state}", lambda: self.show("ActiveState") == state, timeout)

    def wait_restart(self, pid: int, timeout: float = 20) -> None:
        """Another process, and ready."""
        wait_for(f"{self.name} to be started again",
                 lambda: self.show("ActiveState") == "active" and self.pid not in (0, pid), timeout)

    def systemctl(self, verb: str) -> None:
        self.vm.check(f"systemctl {verb} {self.name}", timeout=60)

    def journal(self, *words: str) -> str:
        """Its own lines, without systemd's about it."""
        return self.vm.check(f"journalctl --sync; journalctl -b -q --no-pager -o cat _SYSTEMD_UNIT={self.name} {' '.join(words)}")

    @contextlib.contextmanager
    def override(self, text: str) -> Iterator[None]:
        """A drop-in, for as long as this lasts; both times the unit is started anew."""
        folder = f"/run/systemd/system/{self.name}.d"
        self.vm.check(f"mkdir -p {folder} && printf '[Service]\\n{text}\\n' >{folder}/test.conf && systemctl daemon-reload")
        self.systemctl("restart")
        try:
            yield
        finally:
            self.vm.check(f"rm -r {folder} && systemctl daemon-reload && systemctl reset-failed")
            self.systemctl("restart")


def assert_hangs_and_is_started_again(unit: Unit) -> None:
    """The watchdog: with a shorter time than the unit's, it is pinged, and who hangs is replaced."""
    with unit.override("WatchdogSec=3s"):
        first = unit.show("WatchdogTimestampMonotonic")
        wait_for("a ping of the watchdog", lambda: unit.show("WatchdogTimestampMonotonic") != first, 5)
        pid = unit.pid
        unit.vm.check(f"kill -STOP {pid}")
        unit.wait_restart(pid, 60)
        assert "Watchdog timeout" in unit.vm.check(f"journalctl -b -q --no-pager UNIT={unit.name}")


def assert_outlives_kills(unit: Unit) -> None:
    """Killed for a while as often as it is there: it comes back all the same."""
    unit.vm.check(f"for i in $(seq 30); do systemctl kill -s KILL {unit.name}; sleep 0.4; done; true", timeout=120)
    assert int(unit.show("NRestarts")) > 5, "more than the usual limit"
    unit.wait_state("active")


def json_of(vm: Guest, command: str) -> Any:
    return json.loads(vm.check(command))


@contextlib.contextmanager
def booted(build: Path, bare: Machine, folder: Path, discovery: Path | None = None, **options: Any) -> Iterator[Guest]:
    """A guest that has come up whole, no unit failed."""
    try:
        disk = debian_disk(bare.kernel, build, [build / "tests/farm/farm"])
    except DebianError as error:
        pytest.skip(str(error))
    machine = Machine(bare.kernel, build_pivot(bare.kernel), bare.accelerator)
    vm = Guest(GuestConfig("vm", root=disk, cpus=2, **options), machine, folder, discovery)
    try:
        vm.start().wait_up(BOOT_S)
        assert vm.check("systemctl is-system-running --wait", 60).strip() == "running", vm.check("systemctl --failed")
        yield vm
    finally:
        vm.stop()


@contextlib.contextmanager
def short_folder(request: pytest.FixtureRequest) -> Iterator[Path]:
    """As the fixture `folder`, for all tests of a file."""
    before, path = request.session.testsfailed, Path(tempfile.mkdtemp(prefix="mt-"))
    yield path
    if request.session.testsfailed > before:
        print(f"\nlogs: {path}")
    else:
        shutil.rmtree(path, ignore_errors=True)
