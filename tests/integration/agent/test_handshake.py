# SPDX-License-Identifier: Apache-2.0
"""The session: who speaks first, what counts, and what is void."""
from __future__ import annotations

import time

import memtide_pb2 as pb
import pytest
from machine_tree import MachineTree


def test_opens_with_a_lone_zero_and_hello(guest):
    guest.start()
    assert guest.bridge.bytes_seen[:1] == b"\0"
    hello = guest.bridge.wait("hello")
    assert (hello.major, hello.minor) == (0, 1)
    assert hello.boot_id.hex() == "0123456789abcdef0123456789abcdef"
    assert hello.memory_total_bytes == guest.machine.total
    assert hello.block_size_bytes == 128 << 20
    assert hello.kernel_release.startswith("6.1")
    assert hello.capabilities & pb.CAPABILITY_RECLAIM
    assert hello.capabilities & pb.CAPABILITY_BLOCKS
    assert not hello.capabilities & pb.CAPABILITY_KERNEL_ONLINES


def test_says_when_the_kernel_onlines(guest):
    guest.machine = MachineTree(guest.folder)
    auto_online = guest.machine.path / "sys/devices/system/memory/auto_online_blocks"
    with guest.config.open("a", encoding="ascii") as config:
        config.write("[Blocks]\nZone=movable\n")
    guest.start()
    assert guest.bridge.wait("hello").capabilities & pb.CAPABILITY_KERNEL_ONLINES
    assert auto_online.read_text(encoding="ascii").startswith("online_movable")
    assert guest.stop() == 0
    assert auto_online.read_text(encoding="ascii").startswith("online")


def test_leaves_memory_to_the_kernel_when_it_was_killed(guest):
    """As the unit does: the fixture's kernel knows no ratio, so the agent writes, and tells the kernel not to."""
    guest.machine = MachineTree(guest.folder)
    auto_online = guest.machine.path / "sys/devices/system/memory/auto_online_blocks"
    guest.start()
    assert auto_online.read_text(encoding="ascii") == "offline\n"
    guest.kill()
    assert auto_online.read_text(encoding="ascii") == "offline\n"
    assert guest.run("--root", str(guest.machine.path), "release").returncode == 0
    assert auto_online.read_text(encoding="ascii").startswith("online")


def test_repeats_the_same_hello_every_second_until_welcome(guest):
    guest.bridge.shakes_hands = False
    guest.start(wait=False)
    guest.bridge.wait("hello")
    time.sleep(2.5)
    hellos = guest.bridge.all("hello")
    assert 3 <= len(hellos) <= 4
    assert len({h.handshake_nonce for h in hellos}) == 1
    assert not guest.bridge.all("report")


def test_a_welcome_to_another_hello_opens_nothing(guest):
    guest.bridge.shakes_hands = False
    guest.start(wait=False)
    hello = guest.bridge.wait("hello")
    guest.bridge.welcome(hello, handshake_nonce=hello.handshake_nonce ^ 1)
    time.sleep(0.5)
    assert not guest.bridge.all("report")
    guest.bridge.welcome(hello)
    assert guest.bridge.wait("report").frames_dropped == 1


def test_stale_bytes_before_the_handshake_are_void(guest):
    """QEMU hands a fresh port what was written before it was opened: half a frame and a command of a dead session."""
    late = guest.bridge.now_usec() + 60_000_000
    stale = guest.bridge.frame("shrink_request", session=1, sequence=9, id=7, step=1, deadline_usec=late,
                               bytes=64 << 20, remaining_bytes=64 << 20)
    guest.bridge.greeting = stale[11:] + stale + guest.bridge.frame("ping", session=1, sequence=10, id=8,
                                                                     deadline_usec=late)
    guest.start()
    time.sleep(0.5)
    assert not guest.bridge.all("shrink_offer") and not guest.bridge.all("command_result")
    assert guest.bridge.wait("report").frames_dropped == 3


def test_sequence_rises_and_replays_are_counted(guest):
    guest.start()
    frame = guest.bridge.frame("ping", id=1, deadline_usec=guest.bridge.now_usec() + 5_000_000)
    guest.bridge.send_raw(frame * 3)
    guest.bridge.ping(2)
    guest.bridge.wait("command_result", accept=lambda r: r.id == 2)
    assert [r.id for r in guest.bridge.all("command_result") if r.outcome == pb.COMMAND_DONE] == [1, 2]
    guest.bridge.wait("report", accept=lambda r: r.frames_dropped == 2)

    sequences = [m.sequence for _, m in guest.bridge.received if m.session == guest.bridge.session]
    stamps = [m.monotonic_usec for _, m in guest.bridge.received]
    assert sequences == list(range(1, len(sequences) + 1))
    assert stamps == sorted(stamps)


def test_garbage_is_counted_and_the_session_goes_on(guest):
    guest.start()
    good = guest.bridge.frame("ping", id=1, deadline_usec=guest.bridge.now_usec() + 5_000_000)
    guest.bridge.send_raw(bytes(range(1, 256)) * 40 + b"\0" + b"\0" * 50 + b"\x05abc\0" + good)
    assert guest.bridge.wait("command_result").outcome == pb.COMMAND_DONE
    guest.bridge.wait("report", accept=lambda r: r.frames_dropped == 2)


def test_one_byte_at_a_time(guest):
    guest.start()
    for byte in guest.bridge.frame("ping", id=1, deadline_usec=guest.bridge.now_usec() + 9_000_000):
        guest.bridge.send_raw(bytes([byte]))
        time.sleep(0.005)
    assert guest.bridge.wait("command_result").id == 1


def test_foreign_session_and_wrong_sender_are_counted(guest):
    guest.start()
    guest.bridge.ping(1, session=guest.bridge.session + 100)
    guest.bridge.send("command_result", id=1)
    guest.bridge.ping(3)
    assert guest.bridge.wait("command_result").id == 3
    guest.bridge.wait("report", accept=lambda r: r.frames_dropped == 2)


@pytest.mark.parametrize("body, fields", [("ping", {}), ("tuning", {}), ("grow_notice", {"bytes": 1 << 27}),
                                          ("offline_range", {"address": 1 << 32, "bytes": 1 << 27})])
def test_expired_commands_are_refused(guest, body, fields):
    guest.start()
    guest.bridge.send(body, id=5, deadline_usec=guest.bridge.now_usec() - 1000, **fields)
    result = guest.bridge.wait("command_result")
    assert (result.id, result.outcome, result.reason) == (5, pb.COMMAND_REFUSED, pb.REFUSAL_EXPIRED)


def test_expired_shrink_is_refused_by_an_offer(guest):
    guest.start()
    guest.bridge.send("shrink_request", id=5, step=2, deadline_usec=guest.bridge.now_usec() - 1000, bytes=1 << 20,
                      remaining_bytes=1 << 20)
    offer = guest.bridge.wait("shrink_offer")
    assert (offer.id, offer.step, offer.offered_bytes, offer.reason) == (5, 2, 0, pb.REFUSAL_EXPIRED)


def test_ping_of_session_0_asks_for_a_new_hello(guest):
    guest.start()
    first = guest.bridge.wait("hello")
    mark = guest.bridge.mark()
    guest.bridge.send("ping", session=0, sequence=1, id=1, deadline_usec=0)
    guest.bridge.send("ping", session=0, sequence=2, id=2, deadline_usec=0)
    second = guest.bridge.wait("hello", since=mark)
    assert second.start_nonce == first.start_nonce and second.handshake_nonce != first.handshake_nonce
    guest.bridge.wait("report", since=mark)
    assert len(guest.bridge.all("hello", since=mark)) == 1


def test_a_new_connection_is_a_new_session(guest):
    guest.start()
    first = guest.bridge.wait("hello")
    mark = guest.bridge.mark()
    guest.bridge.disconnect()
    second = guest.bridge.wait("hello", since=mark)
    assert second.handshake_nonce != first.handshake_nonce
    guest.bridge.wait("report", since=mark)


def test_a_flood_of_commands_is_bounded(guest):
    guest.start()
    deadline = guest.bridge.now_usec() + 9_000_000
    guest.bridge.send_raw(b"".join(guest.bridge.frame("ping", id=n, deadline_usec=deadline) for n in range(1, 1001)))
    guest.bridge.wait("report", accept=lambda r: r.frames_dropped > 500)
    time.sleep(1)
    mark = guest.bridge.mark()
    guest.bridge.ping(5000)
    guest.bridge.wait("command_result", since=mark, accept=lambda r: r.id == 5000)


def test_a_host_can_not_fill_the_log(guest):
    guest.start()
    hello = guest.bridge.wait("hello")
    for _ in range(30):
        guest.bridge.welcome(hello)
        guest.bridge.send("shrink_request", id=1, step=1, bytes=1 << 45, remaining_bytes=1 << 45,
                          deadline_usec=guest.bridge.now_usec() + 1_000_000)
        time.sleep(0.015)
    guest.bridge.wait("shrink_offer")
    lines = guest.log_text().splitlines()
    assert 2 <= sum("ession" in line for line in lines) <= 12
    assert 1 <= sum("refused" in line for line in lines) <= 12
