# SPDX-License-Identifier: Apache-2.0
"""The demo's options. demo.sh prints the help text (Python may not be installed yet when it is asked for)."""
from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

SHORTEST_S = 60


@dataclass(frozen=True)
class Options:
    build: Path
    accel: str
    kernel: str
    seconds: int
    contrast: bool
    keep: bool
    json: Path | None
    plot: Path | None


def parse_options(arguments: list[str]) -> Options:
    parser = argparse.ArgumentParser(prog="demo.sh", usage="./demo.sh [OPTION...]   (--help lists them)")
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--accel", choices=("auto", "kvm", "tcg"), default="auto")
    parser.add_argument("--kernel", default="cloud")
    parser.add_argument("--seconds", type=_seconds, default=180)
    parser.add_argument("--contrast", action=argparse.BooleanOptionalAction,
                        default=os.environ.get("CI") not in ("1", "true"))
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=_picture)
    parser.add_argument("--check", action="store_true")  # demo.sh: are the options right? Nothing else
    values = vars(parser.parse_args(arguments))
    if values.pop("check"):
        sys.exit(0)
    return Options(**values)


def _seconds(text: str) -> int:
    if not text.isdigit() or not SHORTEST_S <= int(text) <= 3600:
        raise argparse.ArgumentTypeError(f"'{text}': want {SHORTEST_S} to 3600")
    return int(text)


def _picture(text: str) -> Path:
    if Path(text).suffix not in (".png", ".svg"):
        raise argparse.ArgumentTypeError(f"'{text}': want a name that ends in .png or .svg")
    return Path(text)
