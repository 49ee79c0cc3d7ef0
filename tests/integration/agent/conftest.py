# SPDX-License-Identifier: Apache-2.0
"""A real memtide-agent over the tree of a fixture, and a scripted bridge at the other end of its port.

Environment: MEMTIDE_BUILD (the meson build folder, default build/).
"""
from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("MEMTIDE_BUILD") or ROOT / "build").resolve()

for _path in (ROOT / "tests/unit/proto", BUILD / "tests/unit/proto", Path(__file__).parent, ROOT):
    sys.path.insert(0, str(_path))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path, since socket paths end at 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="mta-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def guest(folder: Path) -> Iterator["Guest"]:
    from guest_process import Guest
    with Guest(BUILD, folder) as running:
        yield running
