# SPDX-License-Identifier: Apache-2.0
"""The root of a test guest: busybox, kernel modules, the given programs with their libraries, init.sh.

One image serves guests with and without the agent (the kernel command line decides), so that nothing
else differs between them. Cached by content.
"""
from __future__ import annotations

import gzip
import lzma
from collections.abc import Sequence
from pathlib import Path

from tests.guest.cache import cache_dir, digest, publish
from tests.guest.closure import libraries
from tests.guest.cpio import Archive
from tests.guest.kernel import Kernel
from tests.guest.modules import closure, module_name
from tests.guest.programs import SOURCES, build_program

BUSYBOX = Path("/bin/busybox")
KEPT = 16
ZRAM = ("lzo_rle", "zram")  # its default compressor is a soft dependency before 6.12, which modules.dep does not have
FOLDERS = ("bin", "dev", "proc", "sys", "run", "tmp", "etc", "modules")


def build_initramfs(kernel: Kernel, programs: Sequence[Path] = (), agent_config: Path | None = None) -> Path:
    """`programs` land in /bin by their file names; load, reader and sampler are always there."""
    everything = [*programs, *(build_program(name) for name in ("load", "reader", "sampler"))]
    return _publish(_archive(kernel, everything, agent_config))


def build_pivot(kernel: Kernel) -> Path:
    """For a guest whose root is a disk: no more than what mounts it."""
    archive = _skeleton("init-disk.sh")
    _add_list(archive, "base", closure(kernel.modules, ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4")))
    return _publish(archive.finish())


def _publish(data: bytes) -> Path:
    path = cache_dir("initramfs") / f"{digest([data])}.cpio.gz"
    if not path.exists():
        # Level 6: level 9 gains 1 % and takes twice as long; the guest unpacks either equally fast.
        publish(path, gzip.compress(data, 6, mtime=0))
        _forget_all_but_newest(path.parent)
    return path


def _forget_all_but_newest(folder: Path) -> None:
    """Each build of the agent makes a new image; those of last week are of no use to anybody."""
    images = sorted(folder.glob("*.cpio.gz"), key=lambda image: image.stat().st_mtime)
    for image in images[:-KEPT]:
        image.unlink(missing_ok=True)


def _skeleton(init: str) -> Archive:
    archive = Archive()
    for name in FOLDERS:
        archive.folder(name)
    archive.device("dev/console", 5, 1)  # before devtmpfs is mounted, init has nothing else to speak to
    archive.file("init", (SOURCES / init).read_bytes(), 0o755)
    archive.file("bin/busybox", BUSYBOX.read_bytes(), 0o755)
    return archive


def _archive(kernel: Kernel, programs: Sequence[Path], agent_config: Path | None) -> bytes:
    archive = _skeleton("init.sh")
    archive.file("obey.sh", (SOURCES / "obey.sh").read_bytes())
    for program in programs:
        archive.file(f"bin/{program.name}", program.read_bytes(), 0o755)
        for library in libraries(program):
            archive.file(str(library), library.read_bytes(), 0o755)
    if agent_config:
        archive.file("etc/memtide/agent.conf", agent_config.read_bytes())
    _add_modules(archive, kernel)
    return archive.finish()


def _add_modules(archive: Archive, kernel: Kernel) -> None:
    """zram's are used only when swap is asked for."""
    base = closure(kernel.modules)
    _add_list(archive, "base", base)
    _add_list(archive, "zram", [path for path in closure(kernel.modules, ZRAM) if path not in base])


def _add_list(archive: Archive, name: str, modules: Sequence[Path]) -> None:
    """The modules, and a list of their files in the order of insertion."""
    for path in modules:
        archive.file(f"modules/{module_name(str(path))}.ko", _module(path))
    archive.file(f"modules/{name}.list", "".join(f"{module_name(str(path))}.ko\n" for path in modules).encode())


def _module(path: Path) -> bytes:
    """Unpacked here, since not every kernel unpacks what busybox insmod hands it; Debian has .ko.xz from 6.12 on."""
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data
