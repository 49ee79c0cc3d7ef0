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
    """Compile NAME.c of that folder; the same source and flags give the same file again."""
    source = sources / f"{name}.c"
    folder = cache_dir("programs", digest([source.read_bytes(), " ".join(FLAGS).encode()]))
    target = folder / name
    if not target.exists():
        temporary = folder / f"{name}.tmp"
        subprocess.run(["cc", *FLAGS, "-o", temporary, source], check=True)
        temporary.rename(target)
    return target
