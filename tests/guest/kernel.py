# SPDX-License-Identifier: Apache-2.0
"""The kernel that a guest boots: Debian's own, unpacked into the cache and never installed.

The ABI name is resolved from Debian's metapackage at run time, because it changes with each security
update and an old one leaves the archive.
"""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.guest.apt import Apt, AptError
from tests.guest.cache import cache_dir, locked
from tests.guest.package import unpack

METAPACKAGES = {"cloud": "linux-image-cloud-amd64", "generic": "linux-image-amd64"}

# Cloud kernels of other releases than the machine's, and the suites that have them; the one with the shorter lists first.
SERIES = {"6.12": ("bookworm-backports", "trixie"), "5.10": ("bullseye",)}
SERIES_FRESH_S = 7 * 24 * 3600


class KernelError(Exception):
    """No kernel to boot; the text says why and what would help."""


@dataclass(frozen=True)
class Kernel:
    """A kernel image and the folder that holds its modules."""

    image: Path
    release: str
    modules: Path  # lib/modules/RELEASE, with modules.dep when depmod exists
    label: str     # what people see: "6.1.0-56-cloud-amd64 (6.1.192-2)"

    @property
    def version(self) -> tuple[int, int]:
        """(6, 1): what the choice of a CPU model depends on."""
        major, minor = re.match(r"(\d+)\.(\d+)", self.release).groups()  # type: ignore[union-attr]
        return int(major), int(minor)


def resolve_kernel(choice: str = "cloud") -> Kernel:
    """cloud or generic: the archive's current kernel of that kind; one of SERIES; else a path (see _from_path)."""
    if choice in METAPACKAGES:
        return _from_archive(METAPACKAGES[choice])
    if choice in SERIES:
        return _from_series(choice)
    return _from_path(Path(choice))


def _from_archive(metapackage: str) -> Kernel:
    root = cache_dir("kernels")
    with locked(root):
        apt = Apt(cache_dir("apt"))
        problems = []
        for attempt in ("the machine's lists", "private lists"):
            try:
                if attempt == "private lists":
                    apt.refresh()
                return _fetch(apt, metapackage, root)
            except (AptError, KernelError) as error:
                problems.append(f"{attempt}: {error}")
        kept = _newest_kept(root, metapackage)
        if kept:
            return kept  # offline: yesterday's kernel is better than none
        raise KernelError(f"cannot fetch {metapackage}: " + "; ".join(problems))


def _from_series(series: str) -> Kernel:
    """What was fetched within a week serves without asking, and an older one where nothing can be fetched."""
    root = cache_dir("kernels", series)
    with locked(root):
        kept = sorted(root.glob("linux-image-*/complete"), key=lambda path: path.stat().st_mtime)
        if kept and time.time() - kept[-1].stat().st_mtime < SERIES_FRESH_S:
            return _from_tree(kept[-1].parent)
        problems = []
        for suite in SERIES[series]:
            try:
                apt = Apt(cache_dir("apt", suite), suite)
                apt.refresh()
                return _fetch(apt, METAPACKAGES["cloud"], root, rf"{re.escape(series)}\.")
            except (AptError, KernelError) as error:
                problems.append(f"{suite}: {error}")
        if kept:
            return _from_tree(kept[-1].parent)
        raise KernelError(f"cannot fetch a kernel {series}: " + "; ".join(problems))


def _fetch(apt: Apt, metapackage: str, root: Path, series: str = "[0-9]") -> Kernel:
    suffix = "-cloud-amd64" if "cloud" in metapackage else "-amd64"
    package = apt.dependency(metapackage, rf"linux-image-{series}[^ ]*{suffix}")
    if package is None:
        raise KernelError(f"{metapackage} is not in the lists (is this Debian on amd64?)")
    version = apt.version(package) or "unknown"
    target = root / f"{package}_{version.replace(':', '_')}"
    if not (target / "complete").exists():
        archive = apt.download(package, root / "debs")
        if archive is None:
            raise KernelError(f"apt-get download {package} failed")
        unpack(archive, target, _depmod)
        archive.unlink()
    return _from_tree(target)


def _depmod(target: Path) -> None:
    """modules.dep is not in the package (its postinst makes it), so make it here."""
    depmod = shutil.which("depmod", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if depmod is None:
        return  # modules.py falls back to its fixed order
    subprocess.run([depmod, "-b", target, _release_of(target)], check=True, capture_output=True)


def _release_of(tree: Path) -> str:
    names = sorted(path.name for path in (tree / "lib" / "modules").iterdir() if path.is_dir())
    if len(names) != 1:
        raise KernelError(f"{tree}/lib/modules holds {len(names)} kernels, want one")
    return names[0]


def _from_tree(tree: Path) -> Kernel:
    release = _release_of(tree)
    version = tree.name.partition("_")[2]
    return Kernel(image=tree / "boot" / f"vmlinuz-{release}", release=release,
                  modules=tree / "lib" / "modules" / release,
                  label=f"{release} ({version})" if version else release)


def _newest_kept(root: Path, metapackage: str) -> Kernel | None:
    cloud = "cloud" in metapackage
    kept = [path.parent for path in root.glob("linux-image-*/complete") if ("cloud" in path.parent.name) == cloud]
    return _from_tree(max(kept, key=lambda path: path.stat().st_mtime)) if kept else None


def _from_path(path: Path) -> Kernel:
    """A .deb; a folder as dpkg-deb -x leaves it; or an image beside which the modules are found."""
    if path.suffix == ".deb" and path.is_file():
        target = cache_dir("kernels") / path.stem
        if not (target / "complete").exists():
            unpack(path, target, _depmod)
        return _from_tree(target)
    if path.is_dir():
        return _from_tree(path)
    if not path.is_file():
        choices = ", ".join((*METAPACKAGES, *SERIES))
        raise KernelError(f"kernel '{path}': want {choices}, a .deb, an unpacked folder or a vmlinuz file")
    release = path.name.partition("-")[2]
    for root in (path.parent.parent, Path("/")):
        modules = root / "lib" / "modules" / release
        if release and modules.is_dir():
            return Kernel(image=path, release=release, modules=modules, label=release)
    raise KernelError(f"kernel '{path}': no lib/modules/{release or 'RELEASE'} beside it or on this machine")
