# SPDX-License-Identifier: Apache-2.0
"""One bridge and the VMs around it."""
from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import memtide_pb2 as pb
from agent_peer import AgentPeer, report
from qmp_peer import MIB, QmpPeer
from tests.guest.wait import PATIENCE

# Holds so short that a test need not wait; timeouts as by default.
CONFIG = """
[Host]
Budget=8G
PressureLimit=off
[Shrink]
Policy=idle
CalmBeforeShrink=300ms
HoldAfterGrow=300ms
HoldAfterRefusal=2s
[Bridge]
ReportInterval=200ms
[Metrics]
Listen=off
[Libvirt]
Connect=off
"""


class Vm:
    """A QMP peer and an agent peer that agree with each other unless a test says otherwise."""

    def __init__(self, folder: Path, name: str, **options: Any) -> None:
        self.name = name
        self.qmp = QmpPeer(folder / f"{name}.qmp", **options)
        self.agent = AgentPeer(folder / f"{name}.channel")
        self.open_id = 0  # the resize that the guest knows of
        self.open_step = 0
        self.confirms = True
        self.online: set[int] = set()  # addresses of DIMMs
        self.held: set[int] = set()  # offline at the host's word
        self.onlines = self.offlines = True
        self.offers: int | None = None  # bytes; None: whatever is asked
        self.interval_s = 0.1
        self._reporting = False
        self.agent.on_message = self._on_message
        self.qmp.on_change = self._on_change
        self.base = self.usable
        self.refresh(available=300 * MIB)

    @property
    def usable(self) -> int:
        plugged = [dimm for dimm in list(self.qmp.dimms.plugged.values()) if dimm.address in self.online]
        return self.qmp.boot - self.qmp.inflated + self.qmp.size + sum(dimm.size for dimm in plugged)

    def refresh(self, available: int | None = None, demand: int | None = None, **fields: Any) -> None:
        """New figures for the reports."""
        old = self.agent.figures
        used = old["used_bytes"] if available is None else self.usable - available
        demand = old["demand_bytes"] if demand is None else demand
        self.agent.figures = report(self.usable, max(self.usable - used, 0), demand, **fields)

    def keep_reporting(self) -> None:
        self._reporting = True
        threading.Thread(target=self._report_on, daemon=True).start()

    def fall_silent(self) -> None:
        self._reporting = False

    def _report_on(self) -> None:
        while self._reporting:
            try:
                if self.agent.session:
                    self.agent.report()
            except (AssertionError, OSError):
                pass
            time.sleep(self.interval_s)

    def _on_message(self, body: str, message: Any) -> None:
        if body == "grow_notice":
            self.open_id, self.open_step, self.base = message.id, 0, self.usable
        elif body == "shrink_request":
            self.open_id, self.open_step, self.base = message.id, message.step, self.usable
            offered = message.bytes if self.offers is None else min(self.offers, message.bytes)
            self.agent.send("shrink_offer", id=message.id, step=message.step, offered_bytes=offered,
                            reason=pb.REFUSAL_NONE if offered else pb.REFUSAL_MARGIN)
        elif body == "offline_range":
            self._offline(message)
        elif body == "online_range":
            self.held.discard(message.address)
            self._on_change()

    def _offline(self, message: Any) -> None:
        """What goes offline is confirmed before the command is answered, as the agent does it."""
        if self.offlines:
            self.held.add(message.address)
            self._on_change()
        self.agent.send("command_result", id=message.id, error=0, bytes=message.bytes if self.offlines else 0,
                        outcome=pb.COMMAND_DONE if self.offlines else pb.COMMAND_REFUSED,
                        reason=pb.REFUSAL_NONE if self.offlines else pb.REFUSAL_MARGIN)

    def _on_change(self) -> None:
        if self.onlines:
            self.online = {dimm.address for dimm in list(self.qmp.dimms.plugged.values())} - self.held
        self.refresh()
        if self.confirms and self.open_id and self.agent.session:
            self.agent.send("resize_confirm", id=self.open_id, step=self.open_step, delta_bytes=self.usable - self.base,
                            usable_bytes=self.usable, blocks_online=4, blocks_offline=0, latency_usec=1000, stall_usec=0)

    def close(self) -> None:
        self.fall_silent()
        self.agent.close()
        self.qmp.close()


class World:
    def __init__(self, build: Path, folder: Path) -> None:
        self.folder = folder
        self.runtime = folder / "run"
        self.vms_dir = self.runtime / "vms"
        self.vms_dir.mkdir(parents=True)
        self.config = folder / "bridge.conf"
        self.config.write_text(CONFIG, encoding="utf-8")
        self.log = folder / "bridge.log"
        self.bridge_path = build / "host-bridge" / "memtide-bridge"
        self.ctl_path = build / "host-bridge" / "memtidectl"
        self.process: subprocess.Popen[bytes] | None = None
        self.vms: dict[str, Vm] = {}
        self.lease_dir = folder / "lease"
        self.launcher: list[str] = []  # goes before the bridge's command
        self.environment: dict[str, str] = {}
        self.fds: tuple[int, ...] = ()  # that it inherits

    def __enter__(self) -> World:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        code = self.stop()
        for vm in self.vms.values():
            vm.close()
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        if kind or code not in (None, 0):
            print(text)
        assert "Sanitizer" not in text and "runtime error" not in text, text
        assert code in (None, 0, -signal.SIGKILL), f"the bridge ended with {code}"

    def configure(self, key: str, value: str) -> None:
        """Another value than CONFIG's."""
        text = self.config.read_text(encoding="utf-8")
        assert f"\n{key}=" in text, key
        self.config.write_text(re.sub(f"(?m)^{key}=.*", f"{key}={value}", text), encoding="utf-8")

    def add(self, name: str = "a", **options: Any) -> Vm:
        vm = Vm(self.vms_dir, name, **options)
        self.vms[name] = vm
        return vm

    def start(self, *arguments: str) -> World:
        if not arguments:
            arguments = ("--adopt",)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.launcher, self.bridge_path, "--config", self.config, "--runtime-dir", self.runtime,
                 "--lease-dir", self.lease_dir, "--log-target=stderr",
                 "--log-level=debug", *arguments], stdout=log, stderr=log,
                pass_fds=self.fds,
                env={**os.environ, **self.environment, "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"})
        self.wait(lambda: (self.runtime / "bridge.sock").exists(), "the control socket")
        return self

    def stop(self, sig: int = signal.SIGTERM) -> int | None:
        if not self.process:
            return None
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(sig)
        return process.wait(timeout=10)

    def wait(self, condition: Callable[[], Any], what: str, timeout: float = 10.0) -> Any:
        deadline = time.monotonic() + PATIENCE * timeout
        while True:
            if value := condition():
                return value
            assert not self.process or self.process.poll() is None, "the bridge has ended"
            assert time.monotonic() < deadline, f"waited {PATIENCE * timeout} s for {what}"
            time.sleep(0.01)

    def text(self, *words: str) -> str:
        """What memtidectl prints for people."""
        return subprocess.run([self.ctl_path, "--socket", self.runtime / "bridge.sock", *words],
                              capture_output=True, text=True, check=True, timeout=10).stdout

    def ctl(self, *words: str) -> Any:
        return json.loads(self.text(*words, "--json"))

    def status(self, name: str = "a") -> dict[str, Any]:
        return dict(self.ctl("status", name))

    def decisions(self, name: str = "a") -> list[dict[str, Any]]:
        """Oldest first."""
        return list(reversed(self.ctl("explain", name)["decisions"]))

    def wait_managed(self, *names: str) -> None:
        for name in names or self.vms:
            self.vms[name].agent.wait_session()
            self.wait(lambda: self.status(name)["state"] == "managed", f"{name} to be managed")

    def wait_closed(self, name: str = "a", n: int = 1, timeout: float = 10.0) -> dict[str, Any]:
        """The n-th decision of the VM, once it is closed."""
        def closed() -> Any:
            decisions = self.decisions(name)
            return len(decisions) >= n and decisions[n - 1]["result"] != "pending" and decisions[n - 1]
        return dict(self.wait(closed, f"decision {n} of {name} to close", timeout))
