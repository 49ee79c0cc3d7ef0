# SPDX-License-Identifier: Apache-2.0
"""The fake monitors of tests/farm answer what the bridge asks as QEMU does: the same keys, types and kinds of error. QEMU
is one that never runs, so that this needs no guest."""
from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.farm.farm import Farm
from tests.guest import process
from tests.guest.accel import QEMU
from tests.guest.qmp import QmpClient, QmpError

MIB = 1 << 20
BOOT, VMEM = 256, 1024  # MiB
PATH = "/machine/peripheral/vmem0"

# What the bridge sends; the last four are wrong, each in a way of its own.
COMMANDS: list[tuple[str, dict[str, Any]]] = [
    ("query-memory-size-summary", {}),
    ("query-memory-devices", {}),
    ("query-balloon", {}),
    ("query-migrate", {}),
    ("qom-set", {"path": PATH, "property": "requested-size", "value": 128 * MIB}),
    ("query-memory-devices", {}),
    ("balloon", {"value": 200 * MIB}),
    ("qom-set", {"path": PATH, "property": "requested-size", "value": 128 * MIB + 1}),
    ("qom-set", {"path": PATH, "property": "requested-size", "value": 2 * VMEM * MIB}),
    ("qom-set", {"path": "/machine/peripheral/other", "property": "requested-size", "value": 0}),
    ("balloon", {"value": -1}),
]


def shape(value: Any) -> Any:
    """Keys and types, without the values that are a machine's own."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in sorted(value.items())}
    if isinstance(value, list):
        return [shape(one) for one in value]
    return type(value).__name__


def answers(path: Path) -> list[tuple[str, Any]]:
    client = QmpClient(path)
    found: list[tuple[str, Any]] = []
    try:
        for command, arguments in COMMANDS:
            try:
                found.append((command, shape(client.command(command, **arguments))))
            except QmpError:
                found.append((command, "refused"))
        devices = client.command("query-memory-devices")
        found.append(("asked for", devices[0]["data"]["requested-size"]))
        found.append(("boot", client.command("query-memory-size-summary")["base-memory"]))
    finally:
        client.close()
    return found


@pytest.fixture
def qemu(folder: Path) -> Path:
    monitor = folder / "qmp"
    child = process.start([QEMU, "-S", "-machine", "q35", "-accel", "tcg", "-m", f"{BOOT}M,maxmem=4G", "-display", "none",
                           "-nodefaults", "-object", f"memory-backend-ram,id=m,size={VMEM}M",
                           "-device", "virtio-mem-pci,id=vmem0,memdev=m", "-device", "virtio-balloon-pci",
                           "-qmp", f"unix:{monitor},server=on,wait=off"], folder / "log")
    deadline = time.monotonic() + 20
    while not monitor.exists():
        assert child.poll() is None and time.monotonic() < deadline, (folder / "log").read_text(encoding="utf-8")
        time.sleep(0.05)
    return monitor


def test_farm_is_like_qemu(build: Path, folder: Path, qemu: Path) -> None:
    program = build / "tests/farm/farm"
    if not program.exists():
        pytest.skip(f"no {program}")
    os.mkdir(folder / "vms")
    with Farm(program, folder / "vms", 1, boot=BOOT, vmem=VMEM):
        fake = answers(folder / "vms/vm00000.qmp")
    assert fake == answers(qemu)
