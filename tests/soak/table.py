# SPDX-License-Identifier: Apache-2.0
"""What was seen, as a table that a README can hold; one file per suite of trials, in the folder of the build."""
from __future__ import annotations

from pathlib import Path


class Table:
    def __init__(self, path: Path, heads: tuple[str, ...]) -> None:
        self._path = path
        self._rows = [heads, ("---",) * len(heads)]

    def add(self, *cells: object) -> None:
        """Written at once: what was seen before a crash is not lost."""
        self._rows.append(tuple(str(cell) for cell in cells))
        self._path.write_text("".join(f"| {' | '.join(row)} |\n" for row in self._rows), encoding="utf-8")
