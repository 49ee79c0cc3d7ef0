# SPDX-License-Identifier: Apache-2.0
"""A DIMM that the host names goes offline, or is refused and stays; the recorded guest has one in blocks 64 and 65."""
from __future__ import annotations

import time

import memtide_pb2 as pb
import pytest

MIB = 1 << 20
BLOCK = 128 * MIB
DIMM = {"address": 64 * BLOCK, "bytes": 2 * BLOCK}


def state(guest, number: int) -> str:
    return (guest.machine.path / f"sys/devices/system/memory/memory{number}/state").read_text().strip()


def start(guest, **machine) -> None:
    """All blocks are online already, the DIMM in Movable."""
    guest.start(wait=False, online=True, **machine)
    guest.bridge.open()
    time.sleep(0.8)  # the start counts as a resize


def ask(guest, body: str, *, number=9, seconds=3.0, **place):
    mark = guest.bridge.mark()
    guest.bridge.send(body, id=number, deadline_usec=guest.bridge.now_usec() + int(seconds * 1e6), **(place or DIMM))
    return guest.bridge.wait("command_result", since=mark, accept=lambda r: r.id == number)


def test_a_dimm_goes_offline_and_comes_back(guest):
    start(guest)
    done = ask(guest, "offline_range")
    assert (done.outcome, done.bytes, done.error) == (pb.COMMAND_DONE, 2 * BLOCK, 0)
    assert [state(guest, n) for n in (64, 65)] == ["offline", "offline"]
    told = [(e.block, e.action, e.kind) for e in guest.bridge.all("block_event")]
    assert told == [(n, pb.BLOCK_OFFLINED, pb.BLOCK_KIND_DIMM) for n in (64, 65)]

    # The next agent of this boot leaves them offline too, until the host wants them back where they were.
    mark = guest.bridge.mark()
    guest.stop()
    guest.start(wait=False)
    guest.bridge.wait("hello", since=mark)  # what the one before has said last may still come
    guest.bridge.wait("report", since=guest.bridge.mark())
    time.sleep(0.3)
    assert [state(guest, n) for n in (64, 65)] == ["offline", "offline"]
    back = ask(guest, "online_range", number=10)
    assert (back.outcome, back.bytes) == (pb.COMMAND_DONE, 2 * BLOCK)
    assert [state(guest, n)[:14] for n in (64, 65)] == ["online_movable", "online_movable"]


def test_the_bytes_of_a_shrink_by_range_are_confirmed(guest):
    start(guest, free=600 * MIB)
    guest.bridge.send("shrink_request", id=9, step=1, bytes=2 * BLOCK, remaining_bytes=2 * BLOCK, last=True,
                      deadline_usec=guest.bridge.now_usec() + 3_000_000)
    assert guest.bridge.wait("shrink_offer").offered_bytes == 2 * BLOCK
    assert ask(guest, "offline_range").outcome == pb.COMMAND_DONE
    guest.machine.plug(-2 * BLOCK)
    confirm = guest.bridge.wait("resize_confirm", accept=lambda c: c.delta_bytes == -2 * BLOCK)
    assert (confirm.id, confirm.step) == (9, 1)


def test_a_dimm_that_does_not_go_ends_its_step_at_once(guest):
    start(guest, free=600 * MIB)
    guest.bridge.send("shrink_request", id=9, step=1, bytes=2 * BLOCK, remaining_bytes=2 * BLOCK, last=True,
                      deadline_usec=guest.bridge.now_usec() + 3_000_000)
    assert guest.bridge.wait("shrink_offer").offered_bytes == 2 * BLOCK
    stuck = guest.machine.path / "sys/devices/system/memory/memory64/state"
    stuck.unlink()
    stuck.symlink_to("/dev/full")  # takes no word
    assert ask(guest, "offline_range").outcome == pb.COMMAND_FAILED
    assert state(guest, 65)[:6] == "online"
    mark = guest.bridge.mark()
    guest.bridge.wait("report", since=mark, seconds=1, accept=lambda r: r.interval_usec == guest.bridge.interval_usec)


@pytest.mark.parametrize("machine, place, reason", [
    ({"available": 300 * MIB}, DIMM, pb.REFUSAL_FLOOR),
    ({"total": 400 * MIB, "available": 300 * MIB}, DIMM, pb.REFUSAL_FLOOR),
    ({}, {"address": 0, "bytes": BLOCK}, pb.REFUSAL_INVALID),              # boot memory
    ({}, {"address": 512 * BLOCK, "bytes": BLOCK}, pb.REFUSAL_INVALID),    # nothing is there
    ({}, {"address": 64 * BLOCK, "bytes": 3000 * BLOCK}, pb.REFUSAL_INVALID),
    ({}, {"address": 64 * BLOCK + (16 * MIB), "bytes": BLOCK}, pb.REFUSAL_INVALID),
], ids=["margin", "floor", "boot memory", "nothing", "too long", "not whole"])
def test_refused_and_left_alone(guest, machine, place, reason):
    start(guest, **machine)
    result = ask(guest, "offline_range", **place)
    assert (result.outcome, result.reason, result.bytes) == (pb.COMMAND_REFUSED, reason, 0)
    assert [state(guest, n) for n in (0, 64, 65)] == ["online", "online", "online"]


def test_refused_in_the_middle_of_another_shrink(guest):
    start(guest, free=600 * MIB)
    guest.bridge.send("shrink_request", id=9, step=1, bytes=64 * MIB, remaining_bytes=64 * MIB, last=True,
                      deadline_usec=guest.bridge.now_usec() + 3_000_000)
    guest.bridge.wait("shrink_offer")
    result = ask(guest, "offline_range", number=10)
    assert (result.outcome, result.reason) == (pb.COMMAND_REFUSED, pb.REFUSAL_UNSETTLED)


def test_without_memory_hotplug(guest):
    start(guest, hotplug=False)
    result = ask(guest, "offline_range")
    assert (result.outcome, result.reason) == (pb.COMMAND_REFUSED, pb.REFUSAL_UNSUPPORTED)
