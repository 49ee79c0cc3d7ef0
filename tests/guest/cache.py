# SPDX-License-Identifier: Apache-2.0
"""The folder where kernels, initramfs images and guest programs are kept between runs.

Everything in it can be rebuilt, so it is safe to delete; entries are named by version or by content,
so a stale one is never taken for a fresh one.
"""
from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def cache_dir(*parts: str) -> Path:
    """A folder below $MEMTIDE_CACHE, else below the user's cache folder; made when missing."""
    root = os.environ.get("MEMTIDE_CACHE")
    if not root:
        home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        root = str(Path(home) / "memtide")
    path = Path(root, *parts)
    path.mkdir(parents=True, exist_ok=True)
    return path


def digest(parts: Iterable[bytes]) -> str:
    """A short name for a set of inputs; the length of each part counts, so no two sets run together."""
    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "big"))
        total.update(part)
    return total.hexdigest()[:16]


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Two test runs that share a cache must not unpack the same kernel at once."""
    with open(folder / ".lock", "w", encoding="ascii") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def publish(path: Path, data: bytes, mode: int = 0o644) -> Path:
    """Write a cache entry whole or not at all."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(data)
    temporary.chmod(mode)
    temporary.rename(path)
    return path
