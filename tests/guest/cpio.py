# SPDX-License-Identifier: Apache-2.0
"""A cpio archive in the kernel's "newc" form, written here because it must be reproducible.

The same entries give the same bytes (no times, owners or inode numbers of this machine), so that an
initramfs can be cached by content.
"""
from __future__ import annotations

import stat


class Archive:
    """Folders, files and links, each added once; parents are added by themselves."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._names: set[str] = set()

    def folder(self, name: str) -> None:
        self._add(name, stat.S_IFDIR | 0o755, b"")

    def file(self, name: str, data: bytes, mode: int = 0o644) -> None:
        self._add(name, stat.S_IFREG | mode, data)

    def link(self, name: str, target: str) -> None:
        self._add(name, stat.S_IFLNK | 0o777, target.encode())

    def device(self, name: str, major: int, minor: int) -> None:
        self._add(name, stat.S_IFCHR | 0o600, b"", (major, minor))

    def finish(self) -> bytes:
        return b"".join([*self._chunks, self._entry("TRAILER!!!", 0, b"", (0, 0))])

    def _add(self, name: str, mode: int, data: bytes, device: tuple[int, int] = (0, 0)) -> None:
        name = name.strip("/")
        if not name or name in self._names:
            return
        self.folder(name.rpartition("/")[0])
        self._names.add(name)
        self._chunks.append(self._entry(name, mode, data, device))

    def _entry(self, name: str, mode: int, data: bytes, device: tuple[int, int]) -> bytes:
        fields = (len(self._names), mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0)
        head = "070701" + "".join(f"{field:08x}" for field in fields) + name + "\0"
        return _padded(head.encode()) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
