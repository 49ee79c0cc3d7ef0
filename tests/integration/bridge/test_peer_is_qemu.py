# SPDX-License-Identifier: Apache-2.0
"""The scripted QEMU answers as the real one does: the same commands to both, the same replies and errors."""
from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from qmp_dimms import Dimms
from qmp_peer import MIB, QmpPeer

QEMU = shutil.which("qemu-system-x86_64")


def backend(number: int, mib: int, kind: str = "ram", **more: Any) -> tuple[str, dict[str, Any]]:
    return "object-add", {"qom-type": f"memory-backend-{kind}", "id": f"memtide-dimm{number}-mem",
                          "size": mib * MIB, **more}


def device(number: int, memdev: int) -> tuple[str, dict[str, Any]]:
    return "device_add", {"driver": "pc-dimm", "id": f"memtide-dimm{number}", "memdev": f"memtide-dimm{memdev}-mem"}


def drop(what: str, ident: str) -> tuple[str, dict[str, Any]]:
    return ("object-del" if what == "object" else "device_del"), {"id": ident}


COMMANDS: list[tuple[str, dict[str, Any]]] = [
    ("qom-get", {"path": "/machine", "property": "memory"}),
    backend(0, 256), backend(0, 256), drop("object", "memtide-dimm7-mem"),
    device(0, 7), device(0, 0), device(0, 0), device(9, 0), drop("object", "memtide-dimm0-mem"),
    ("query-memory-devices", {}), ("query-memdev", {}),
    backend(1, 2048), device(1, 1), drop("object", "memtide-dimm1-mem"),
    backend(1, 128, "memfd", share=True), device(1, 1), backend(2, 128), device(2, 2),
    ("query-memory-devices", {}), ("query-memdev", {}), ("query-balloon", {}),
    ("balloon", {"value": 0}), drop("device", "memtide-dimm7"), drop("device", "memtide-dimm1"),
    drop("device", "memtide-dimm1"), drop("object", "memtide-dimm1-mem"), ("query-balloon", {}),
]


class Monitor:
    def __init__(self, path: Path) -> None:
        deadline = time.monotonic() + 20
        while True:
            try:
                self._socket = socket.socket(socket.AF_UNIX)
                self._socket.connect(str(path))
                break
            except OSError:
                assert time.monotonic() < deadline, "no monitor"
                time.sleep(0.02)
        self._socket.settimeout(20)
        self._lines = self._socket.makefile("r")
        self._lines.readline()  # the greeting
        self.ask("qmp_capabilities", {})

    def ask(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        self._socket.sendall(json.dumps({"execute": name, "arguments": arguments, "id": 1}).encode() + b"\n")
        while "event" in (reply := json.loads(self._lines.readline())):
            pass
        return dict(reply)


@contextmanager
def real(folder: Path) -> Iterator[Monitor]:
    """No guest runs in it: what a guest says is for the end-to-end tests."""
    assert QEMU
    path = folder / "real.qmp"
    process = subprocess.Popen([QEMU, "-machine", "q35,accel=tcg", "-m", "512M,slots=2,maxmem=2G", "-nodefaults",
                                "-no-user-config", "-display", "none", "-S", "-device", "virtio-balloon-pci",
                                "-qmp", f"unix:{path},server=on,wait=off"])
    try:
        yield Monitor(path)
    finally:
        process.kill()
        process.wait()


def known_keys(value: Any, like: Any) -> Any:
    """value, less what the peer does not know of: QEMU adds fields, and memtide ignores them."""
    if isinstance(like, dict) and isinstance(value, dict):
        return {key: known_keys(item, like[key]) for key, item in value.items() if key in like}
    if isinstance(like, list) and isinstance(value, list) and len(like) == len(value):
        return [known_keys(item, other) for item, other in zip(value, like)]
    return value


@pytest.mark.skipif(not QEMU, reason="no QEMU here")
def test_same_answers(tmp_path: Path) -> None:
    peer = QmpPeer(tmp_path / "peer.qmp", vmem=0, dimms=Dimms(slots=2, room=1536 * MIB))
    peer.ejects = "never"  # no guest runs in the real one either
    try:
        with real(tmp_path) as qemu:
            scripted = Monitor(peer.path)
            for name, arguments in COMMANDS:
                expected, got = qemu.ask(name, arguments), scripted.ask(name, arguments)
                if name == "query-memdev":  # boot RAM's own is older than all of ours
                    expected["return"] = [one for one in expected["return"] if one["id"] != "pc.ram"]
                assert expected.keys() == got.keys(), (name, arguments, expected)
                assert known_keys(expected, got) == got, (name, arguments)
    finally:
        peer.close()
