# SPDX-License-Identifier: Apache-2.0
"""The end of the demo: the lanes side by side, the claims, and the same as JSON."""
from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from tests.demo.claims import Claim
from tests.demo.figures import Figures
from tests.demo.words import mark, mib, milliseconds, plain

ROWS: tuple[tuple[str, Callable[[Figures], str]], ...] = (
    ("booted with", lambda f: mib(f.boot_bytes)),
    ("largest size (QEMU)", lambda f: mib(f.peak_bytes)),
    ("gained, by the guest's word", lambda f: mib(f.gained_bytes_confirmed_by_guest)),
    ("OOM kills", lambda f: str(f.oom_kills)),
    ("stalled for memory", lambda f: milliseconds(f.stall_ms)),
    ("alarm -> request (median)", lambda f: milliseconds(f.alarm_to_request_ms)),
    ("request -> online (median)", lambda f: milliseconds(f.request_to_online_ms)),
    ("size given back (QEMU)", lambda f: mib(f.returned_bytes)),
    ("resident memory given back", lambda f: mib(f.host_rss_returned_bytes)),
)

CRUDE_LOOP = """\
To compare: a crude loop (meminfo every 50 ms, "grow 256 MiB when under 2 s to exhaustion") on such a guest
under TCG: 0 OOM kills, 0 us of stall, 0.7 ms for QMP, 65 to 80 ms from request to online; without an agent
OOM-killed at 378 MiB. Its shrink never came to rest: it took its own unplug for pressure and grew again."""


def print_summary(columns: dict[str, Figures], titles: dict[str, str], claims: list[Claim], latency: str) -> None:
    print("\n" + f"{'':28}" + "".join(f"{titles[key]:>18}" for key in columns))
    for title, cell in ROWS:
        print(f"{title:<28}" + "".join(f"{cell(figures):>18}" for figures in columns.values()))
    print()
    for claim in claims:
        print(plain(f"{mark(claim.holds)} {claim.text}"))
    served = columns["memtide"]
    print(f"\n{CRUDE_LOOP}\nHere: {served.oom_kills} OOM kills, {served.stall_ms * 1000:.0f} us of stall, {latency}.")


def write_json(path: Path, ok: bool, accel: str, kernel: str, columns: dict[str, Figures]) -> None:
    """Keys are an interface: CI and the README's figures read them."""
    figures = {key: asdict(value) for key, value in columns.items()}
    document = {"ok": ok, "accel": accel, "kernel": kernel, **figures.pop("memtide"), "contrast": figures}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
