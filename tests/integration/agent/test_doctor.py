# SPDX-License-Identifier: Apache-2.0
"""memtide-agent doctor over the tree of a machine that lacks one thing after the other."""
from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from machine_tree import MachineTree


@pytest.fixture
def healthy(folder) -> Iterator[Path]:
    """A machine that lacks nothing; the host of guest is at the other end of its port."""
    machine = MachineTree(folder)
    meminfo = machine.path / "proc/meminfo"
    lines = [f"SwapTotal: {1 << 20} kB" if line.startswith("SwapTotal") else line
             for line in meminfo.read_text(encoding="ascii").splitlines()]
    meminfo.write_text("\n".join(lines) + "\n", encoding="ascii")
    for state in machine.path.glob("sys/devices/system/memory/memory*/state"):
        state.write_text("online\n", encoding="ascii")
    yield machine.path
    machine.close()


def doctor(guest, root: Path, port: str = "port") -> tuple[int, dict[str, dict[str, str]]]:
    done = guest.run("--root", str(root), "--port", str(guest.folder / port), "--config", str(guest.config),
                     "--log-target=stderr", "--json", "doctor")
    assert done.stderr == ""
    return done.returncode, {f["name"]: f for f in json.loads(done.stdout)}


def write(name: str, text: str) -> Callable[[Path], None]:
    return lambda root: (root / name).write_text(text, encoding="ascii") and None


def remove(name: str) -> Callable[[Path], None]:
    return lambda root: shutil.rmtree(root / name) if (root / name).is_dir() else os.unlink(root / name)


def cgroup_v1(root: Path) -> None:
    (root / "sys/fs/cgroup/memory").mkdir()
    (root / "sys/fs/cgroup/memory/tasks").write_text("", encoding="ascii")


def features(root: Path) -> None:
    for device in (root / "sys/bus/virtio/devices").iterdir():
        if (device / "device").read_text(encoding="ascii").strip() == "0x0005":
            bits = list((device / "features").read_text(encoding="ascii"))
            bits[2] = bits[5] = "0"
            (device / "features").write_text("".join(bits), encoding="ascii")


MEMORY = "sys/devices/system/memory"
CASES = {
    "healthy": (lambda root: None, None, "ok", ""),
    "no psi": (remove("proc/pressure"), "psi", "lacks", "psi=1"),
    "no swap": (lambda root: _no_swap(root), "swap", "advice", "zram"),
    "no vmstat": (remove("proc/vmstat"), "counters", "lacks", "/proc"),
    "no hotplug": (remove(MEMORY), "hotplug", "lacks", "CONFIG_MEMORY_HOTPLUG"),
    "offline block": (write(f"{MEMORY}/memory33/state", "offline\n"), "blocks", "lacks", "start memtide-agent"),
    "auto online": (lambda root: _told_to_online(root), "auto-online", "advice", "memhp_default_state="),
    "balloon features": (features, "balloon", "advice", "deflate-on-oom=on"),
    "cgroup v1": (cgroup_v1, "cgroup", "lacks", "unified_cgroup_hierarchy"),
    "no reclaim": (remove("sys/fs/cgroup/memory.reclaim"), "reclaim", "lacks", "5.19"),
}


def _told_to_online(root: Path) -> None:
    write(f"{MEMORY}/auto_online_blocks", "online\n")(root)
    write("proc/cmdline", "quiet memhp_default_state=online\n")(root)


def _no_swap(root: Path) -> None:
    path = root / "proc/meminfo"
    path.write_text(path.read_text(encoding="ascii").replace(f"SwapTotal: {1 << 20}", "SwapTotal: 0"), encoding="ascii")


@pytest.mark.parametrize("name", CASES)
def test_each_lack_is_named_with_its_fix(guest, healthy, name):
    change, check, verdict, fix = CASES[name]
    change(healthy)
    code, findings = doctor(guest, healthy)
    for finding in findings.values():
        if finding["name"] == check:
            assert finding["verdict"] == verdict and fix in finding["fix"], finding
        elif name not in ("no hotplug", "no psi"):
            assert finding["verdict"] == "ok" and finding["fix"] is None, finding
    assert code == (1 if verdict == "lacks" else 0)


def test_no_port(guest, healthy):
    code, findings = doctor(guest, healthy, "no-such-port")
    assert code == 1 and findings["port"]["verdict"] == "lacks" and "virtio" in findings["port"]["fix"]


def test_lines_for_people(guest, healthy):
    done = guest.run("--root", str(healthy), "--log-target=stderr", "doctor")
    lines = done.stdout.splitlines()
    assert done.returncode == 1 and len(lines) == 13
    assert lines[0].startswith("lacks   port ") and ". Fix: add to the libvirt domain" in lines[0]
    assert lines[1].startswith("ok      psi ") and "Fix" not in lines[1]


def test_only_one_word_is_known(guest):
    assert guest.run("nurse").returncode == 2
    assert guest.run("doctor", "doctor").returncode == 2
