# SPDX-License-Identifier: Apache-2.0
"""One agent, its machine, and the bridge that it talks to."""
from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from bridge_peer import BridgePeer
from machine_tree import MachineTree
from tests.guest.wait import PATIENCE

CONFIG = """
[Agent]
ShrinkMargin=64M
HoldAfterRefusal=1s
"""


class Guest:
    def __init__(self, build: Path, folder: Path) -> None:
        self.folder = folder
        self.program = build / "agent" / "memtide-agent"
        self.port = folder / "port"
        self.log = folder / "agent.log"
        self.config = folder / "agent.conf"
        self.config.write_text(CONFIG, encoding="ascii")
        self.machine: MachineTree | None = None
        self.bridge = BridgePeer(self.port)
        self.process: subprocess.Popen[bytes] | None = None
        self.prefix: list[str | Path] = []  # of its command line

    def __enter__(self) -> Guest:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        code = self.stop()
        self.bridge.close()
        if self.machine:
            self.machine.close()
        if kind or code not in (None, 0):
            print(self.log_text())
        assert "Sanitizer" not in self.log_text() and "runtime error" not in self.log_text(), self.log_text()
        assert code in (None, 0), f"the agent ended with {code}"

    def start(self, *arguments: str, wait: bool = True, **machine: Any) -> None:
        """Starts the agent; with wait, until its session is open."""
        if self.machine is None:
            self.machine = MachineTree(self.folder, **machine)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, self.program, "--root", self.machine.path, "--port", self.port, "--config", self.config,
                 "--uevents=kernel", "--log-level=debug", "--log-target=stderr", *arguments],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        if wait:
            self.bridge.open()

    def stop(self) -> int | None:
        """Ends the agent as systemd would. Returns its exit code."""
        process, self.process = self.process, None
        if process is None:
            return None
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout=10)

    def kill(self) -> None:
        """Ends the agent as the kernel would."""
        process, self.process = self.process, None
        assert process
        process.kill()
        process.wait(timeout=10)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self.program, *arguments], capture_output=True, text=True, timeout=20, check=False)

    def log_text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def wait_for_log(self, text: str, seconds: float = 5) -> None:
        end = time.monotonic() + PATIENCE * seconds
        while text not in self.log_text():
            assert time.monotonic() < end, f"the log has no {text!r}:\n{self.log_text()}"
            time.sleep(0.02)

    def cpu_seconds(self) -> float:
        assert self.process
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def n_descriptors(self) -> int:
        assert self.process
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))
