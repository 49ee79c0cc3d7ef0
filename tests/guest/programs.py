# SPDX-License-Identifier: Apache-2.0
"""The small C programs that run inside a guest, compiled statically and cached by content.

They are not meson targets on purpose: a sanitizer build cannot link statically, and the guest's
instruments must not change with the build under test.
"""
from __future__ import annotations

import subprocess
from pathlib import Path

from tests.guest.cache import cache_dir, digest

SOURCES = Path(__file__).parent
FLAGS = ("-std=gnu17", "-O2", "-static", "-s", "-Wall", "-Wextra", "-Wshadow", "-Werror")


def build_program(name: str, sources: Path = SOURCES) -> Path:
    """Compile NAME.c and NAME-*.c of that folder; the same sources and flags give the same file again."""
    parts = [sources / f"{name}.c", *sorted(sources.glob(f"{name}-*.c"))]
    headers = sorted(sources.glob(f"{name}*.h"))
    folder = cache_dir("programs", digest([*(path.read_bytes() for path in (*parts, *headers)), " ".join(FLAGS).encode()]))
    target = folder / name
    if not target.exists():
        temporary = folder / f"{name}.tmp"
        subprocess.run(["cc", *FLAGS, "-o", temporary, *parts], check=True)
        temporary.rename(target)
    return target
