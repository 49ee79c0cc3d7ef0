# SPDX-License-Identifier: Apache-2.0
"""Streams of frames, whole and broken. Built from bytes, with a framing of its own."""

from __future__ import annotations

from collections.abc import Iterator


def crc32c(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return (crc ^ 0xFFFFFFFF).to_bytes(4, "little")


def cobs(plain: bytes) -> bytes:
    """Every zero-free run ends in a zero that is not sent; runs of 254 and more are cut, and end in none."""
    out, run = bytearray(), bytearray()
    for byte in plain + b"\0":
        if byte:
            run.append(byte)
        if byte == 0 or len(run) == 254:
            out += bytes([len(run) + 1]) + run
            run.clear()
    if out.endswith(b"\1") and len(plain) >= 254 and 0 not in plain[-254:] and out[-256:-255] == b"\xff":
        out.pop()  # a full run at the very end needs no empty one behind it
    return bytes(out)


def frame(payload: bytes) -> bytes:
    return cobs(payload + crc32c(payload)) + b"\0"


DIGITS = frame(b"123456789")


def cases() -> Iterator[tuple[str, bytes]]:
    """(FRAMES-GARBLED-OVERLONG.CASE, stream)."""
    yield "0-0-0.nothing", b""
    yield "0-0-0.zero", b"\0"
    yield "0-0-0.zeros", bytes(1000)
    yield "1-0-0.empty-payload", frame(b"")
    yield "1-0-0.digits", DIGITS
    yield "1-0-0.opened-by-zero", b"\0" + DIGITS
    yield "2-0-0.glued", DIGITS + DIGITS
    yield "2-0-0.zeros-between", DIGITS + bytes(7) + DIGITS
    yield "1-0-0.second-cut", DIGITS + DIGITS[:-4]
    for cut in range(1, len(DIGITS) - 1):
        yield f"1-1-0.cut-at-{cut:02}-then-frame", DIGITS[:cut] + b"\0" + DIGITS
    yield "1-1-0.garbage-then-frame", b"what is this?\0" + DIGITS
    yield "1-1-0.garbage-joined-then-frame", b"garbage" + DIGITS + DIGITS
    yield "0-2-0.frame-in-a-frame", b"\x0e1234" + DIGITS + b"56789\x83\x92\x06\xe3\0"
    yield "0-1-0.shorter-than-crc", b"\4abc\0"
    yield "0-1-0.only-a-block", b"\1\0"
    yield "0-1-0.code-beyond-end", b"\xffabcdef\0"
    yield "0-1-0.code-one-beyond-end", b"\x0f" + DIGITS[1:]
    yield "0-1-0.code-one-too-small", b"\x0d" + DIGITS[1:]
    yield "0-1-0.crc-wrong", DIGITS[:-2] + bytes([DIGITS[-2] ^ 1, 0])
    yield "0-1-0.crc-big-endian", cobs(b"123456789" + crc32c(b"123456789")[::-1]) + b"\0"
    yield "0-1-0.crc-without-inversion", cobs(b"123456789" + bytes(b ^ 255 for b in crc32c(b"123456789"))) + b"\0"
    yield "0-1-0.crc-missing", cobs(b"123456789") + b"\0"
    yield "0-0-1.ones", b"\xff" * 5000
    yield "1-0-1.ones-then-frame", b"\xff" * 5000 + b"\0" + DIGITS
    yield "0-0-1.one-beyond-the-limit", b"\5" * 4096
    yield "0-0-0.at-the-limit-open", b"\5" * 4095
    yield "0-1-0.at-the-limit-closed", b"\5" * 4095 + b"\0"
    yield "0-0-2.overlong-twice", (b"\5" * 4096 + b"\0") * 2
    for size in (1, 249, 250, 251, 252, 253, 254, 255, 504, 505, 4073, 4074):
        yield f"1-0-0.zeros-{size:04}", frame(bytes(size))
        yield f"1-0-0.ones-{size:04}", frame(b"\xff" * size)
    yield "0-0-1.payload-too-long", frame(b"\xff" * 4075)
    yield "1-0-0.full-block-with-an-empty-one", frame_with_trailing_block()
    yield "3-1-0.mixed", frame(bytes(300)) + frame(b"a\0" * 100) + DIGITS[3:] + frame(b"\0\0end")
    yield "0-1-0.length-prefix", b"\x09\x01\x02" + b"123456789\0"
    yield "0-1-0.http", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n\0"


def frame_with_trailing_block() -> bytes:
    """254 bytes without a zero, then an empty block: another encoder's way to say the same."""
    for salt in range(1, 255):
        payload = bytes([salt]) * 250
        if 0 not in crc32c(payload):
            return b"\xff" + payload + crc32c(payload) + b"\1\0"
    raise AssertionError
