# SPDX-License-Identifier: Apache-2.0
"""P1: resident memory of the daemons as they are installed, each after it has worked, with all of them alive at once."""
from __future__ import annotations

import json
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from tests.bench import peers
from tests.bench.result import Result, absolute, compare
from tests.bench.settings import CannotMeasure, Settings
from tests.guest import process
from tests.guest.wait import wait_for

NAME = "p1-rss"
PEERS = ("earlyoom", "qemu-guest-agent")
SETTLE_S = 3.0
ROUNDS = 3  # sizes hardly vary
QGA_USE = ("guest-sync", "guest-info", "guest-get-memory-blocks", "guest-get-vcpus", "guest-network-get-interfaces")


def run(settings: Settings) -> list[Result]:
    rounds = [_round(settings) for _ in range(min(settings.rounds, ROUNDS))]
    ours = [r["ours"]["Rss"] for r in rounds]
    return [
        compare(NAME, "qemu-ga", ours, [r["qemu-ga"]["Rss"] for r in rounds], 0.75, "KiB RSS"),
        compare(NAME, "earlyoom (static build promised)", ours, [r["earlyoom"]["Rss"] for r in rounds], None, "KiB RSS"),
        absolute(NAME, "limit", max(r["ours"]["Anonymous"] for r in rounds), 256, "KiB anon"),
    ]


def _round(settings: Settings) -> dict[str, dict[str, int]]:
    with tempfile.TemporaryDirectory(prefix="mt-bench-") as name:
        folder = Path(name)
        config = folder / "agent.conf"
        config.write_text("[Blocks]\nOnline=no\n", encoding="ascii")
        port, ga = folder / "port", folder / "ga"
        children: dict[str, subprocess.Popen[bytes]] = {}
        try:
            children["host"] = process.start([settings.bench_program("bench-host"), port], folder / "log")
            wait_for("the host's socket", port.exists, 5)
            children["ours"] = process.start([settings.program("agent/memtide-agent"), "--port", port, "--config",
                                              config, "--log-target=stderr", "--log-level=info"], folder / "agent.log")
            children["earlyoom"] = process.start([peers.find("earlyoom"), "-r", "3600", "--dryrun"], folder / "log")
            children["qemu-ga"] = process.start([peers.find("qemu-ga"), "-m", "unix-listen", "-p", ga, "-t", folder],
                                                folder / "log")
            wait_for("qemu-ga's socket", ga.exists, 5)
            _use_qemu_ga(ga)
            time.sleep(SETTLE_S)
            for name_, child in children.items():
                if child.poll() is not None:
                    raise CannotMeasure(f"{name_} ended: {(folder / 'log').read_text()[-300:]}")
            return {name_: _sizes_kib(child.pid) for name_, child in children.items()}
        finally:
            for child in children.values():
                process.stop(child, grace_s=2)


def _use_qemu_ga(path: Path) -> None:
    """What an idle host asks of it; each must be answered."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        stream = client.makefile("rwb")
        for command in QGA_USE:
            arguments = {"arguments": {"id": 1}} if command == "guest-sync" else {}
            stream.write(json.dumps({"execute": command, **arguments}).encode() + b"\n")
            stream.flush()
            if not stream.readline():
                raise CannotMeasure(f"qemu-ga did not answer {command}")


def _sizes_kib(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith("kB")}
