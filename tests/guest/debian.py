# SPDX-License-Identifier: Apache-2.0
"""A disk with Debian and memtide as it ships: systemd, udev, dbus, the units where `meson install` puts them.

Three layers, each made only when it is not there: Debian's packages (by mmdebstrap, which takes a minute), a build of memtide
for /usr, and the image of both. Nothing is mounted, and nothing on this machine is changed. It takes root: the files in
the image have the owners that they have in the folder.
"""
from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.guest.apt import KEYRING, codename, mirror
from tests.guest.cache import cache_dir, digest, locked
from tests.guest.kernel import Kernel
from tests.guest.programs import SOURCES, build_program

ROOT = SOURCES.parents[1]
PACKAGES = ("systemd", "systemd-sysv", "udev", "dbus", "kmod",
            "libinih1", "libjansson4", "libmicrohttpd12", "libprotobuf-c1", "libsqlite3-0")
DISK_BYTES = 1 << 30  # sparse
HELPERS = "usr/lib/memtide-test"
CONTROL = f"""[Unit]
Description=the control port of memtide's tests
After=multi-user.target

[Service]
ExecStart=/bin/sh /{HELPERS}/serve.sh
OOMScoreAdjust=-1000
"""
SERVE = f""". /{HELPERS}/obey.sh
PATH=$PATH:/{HELPERS}
echo 'memtide-test: up' >/dev/console
serve /dev/virtio-ports/memtide.test.control
"""


class DebianError(Exception):
    """There is no image; the text says why and what would help."""


def debian_disk(kernel: Kernel, build: Path, programs: Sequence[Path] = ()) -> Path:
    """An image to be booted by build_pivot(). `programs` and load are found by their names on the control port."""
    if os.geteuid() != 0 or not shutil.which("mmdebstrap"):
        raise DebianError("a Debian for a guest takes root and mmdebstrap")
    base = _base()
    stage = build / "debian-stage"
    shutil.rmtree(stage, ignore_errors=True)
    _install(build / "packaged", stage, [*programs, build_program("load")])
    image = build / f"debian-{digest([base.name.encode(), kernel.label.encode(), *_contents(stage)])}.ext4"
    if not image.exists():
        for old in build.glob("debian-*.ext4"):
            old.unlink()
        _make_image(base / "root", stage, kernel, image)
    return image


def _base() -> Path:
    """A tree is kept as long as the list of packages is the same: what is tested is not Debian."""
    root = cache_dir("debian")
    tree = root / f"{codename()}-{digest(name.encode() for name in PACKAGES)}"
    with locked(root):
        if not (tree / "complete").exists():
            shutil.rmtree(tree, ignore_errors=True)
            tree.mkdir()
            source = f"deb [signed-by={KEYRING}] {mirror()} {codename()} main"
            done = subprocess.run(["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase",
                                   f"--include={','.join(PACKAGES)}", codename(), tree / "root", source],
                                  capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise DebianError(f"mmdebstrap failed: {done.stderr.strip()[-2000:]}")
            (tree / "complete").touch()
    return tree


def _install(packaged: Path, stage: Path, programs: Sequence[Path]) -> None:
    """As a packager does it."""
    if not (packaged / "build.ninja").exists():
        _quietly("meson", "setup", "--prefix=/usr", "-Dtests=false", "-Dman=false", packaged, ROOT)
    _quietly("ninja", "-C", packaged)
    _quietly("meson", "install", "-C", packaged, "--no-rebuild", "--destdir", stage)
    helpers, units = stage / HELPERS, stage / "etc/systemd/system/multi-user.target.wants"
    helpers.mkdir(parents=True)
    units.mkdir(parents=True)
    for program in programs:
        shutil.copy(program, helpers)
    shutil.copy(SOURCES / "obey.sh", helpers)
    (helpers / "serve.sh").write_text(SERVE, encoding="ascii")
    (units.parent / "memtide-test.service").write_text(CONTROL, encoding="ascii")
    (units / "memtide-test.service").symlink_to("../memtide-test.service")


def _contents(stage: Path) -> list[bytes]:
    files = sorted(path for path in stage.rglob("*") if path.is_file() and not path.is_symlink())
    return [part for path in files for part in (str(path.relative_to(stage)).encode(), path.read_bytes())]


def _make_image(base: Path, stage: Path, kernel: Kernel, image: Path) -> None:
    tree, partial = image.with_suffix(".tree"), image.with_suffix(".partial")
    shutil.rmtree(tree, ignore_errors=True)
    _quietly("cp", "-a", base, tree)
    shutil.copytree(stage, tree, symlinks=True, dirs_exist_ok=True)  # cp will not go through Debian's /lib -> usr/lib
    shutil.copytree(kernel.modules, tree / "usr/lib/modules" / kernel.release, symlinks=True)
    _quietly("journalctl", "--root", tree, "--update-catalog")  # Debian's systemd does it by a trigger of dpkg
    partial.unlink(missing_ok=True)
    with open(partial, "wb") as disk:
        disk.truncate(DISK_BYTES)
    _quietly("/sbin/mke2fs", "-q", "-t", "ext4", "-d", tree, partial)
    shutil.rmtree(tree)
    partial.rename(image)


def _quietly(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DebianError(f"{' '.join(map(str, command))}: {(done.stdout + done.stderr).strip()[-2000:]}")
