# SPDX-License-Identifier: Apache-2.0
"""What the host says and the guest does not do is refused with a reason on the wire, and counted under it."""
from __future__ import annotations

import time
from typing import Any

import memtide_pb2 as pb
import pytest
from test_guest_ctl import ctl, status

MIB = 1 << 20
BLOCK = 128 * MIB
DIMM = {"address": 64 * BLOCK, "bytes": 2 * BLOCK}
SHRINK = {"step": 1, "bytes": 64 * MIB, "remaining_bytes": 64 * MIB}


def answers(guest, since: int) -> list[tuple[str, int, str]]:
    """(body, id, reason) of each answer."""
    found = []
    for _, message in guest.bridge.received[since:]:
        body = message.WhichOneof("body")
        if body in ("shrink_offer", "command_result"):
            answer = getattr(message, body)
            found.append((body, answer.id, pb.RefusalReason.Name(answer.reason)[len("REFUSAL_"):]))
    return found


def refusal(guest, body: str, *, late: bool = False, times: int = 1, **fields: Any) -> list[tuple[str, int, str]]:
    """Sends a command, and returns what was answered before a Ping that came after it."""
    mark, now = guest.bridge.mark(), guest.bridge.now_usec()
    guest.bridge.send_raw(guest.bridge.frame(body, **{"deadline_usec": now - 1000 if late else now + 5_000_000, **fields})
                          * times)
    guest.bridge.ping(1000 + mark)
    guest.bridge.wait("command_result", since=mark, accept=lambda r: r.id == 1000 + mark)
    return answers(guest, mark)[:-1]


OFFER, RESULT = "shrink_offer", "command_result"
ROWS: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "late ping": ("ping", {"late": True}, RESULT, "EXPIRED"),
    "late notice": ("grow_notice", {"late": True, "bytes": BLOCK}, RESULT, "EXPIRED"),
    "late range": ("offline_range", {"late": True, **DIMM}, RESULT, "EXPIRED"),
    "late shrink": ("shrink_request", {"late": True, **SHRINK}, OFFER, "EXPIRED"),
    "a notice of nothing": ("grow_notice", {"bytes": 0}, RESULT, "INVALID"),
    "a notice of 65 TiB": ("grow_notice", {"bytes": 65 << 40}, RESULT, "INVALID"),
    "a step above the whole": ("shrink_request", {**SHRINK, "remaining_bytes": 1}, OFFER, "INVALID"),
    "a shrink without a step": ("shrink_request", {**SHRINK, "step": 0}, RESULT, "INVALID"),
    "a shrink without an id": ("shrink_request", {**SHRINK, "id": 0}, RESULT, "INVALID"),
    "a crooked range": ("offline_range", {**DIMM, "address": 1}, RESULT, "INVALID"),
    "a range beyond all memory": ("online_range", {**DIMM, "address": 1 << 52}, RESULT, "INVALID"),
    "a cadence of 1 us": ("tuning", {"report_interval_usec": 1}, RESULT, "INVALID"),
    "a deadline in 2^62 us": ("ping", {"deadline_usec": 1 << 62}, RESULT, "INVALID"),
    "a range of boot memory": ("offline_range", {"address": 0, "bytes": BLOCK}, RESULT, "INVALID"),
    "a shrink of all": ("shrink_request", {"step": 1, "bytes": 1 << 40, "remaining_bytes": 1 << 40}, OFFER, "INVALID"),
    "a shrink below the floor": ("shrink_request", {"step": 1, "bytes": 900 * MIB, "remaining_bytes": 900 * MIB}, OFFER,
                                 "FLOOR"),
    "a range below the floor": ("offline_range", DIMM, RESULT, "FLOOR"),
}


def test_each_is_refused_by_name_and_counted(guest):
    guest.start(wait=False, online=True, available=300 * MIB)
    guest.bridge.open()
    time.sleep(0.8)  # the start counts as a resize
    counts: dict[str, int] = {}
    for number, (name, (body, fields, answer, reason)) in enumerate(ROWS.items(), 10):
        expected = fields.get("id", number)
        assert refusal(guest, body, **{"id": number, **fields}) == [(answer, expected, reason)], name
        counts[f"refused_{reason.lower()}"] = counts.get(f"refused_{reason.lower()}", 0) + 1

    found = status(guest)
    assert {name: found[name] for name in found if name.startswith("refused_") and found[name]} == counts
    text = ctl(guest, "status").stdout
    assert f"{counts['refused_invalid']} invalid" in text and f"{counts['refused_floor']} floor" in text, text


@pytest.mark.parametrize("minor", [0, 1])
def test_what_comes_again_is_refused_to_a_host_that_knows_the_word(guest, minor):
    guest.bridge.minor = minor
    guest.start(available=300 * MIB)
    refused = [(RESULT, 7, "REPEATED")] * 2 * minor
    assert refusal(guest, "ping", id=7, times=3) == [(RESULT, 7, "NONE"), *refused]
    assert refusal(guest, "shrink_request", id=7, times=3, **SHRINK | {"bytes": 1 << 40, "remaining_bytes": 1 << 40}) == [
        (OFFER, 7, "INVALID"), *refused]
    assert status(guest)["refused_repeated"] == 4 * minor
    guest.bridge.wait("report", accept=lambda r: r.frames_dropped == 4)


def test_what_no_session_covers_is_told_as_a_number(guest):
    guest.bridge.shakes_hands = False
    guest.start(wait=False)
    assert guest.bridge.wait("hello").frames_void == 0
    guest.bridge.session = 5  # a dead one
    for number in (1, 2):
        guest.bridge.ping(number)
    hello = guest.bridge.wait("hello", accept=lambda h: h.frames_void == 2)
    assert not answers(guest, 0)
    guest.bridge.welcome(hello)
    guest.bridge.ping(3, session=4711)
    guest.bridge.wait("report", accept=lambda r: (r.frames_void, r.frames_dropped) == (3, 3))
    assert not answers(guest, 0)
    assert status(guest)["frames_void"] == 3
    assert "3 of no session" in ctl(guest, "status").stdout
