# SPDX-License-Identifier: Apache-2.0
"""P7: from the first block's "add" to the last block's "online" of a hot-plugged DIMM: the agent against the kernel's
own onlining and against udevd with the rule that distributions have. Ours once as the agent chooses, which is to have the
kernel online, and once with every block written. One guest, all to Movable, unplugged each time."""
from __future__ import annotations

import time
from dataclasses import dataclass

from tests.bench.result import Result, absolute, compare
from tests.bench.settings import CannotMeasure, Settings, interleave
from tests.bench.stage import new_guest, onlined_by
from tests.guest.guest import MIB, Guest
from tests.guest.qmp import QmpError

NAME = "p7-online"
PEERS = ("udev",)
BLOCK = 128 * MIB
COUNTS = (32, 128)
WATCH_S = 20


@dataclass(frozen=True)
class Wave:
    ms: float
    lost: int  # blocks that were added and did not come online


def run(settings: Settings) -> list[Result]:
    results = []
    # A DIMM's memmap is 1.6 % of it and must fit into what the guest has.
    with new_guest(settings, with_udev=True, memory_mib=1536, virtio_mem_bytes=0, dimm_slots=24) as guest:
        for count in COUNTS:
            seen = interleave({way: lambda way=way, count=count: _wave(guest, way, count)  # type: ignore[misc]
                               for way in ("agent", "written", "kernel", "udev")}, settings.rounds)
            for ours, note in (("agent", ""), ("written", ", written")):
                for way, bar, words in (("kernel", 1.15, "kernel auto-online"), ("udev", 0.9, "udev ATTR rule")):
                    results.append(compare(NAME, f"{words}, {count} blocks{note}", [wave.ms for wave in seen[ours]],
                                           [wave.ms for wave in seen[way]], bar, "ms"))
                results.append(absolute(NAME, f"none lost, {count} blocks{note}",
                                        sum(wave.lost for wave in seen[ours]), 0, "blocks"))
    return results


def _wave(guest: Guest, way: str, count: int) -> Wave:
    with onlined_by(guest, way):
        guest.check(f"blockwatch {count} {WATCH_S} </dev/null >/tmp/watch 2>&1 3>&- & echo $! >/run/watch.pid")
        time.sleep(0.2)
        guest.qmp.command("object-add", qom_type="memory-backend-ram", id="dimm-backend", size=count * BLOCK,
                          reserve=False)
        guest.qmp.command("device_add", driver="pc-dimm", id="dimm0", memdev="dimm-backend")
        guest.run("wait $(cat /run/watch.pid)", timeout=WATCH_S + 10)
        words = guest.check("cat /tmp/watch").split()
    _unplug(guest)
    if len(words) != 4 or int(words[2]) < count:
        raise CannotMeasure(f"{way}: only {words} of {count} blocks were seen")
    first, last, _, online = (int(word) for word in words)
    return Wave(max(last - first, 1) / 1000, count - online)


def _unplug(guest: Guest) -> None:
    """The kernel offlines by itself what is ejected; what is busy for a moment is asked for again."""
    deadline = time.monotonic() + 60
    while guest.dimm_bytes() > 0:
        if time.monotonic() > deadline:
            raise CannotMeasure("the DIMM could not be unplugged between rounds")
        try:
            guest.qmp.command("device_del", id="dimm0")
        except QmpError:
            pass  # still under way
        patience = time.monotonic() + 5
        while guest.dimm_bytes() > 0 and time.monotonic() < patience:
            time.sleep(0.05)
    guest.qmp.command("object-del", id="dimm-backend")
