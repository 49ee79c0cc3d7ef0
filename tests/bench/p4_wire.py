# SPDX-License-Identifier: Apache-2.0
"""P4: bytes of a report on the agent's port against QEMU's guest-stats on its monitor, of the same guest at one time."""
from __future__ import annotations

import json
import time
from typing import Any

from tests.bench.peers import last_json
from tests.bench.result import Result, absolute, compare
from tests.bench.settings import CannotMeasure, Settings
from tests.bench.stage import new_guest
from tests.guest.guest import MIB, Guest
from tests.guest.host import Host

NAME = "p4-wire"
PEERS = ()
BALLOON = "/machine/peripheral/balloon0"
REPORTS = 10
LOAD_BYTES = 500 * MIB


def run(settings: Settings) -> list[Result]:
    with new_guest(settings, zram="256M") as guest:
        guest.qmp.command("qom-set", path=BALLOON, property="guest-stats-polling-interval", value=1)
        settings.program("tests/unit/proto/memtide_pb2.py")
        with Host(guest.paths.channel, settings.build) as host:
            guest.check("start_agent")
            calm = _reports(host)
            guest.start_load(LOAD_BYTES, 200)
            loaded = _reports(host)
        stats, n_stats = _guest_stats(guest)
    fullest = _fullest_bytes(settings)

    def beside_stats(words: str, sizes: list[int]) -> Result:
        return compare(NAME, f"guest-stats ({n_stats} counters), {words}", sizes, [stats] * len(sizes), 0.35, "bytes")

    n_fields = len(calm[0][1].DESCRIPTOR.fields)
    settings.say(f"fields that are not zero: {len(calm[-1][1].ListFields())} when calm, "
                 f"{len(loaded[-1][1].ListFields())} under load, of {n_fields}")
    return [
        beside_stats("calm guest", [size for size, _ in calm]),
        beside_stats("loaded guest", [size for size, _ in loaded]),
        beside_stats("no field zero", [fullest]),
        compare(NAME, "the same per field, no field zero", [fullest / n_fields], [stats / n_stats], None, "bytes"),
        absolute(NAME, f"half of {n_fields} fields", n_stats, n_fields // 2, "counters"),
    ]


def _reports(host: Host, timeout: float = 20) -> list[tuple[int, Any]]:
    """(bytes on the wire, report) of the next ones."""
    since = time.monotonic()
    while len(found := host.of("report", since)) < REPORTS:
        if time.monotonic() > since + timeout:
            raise CannotMeasure(f"the agent sent {len(found)} reports in {timeout:.0f} s")
        time.sleep(0.05)
    return [(frame.n_bytes, frame.message) for frame in found]


def _fullest_bytes(settings: Settings) -> int:
    """A report of a 2 GiB guest in which every field has a value."""
    return int(last_json([settings.bench_program("bench-codec"), "1", "1"], 10)["ours"]["bytes"])


def _guest_stats(guest: Guest) -> tuple[int, int]:
    """(bytes of QEMU's answer, counters that it has a value for), once the driver has answered."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        answer = guest.qmp.command("qom-get", path=BALLOON, property="guest-stats")
        counters = [value for value in answer["stats"].values() if 0 <= value < 1 << 63]
        if answer.get("last-update") and counters:
            # As QEMU writes it: ", " and ": " between, and a line's end.
            return len(json.dumps({"return": answer})) + 2, len(counters)
        time.sleep(0.2)
    raise CannotMeasure("the balloon driver did not answer")
