# SPDX-License-Identifier: Apache-2.0
"""Which accelerator and CPU model to use. /dev/kvm that opens is no proof: only a boot is.

A KVM node may exist and hang without a word, or abort QEMU, so the probe boots the very kernel and
initramfs that the guests use and waits for init's line on the console.
"""
from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.guest import process
from tests.guest.kernel import Kernel

QEMU = "qemu-system-x86_64"
PROBE_LIMIT_S = 5.0
INIT_IS_UP = b"memtide-test: up"


@dataclass(frozen=True)
class Accelerator:
    name: str    # kvm or tcg
    cpu: str     # for -cpu
    reason: str  # why this one, for people


@cache
def qemu_version() -> tuple[int, int]:
    text = subprocess.run([QEMU, "--version"], capture_output=True, text=True, check=True).stdout
    major, minor = re.search(r"version (\d+)\.(\d+)", text).groups()  # type: ignore[union-attr]
    return int(major), int(minor)


def choose_accelerator(kernel: Kernel, initramfs: Path, wish: str = "auto") -> Accelerator:
    """wish: auto, kvm (fails later if it does not work) or tcg."""
    if wish == "kvm":
        return Accelerator("kvm", "host", "asked for")
    if wish == "tcg":
        return Accelerator("tcg", _tcg_cpu(kernel), "asked for")
    problem = _probe_kvm(kernel.image, initramfs)
    if problem is None:
        return Accelerator("kvm", "host", "it boots")
    return Accelerator("tcg", _tcg_cpu(kernel), f"kvm: {problem}")


def _tcg_cpu(kernel: Kernel) -> str:
    """`max` is the fastest, but QEMU 7's emulated cmpxchg16b breaks SLUB of kernels from 6.12 on."""
    return "qemu64,-cx16" if kernel.version >= (6, 12) and qemu_version() < (8, 0) else "max"


@cache
def _probe_kvm(image: Path, initramfs: Path) -> str | None:
    """None when a guest reaches init within the limit, else what went wrong; one probe per process."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "no access to /dev/kvm"
    with tempfile.TemporaryDirectory(prefix="memtide-probe-") as folder:
        console = Path(folder, "console")
        child = process.start([QEMU, "-machine", "q35,accel=kvm", "-cpu", "host", "-m", "256M", "-nodefaults",
                               "-no-user-config", "-display", "none", "-no-reboot", "-kernel", image,
                               "-initrd", initramfs, "-append", "console=ttyS0 panic=-1 memtide.agent=0",
                               "-serial", f"file:{console}"], log=Path(folder, "log"))
        try:
            return _await_init(child, console)
        finally:
            process.stop(child)


def _await_init(child: subprocess.Popen[bytes], console: Path) -> str | None:
    deadline = time.monotonic() + PROBE_LIMIT_S
    while time.monotonic() < deadline:
        if console.exists() and INIT_IS_UP in console.read_bytes():
            return None
        if child.poll() is not None:
            return "QEMU gave up at once"
        time.sleep(0.05)
    return f"no boot in {PROBE_LIMIT_S:.0f} s"
