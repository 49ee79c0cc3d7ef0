# SPDX-License-Identifier: Apache-2.0
"""P5: a full report to bytes and back, checked, against stock protobuf-c in the same frames and against JSON."""
from __future__ import annotations

from tests.bench.peers import last_json
from tests.bench.result import Result, absolute, compare
from tests.bench.settings import Settings

NAME = "p5-codec"
PEERS = ()
MESSAGES = 20_000


def run(settings: Settings) -> list[Result]:
    seen = last_json([settings.bench_program("bench-codec"), str(max(settings.rounds, 2)), str(MESSAGES)], 300)
    ours = seen["ours"]
    settings.say(f"bytes: ours {ours['bytes']}, json {seen['json']['bytes']}")
    return [
        compare(NAME, "snprintf + jansson", ours["nsec"], seen["json"]["nsec"], 0.6, "ns/report"),
        compare(NAME, "protobuf-c with malloc, unchecked", ours["nsec"], seen["stock"]["nsec"], 1.0, "ns/report"),
        absolute(NAME, "none allowed", ours["allocations"], 0, "mallocs"),
    ]
