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
    data = _archive(kernel, everything, agent_config)
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


def _archive(kernel: Kernel, programs: Sequence[Path], agent_config: Path | None) -> bytes:
    archive = Archive()
    for name in FOLDERS:
        archive.folder(name)
    archive.device("dev/console", 5, 1)  # before devtmpfs is mounted, init has nothing else to speak to
    archive.file("init", (SOURCES / "init.sh").read_bytes(), 0o755)
    archive.file("bin/busybox", BUSYBOX.read_bytes(), 0o755)
    for program in programs:
        archive.file(f"bin/{program.name}", program.read_bytes(), 0o755)
        for library in libraries(program):
            archive.file(str(library), library.read_bytes(), 0o755)
    if agent_config:
        archive.file("etc/memtide/agent.conf", agent_config.read_bytes())
    _add_modules(archive, kernel)
    return archive.finish()


def _add_modules(archive: Archive, kernel: Kernel) -> None:
    """Each list names files in the order of insertion; zram's is used only when swap is asked for."""
    base = closure(kernel.modules)
    zram = [path for path in closure(kernel.modules, ZRAM) if path not in base]
    for path in (*base, *zram):
        archive.file(f"modules/{module_name(str(path))}.ko", _module(path))
    archive.file("modules/base.list", _list(base))
    archive.file("modules/zram.list", _list(zram))


def _module(path: Path) -> bytes:
    """Unpacked here, since not every kernel unpacks what busybox insmod hands it; Debian has .ko.xz from 6.12 on."""
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


def _list(paths: Sequence[Path]) -> bytes:
    return "".join(f"{module_name(str(path))}.ko\n" for path in paths).encode()
