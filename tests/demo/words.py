# SPDX-License-Identifier: Apache-2.0
"""How the demo writes sizes, times and marks."""
from __future__ import annotations

import sys

MIB = 1 << 20


def mib(size: int) -> str:
    """404M; whole MiB are exact enough for eyes."""
    return f"{round(size / MIB)}M"


def milliseconds(value: float | None) -> str:
    if value is None:
        return "-"
    if 0 < value < 1:
        return f"{value * 1000:.0f} us"
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"


def mark(good: bool) -> str:
    """A tick or a cross, or words where the terminal has neither."""
    if "utf" in (sys.stdout.encoding or "").lower():
        return "✔" if good else "✘"
    return "ok" if good else "FAILED"


def plain(text: str) -> str:
    """The text as this terminal can show it."""
    encoding = sys.stdout.encoding or "ascii"
    return text.encode(encoding, errors="replace").decode(encoding)
