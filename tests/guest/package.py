# SPDX-License-Identifier: Apache-2.0
"""A Debian package whose files are wanted and not its installation: unpacked into the cache.

For programs that a package surrounds with services and libraries which a user's machine did not ask for.
"""
from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.guest.apt import Apt, AptError
from tests.guest.cache import cache_dir, locked


def unpacked(name: str) -> Path:
    """The root of its files. A version that was unpacked before serves without the archive.

    Raises AptError where there is none, with what was tried.
    """
    root = cache_dir("packages", name)
    with locked(root):
        apt = Apt(cache_dir("apt"))
        version = apt.version(name)
        if version is None:
            apt.refresh()
            version = apt.version(name)
        if version is None:
            raise AptError(f"{name} is not in the package lists")
        tree = root / version.replace(":", "_")
        if not (tree / "complete").exists():
            _fetch(apt, name, root, tree)
        return tree


def unpack(archive: Path, tree: Path, finish: Callable[[Path], None] = lambda tree: None) -> None:
    """Its files, and what `finish` adds. A folder without the file `complete` was cut short and is redone."""
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    subprocess.run(["dpkg-deb", "-x", archive, tree], check=True)
    finish(tree)
    (tree / "complete").touch()


def _fetch(apt: Apt, name: str, root: Path, tree: Path) -> None:
    """The lists may name what has left the archive."""
    archive = apt.download(name, root)
    if archive is None:
        apt.refresh()
        archive = apt.download(name, root)
    if archive is None:
        raise AptError(f"apt-get download {name} failed")
    unpack(archive, tree)
    archive.unlink()
