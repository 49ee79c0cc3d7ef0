# SPDX-License-Identifier: Apache-2.0
"""Which kernel modules a guest needs, in the order in which they can be inserted.

busybox insmod resolves nothing, and an initramfs with modprobe and its indexes is larger and slower,
so the order is computed here from depmod's modules.dep, or is a fixed one where kmod is missing.
"""
from __future__ import annotations

from pathlib import Path

# What a memory guest needs. Anything else that they pull in comes through modules.dep.
WANTED = ("virtio_pci", "virtio_console", "virtio_balloon", "virtio_mem", "virtio_blk")

# Known good for Debian's 6.1: virtio_ring must come before virtio.
FIXED_ORDER = ("virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci",
               "virtio_console", "virtio_balloon", "virtio_mem", "virtio_blk")


def module_name(path: str) -> str:
    """kernel/drivers/virtio/virtio-foo.ko.xz -> virtio_foo"""
    return Path(path).name.partition(".ko")[0].replace("-", "_")


def closure(modules: Path, wanted: tuple[str, ...] = WANTED) -> list[Path]:
    """Files to insert, dependencies first. A wanted module that is built in (or absent) is left out."""
    dependencies = _read_dependencies(modules / "modules.dep")
    if not dependencies:
        return _fixed(modules)
    by_name = {module_name(path): path for path in dependencies}
    order: list[str] = []
    for name in wanted:
        if name in by_name:
            _visit(by_name[name], dependencies, order)
    return [modules / path for path in order]


def _visit(path: str, dependencies: dict[str, list[str]], order: list[str]) -> None:
    """Depth first; depmod refuses cycles, so this ends."""
    if path in order:
        return
    for dependency in dependencies.get(path, []):
        _visit(dependency, dependencies, order)
    order.append(path)


def _read_dependencies(index: Path) -> dict[str, list[str]]:
    if not index.exists():
        return {}
    table = {}
    for line in index.read_text(encoding="utf-8").splitlines():
        path, _, rest = line.partition(":")
        table[path] = rest.split()
    return table


def _fixed(modules: Path) -> list[Path]:
    found = {module_name(str(path)): path for path in modules.rglob("virtio*.ko*")}
    return [found[name] for name in FIXED_ORDER if name in found]
