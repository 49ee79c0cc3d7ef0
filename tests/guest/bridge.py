# SPDX-License-Identifier: Apache-2.0
"""A memtide-bridge of our own, in a folder of its own, and what memtidectl says about its guests."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.guest import process
from tests.guest.manager import Manager
from tests.guest.wait import wait_for


class BridgeError(Exception):
    """The bridge did not start, or memtidectl failed; the text ends with the bridge's last lines."""


@dataclass(frozen=True)
class Decision:
    """One resize as the bridge recorded it; times are host CLOCK_MONOTONIC in microseconds, 0 = has not been."""

    raw: dict[str, Any]

    @property
    def id(self) -> int:
        return int(self.raw["id"])

    @property
    def kind(self) -> str:
        """grow, shrink or deny"""
        return str(self.raw["kind"])

    @property
    def result(self) -> str:
        """pending, done, partial, timeout, refused, vetoed, silent, failed, lost or denied"""
        return str(self.raw["result"])

    @property
    def actuator(self) -> str:
        return str(self.raw["actuator"])

    @property
    def cause(self) -> str:
        return str(self.raw["cause"])

    def number(self, key: str) -> int:
        return int(self.raw[key])

    @property
    def confirmed_bytes(self) -> int:
        """By the guest: usable now less usable before."""
        return self.number("confirmed_bytes")

    def milliseconds(self, first: str, second: str) -> float | None:
        """Between two of the decision's times, None when one has not been."""
        start, end = self.number(first), self.number(second)
        return (end - start) / 1000 if start and end >= start else None


class Bridge:
    """Use as a context manager. `runtime/vms` is where guests put their sockets."""

    def __init__(self, build: Path, folder: Path, config: Path | None = None, arguments: tuple[str, ...] = (),
                 level: str = "debug") -> None:
        self.runtime = folder / "run"
        self.discovery = self.runtime / "vms"
        self.discovery.mkdir(parents=True, exist_ok=True)
        self.log = folder / "bridge.log"
        self._ctl = build / "host-bridge" / "memtidectl"
        self._command: list[str | Path] = [build / "host-bridge" / "memtide-bridge",
                                           "--runtime-dir", self.runtime, "--adopt",
                                           "--log-target=stderr", f"--log-level={level}"]
        self._command += ["--config", config] if config else []
        self._command += arguments
        self._process: subprocess.Popen[bytes] | None = None
        self.manager: Manager | None = None  # keeps its channels

    def start(self, timeout: float = 10.0) -> Bridge:
        """Start it and wait until it answers."""
        if self.manager:
            self._process = process.start([*self.manager.launcher(), *self._command], self.log,
                                          {**os.environ, **self.manager.environment()}, self.manager.fds)
        else:
            self._process = process.start(self._command, self.log)
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.ctl("list")
                return self
            except BridgeError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def stop(self) -> None:
        """As systemd would: SIGTERM first."""
        if self._process:
            process.stop(self._process, grace_s=5.0)

    def kill(self) -> None:
        """Without a chance to clean up."""
        if self._process:
            self._process.send_signal(signal.SIGKILL)
            process.stop(self._process)

    def __enter__(self) -> Bridge:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def ctl(self, *words: str) -> str:
        """memtidectl's output."""
        try:
            result = subprocess.run([self._ctl, "--socket", self.runtime / "bridge.sock", *words],
                                    capture_output=True, text=True, check=False, timeout=10)
        except subprocess.TimeoutExpired:
            raise BridgeError(f"memtidectl {' '.join(words)}: no answer in 10 s\n{self._last_words()}") from None
        if result.returncode != 0:
            raise BridgeError(f"memtidectl {' '.join(words)}: {result.stderr.strip()}\n{self._last_words()}")
        return result.stdout

    def status(self, vm: str) -> dict[str, Any]:
        """`memtidectl status VM --json`; {} while the bridge does not know the VM."""
        try:
            value = json.loads(self.ctl("status", vm, "--json"))
        except BridgeError:
            if not self.running:
                raise
            return {}
        return dict(value)

    def agent_is_connected(self, vm: str) -> bool:
        return bool(self.status(vm).get("agent_connected"))

    def wait_agent(self, vm: str, timeout: float = 20.0) -> None:
        """Until monitor and agent of the VM both speak."""
        wait_for(f"the agent of {vm} to reach the bridge", lambda: self.agent_is_connected(vm), timeout)

    def decisions(self, vm: str) -> list[Decision]:
        """What it has decided for the VM, oldest first."""
        listed = json.loads(self.ctl("explain", vm, "--json"))["decisions"]
        return [Decision(raw) for raw in reversed(listed)]

    def _last_words(self) -> str:
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-10:])
