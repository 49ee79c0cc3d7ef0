# SPDX-License-Identifier: Apache-2.0
"""Scripts of what a host does to an agent; fuzz-session.c has the operations."""

from __future__ import annotations

from collections.abc import Iterator

from corpus_wire import (GROW, MIB, OFFLINE, ONLINE, PING, PING_OK, RANGE_OK, REQUEST, REQUEST_OK, TUNING, WELCOME as WELCOMES,
                         fixed, message, nums, ping)

START, STOP, WAIT, TAKE, BYTES, PAYLOAD, COMMAND, WELCOME, USE = range(9)


def op(number: int, *numbers: int) -> bytes:
    return bytes([number, *(n & 255 for n in numbers)])


def span(data: bytes) -> bytes:
    assert len(data) < 256
    return bytes([len(data)]) + data


def wait(milliseconds: int) -> bytes:
    return op(WAIT, milliseconds, milliseconds >> 8)


def command(body: int, fields: dict[int, int], due: int = 100) -> bytes:
    """due: in 10 ms."""
    return op(COMMAND, due) + span(message(body, nums(fields)))


def request(step: int = 1, size: int = 64 * MIB, **kwargs: int) -> bytes:
    return command(REQUEST, {**REQUEST_OK, 2: step, 4: size, 5: max(size, 128 * MIB)}, **kwargs)


def payload(session: int = 7, sequence: int = 1) -> bytes:
    return op(PAYLOAD) + span(ping(nums({1: 10, 2: 10**10}), session=session, sequence=sequence))


OPEN = op(START) + op(TAKE, 9) + op(WELCOME, 6) + op(TAKE, 9)
GROW_OK = {1: 3, 2: 99_000_000, 3: 128 * MIB}
TUNING_OK = {1: 5, 2: 99_000_000, 3: 500_000, 4: 200_000}


def cases() -> Iterator[tuple[str, bytes]]:
    """(case, script)."""
    yield "handshake", OPEN
    yield "no-connection", op(WELCOME, 1) + command(PING, PING_OK) + op(TAKE, 9)
    yield "early-command", op(START) + command(PING, PING_OK) + op(TAKE, 9) + op(WELCOME, 0)
    yield "two-welcomes", OPEN + op(WELCOME, 6) + op(WELCOME, 7) + command(PING, PING_OK) + op(TAKE, 9)
    yield "every-command", OPEN + command(PING, PING_OK) + command(GROW, GROW_OK) + command(TUNING, TUNING_OK) + \
        command(OFFLINE, RANGE_OK) + command(ONLINE, RANGE_OK) + request() + op(TAKE, 99)
    yield "late-commands", OPEN + command(PING, PING_OK, due=0) + request(due=-3) + command(GROW, GROW_OK, due=-128) + \
        command(PING, PING_OK) + op(TAKE, 99)
    yield "asks-anew", OPEN + op(PAYLOAD) + span(ping(session=0, inner=nums({1: 1}))) + op(TAKE, 9) + wait(1500) + \
        op(TAKE, 9) + op(WELCOME, 9) + op(TAKE, 9)
    yield "flapping", (op(START) + op(TAKE, 9) + op(STOP)) * 8 + wait(100) + OPEN
    yield "growth", OPEN + command(GROW, GROW_OK) + wait(20) + wait(2000) + op(TAKE, 9)
    yield "shrink-vetoed", wait(1000) + OPEN + request() + op(TAKE, 9) + wait(20) + op(USE, 100) + op(TAKE, 9) + request(2)
    yield "shrink-lapses", wait(1000) + OPEN + request() + wait(5000) + wait(2000) + request(2) + op(TAKE, 9)
    yield "shrink-of-everything", wait(1000) + OPEN + request(size=1 << 40) + request(2, 1 << 29) + request(3, 1) + op(TAKE, 9)
    yield "shrink-asked-again", wait(1000) + OPEN + (request() + wait(20)) * 5 + op(STOP) + OPEN + request()
    yield "flood", OPEN + command(PING, PING_OK) * 150 + op(TAKE, 200) + wait(1000) + command(PING, PING_OK) + op(TAKE, 9)
    yield "replays", OPEN + b"".join(payload(sequence=n) for n in (1, 1, 3, 2, 2**63, 2**64 - 1, 1)) + op(TAKE, 9)
    yield "out-of-range", OPEN + b"".join(op(PAYLOAD) + span(message(body, nums(fields), session=7)) for body, fields in (
        (GROW, {**GROW_OK, 3: 0}), (REQUEST, {**REQUEST_OK, 2: 0}), (REQUEST, {**REQUEST_OK, 1: 0}),
        (OFFLINE, {**RANGE_OK, 3: 1}), (TUNING, {**TUNING_OK, 3: 1}), (WELCOMES, {1: 0}))) + op(TAKE, 9)
    yield "foreign-session", OPEN + payload(session=8) + payload(session=1) + payload() + op(TAKE, 9)
    yield "another-nonce", op(START) + op(TAKE, 9) + op(PAYLOAD) + span(
        message(WELCOMES, nums({1: 7, 5: 1_000_000}) + fixed(3, 12345), session=0)) + op(TAKE, 9)
    yield "next-session", OPEN + command(PING, PING_OK) * 3 + op(WELCOME, 9) + command(PING, PING_OK) + op(TAKE, 9)
    yield "report-overtaken", OPEN + wait(1000) + wait(100) + command(PING, PING_OK) + op(TAKE, 9)
    yield "garbage", OPEN + op(BYTES) + span(bytes(range(1, 200)) + b"\0") + op(BYTES) + span(b"\0" * 9) + command(PING, PING_OK)
    yield "full-outbox", wait(1000) + OPEN + command(OFFLINE, RANGE_OK) * 60 + op(TAKE, 99)
