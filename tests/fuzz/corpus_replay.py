# SPDX-License-Identifier: Apache-2.0
"""Recordings of an agent: short sessions, and what is none."""

from __future__ import annotations

from collections.abc import Iterator

MIB = 1 << 20
MOST = (1 << 64) - 1
COLUMNS = ("n_dropped", "what", "config.actuator_delay_usec", "now_usec", "has", "total_bytes", "available_bytes", "free_bytes",
           "inactive_file_bytes", "psi_some_usec", "page_size_bytes", "shrink_config.margin_bytes", "shrink_config.hold_usec",
           "can_reclaim", "ask.id", "ask.step", "ask.bytes", "ask.deadline_usec", "ask.last")
HEADER = ",".join(COLUMNS) + "\n"


def row(what: str, **values: object) -> str:
    named = {"n_dropped": 0, "what": what} | {name.replace("__", "."): value for name, value in values.items()}
    return ",".join(str(named.get(column, "")) for column in COLUMNS) + "\n"


def sample(ms: int, total: int, available: int, free: int) -> str:
    return row("sample", config__actuator_delay_usec=150000, now_usec=ms * 1000, has=31, total_bytes=total * MIB,
               available_bytes=available * MIB, free_bytes=free * MIB, inactive_file_bytes=(available - free) * MIB,
               page_size_bytes=4096)


def session() -> str:
    """Asked for 64 MiB, reclaims, offers, gives; asked again, and stops."""
    text = HEADER + row("configure", shrink_config__margin_bytes=128 * MIB, shrink_config__hold_usec=120_000_000, can_reclaim=1)
    text += "".join(sample(ms, 1024, 700, 50) for ms in range(1000, 3000, 100))
    text += row("ask", ask__id=7, ask__step=1, ask__bytes=64 * MIB, ask__deadline_usec=9_000_000, ask__last=0)
    text += sample(3000, 1024, 700, 400) + row("cut", ask__id=7, ask__step=1) + row("freed", ask__id=7, ask__step=1)
    text += "".join(sample(ms, 1024, 700, 400) for ms in range(3020, 4200, 20)) + row("learn")
    text += sample(4200, 992, 668, 368) + sample(4220, 960, 636, 336)
    text += row("ask", ask__id=7, ask__step=2, ask__bytes=64 * MIB, ask__deadline_usec=9_000_000, ask__last=1)
    text += sample(4240, 950, 400, 100) + row("reset")
    return text + row("range", ask__id=9, ask__bytes=128 * MIB) + row("range-failed", ask__id=9) + row("grow-notice", ask__id=3)


def cases() -> Iterator[tuple[str, bytes]]:
    whole = session()
    falls = HEADER + "".join(sample(ms, 1024, max(0, 900 - ms // 2), max(0, 800 - ms // 2)) for ms in range(20, 2400, 50))
    for name, text in {
            "session": whole, "falls": falls, "no-newline": whole[:-1], "cut": whole[: len(whole) // 2],
            "without-samples": HEADER + row("ask", ask__id=1, ask__step=1, ask__bytes=MIB, ask__deadline_usec=5),
            "learn-first": HEADER + row("learn") + row("freed") + row("range", ask__id=1, ask__bytes=1) + sample(1, 2, 1, 1),
            "backwards": HEADER + sample(500, 1024, 700, 50) + sample(100, 1024, 600, 40) + sample(0, 0, 0, 0),
            "largest": HEADER + row("configure", shrink_config__margin_bytes=MOST, shrink_config__hold_usec=MOST, can_reclaim=1)
            + row("sample", now_usec=MOST, has=31, total_bytes=MOST, available_bytes=MOST, free_bytes=MOST, page_size_bytes=MOST)
            + row("ask", ask__id=MOST, ask__step=(1 << 32) - 1, ask__bytes=MOST, ask__deadline_usec=MOST, ask__last=1),
            "beyond": HEADER + row("sample", now_usec=MOST + 1), "negative": HEADER + row("sample", now_usec=-1),
            "dropped": HEADER + row("sample", n_dropped=3), "no-such-row": HEADER + row("party"), "few-values": HEADER + "0,sample\n",
            "many-values": HEADER + sample(1, 1, 1, 1).replace("\n", ",0\n"), "twice-a-column": "n_dropped,now_usec,now_usec\n0,1,2\n",
            "other-columns": "a,n_dropped,now_usec,b\nx,0,5,y\n", "old-agent": "n_dropped,now_usec,demand.urgency\n0,5,0\n",
            "decided-otherwise": "n_dropped,now_usec,demand.urgency\n0,5,high\n", "number-of-a-word": "n_dropped,what,now_usec\n0,0,5\n",
            "thousand-columns": "n_dropped,now_usec" + ",x" * 1000 + "\n", "header": HEADER, "newline": "\n", "nul": HEADER + "0,sam\0ple\n",
            "control": "n_dropped,now_usec\n0,\x1b[2J\n"}.items():
        yield name, text.encode()
