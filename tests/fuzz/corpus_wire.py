# SPDX-License-Identifier: Apache-2.0
"""Payloads: protobuf as it must not be, and values that make no sense. Built from bytes, without any protobuf."""

from __future__ import annotations

from collections.abc import Iterator

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40
VARINT, FIXED64, BYTES, GROUP, GROUP_END, FIXED32 = 0, 1, 2, 3, 4, 5
HELLO, REPORT, ALARM, OFFER, CONFIRM, BLOCK, RESULT = 10, 11, 12, 13, 14, 15, 16
WELCOME, GROW, REQUEST, OFFLINE, ONLINE, TUNING, PING = 32, 33, 34, 35, 36, 37, 38


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))


def padded(value: int, size: int) -> bytes:
    """A varint longer than it need be."""
    return bytes((value >> 7 * i & 127) | (128 if i < size - 1 else 0) for i in range(size))


def tag(number: int, kind: int) -> bytes:
    return varint(number << 3 | kind)


def num(number: int, value: int) -> bytes:
    return tag(number, VARINT) + varint(value)


def zigzag(value: int) -> int:
    return value << 1 if value >= 0 else -value * 2 - 1


def blob(number: int, data: bytes) -> bytes:
    return tag(number, BYTES) + varint(len(data)) + data


def fixed(number: int, value: int) -> bytes:
    return tag(number, FIXED64) + value.to_bytes(8, "little")


def nums(fields: dict[int, int]) -> bytes:
    """Varint fields; what is 0 is left out, as proto3 does."""
    return b"".join(num(number, value) for number, value in sorted(fields.items()) if value)


def head(session: int = 1, sequence: int = 1, monotonic: int = 5) -> bytes:
    return nums({1: session, 2: sequence, 3: monotonic})


def message(body: int, inner: bytes, **envelope: int) -> bytes:
    return head(**envelope) + blob(body, inner)


# Bodies that are accepted; the cases change one thing each.
PING_OK = {1: 10, 2: 4}
REPORT_OK = {1: 2 * GIB, 2: 700 * MIB, 3: 300 * MIB, 5: GIB, 6: 900 * MIB, 8: 1792 * MIB, 9: 1092 * MIB,
             12: zigzag(-572 * MIB), 16: 1, 17: 1, 19: 1_000_000, 20: 900_000, 22: 16, 25: 1_000_000}
REQUEST_OK = {1: 6, 2: 1, 3: 99_000_000, 4: 64 * MIB, 5: 128 * MIB}
RANGE_OK = {1: 7, 2: 99_000_000, 3: 4 * GIB, 4: 512 * MIB}
HELLO_NUMS = {2: 0, 8: 4096, 9: 128 * MIB, 10: 503 * MIB, 11: 1}
BOOT_ID = bytes(range(16))


def hello(changes: dict[int, int] | None = None, extra: bytes = b"", boot_id: bytes | None = BOOT_ID,
          text: bytes = b"0.1.0") -> bytes:
    inner = blob(3, text) + blob(4, b"6.1.0-49-cloud-amd64")
    inner += blob(5, boot_id) if boot_id is not None else b""
    inner += fixed(6, 1) + fixed(7, 2) + nums({**HELLO_NUMS, **(changes or {})}) + extra
    return message(HELLO, inner, session=0)


def report(changes: dict[int, int] | None = None, **envelope: int) -> bytes:
    return message(REPORT, nums({**REPORT_OK, **(changes or {})}), **envelope)


def ping(inner: bytes | None = None, **envelope: int) -> bytes:
    return message(PING, nums(PING_OK) if inner is None else inner, **envelope)


def valid() -> Iterator[tuple[str, str, bytes]]:
    """(sender, case, payload) that must be accepted."""
    yield "guest", "hello", hello()
    yield "guest", "hello-16-missing", hello(extra=b"".join(blob(12, nums({1: n % 11, 2: n})) for n in range(16)))
    yield "guest", "hello-newer-minor", hello({2: 1000})
    yield "guest", "newer-facility", hello(extra=blob(12, num(1, 4711)))
    yield "guest", "newer-capability", hello({11: (1 << 64) - 1})
    yield "guest", "report", report()
    yield "guest", "newer-cause", report({17: 99})
    yield "guest", "report-every-field", message(REPORT, nums({**{n: 1 for n in range(1, 27)}, 25: 10_000}))
    yield "guest", "alarm", message(ALARM, nums({1: 3, 2: 2, 3: zigzag(512 * MIB), 4: 500 * MIB, 8: 1, 9: 7}))
    yield "guest", "shrink-offer", message(OFFER, nums({1: 9, 2: 1, 3: 64 * MIB, 4: 2, 5: 800 * MIB, 6: 1, 7: 2}))
    yield "guest", "resize-confirm", message(CONFIRM, nums({1: 9, 3: zigzag(-128 * MIB), 4: 900 * MIB, 5: 7}))
    yield "guest", "block-event", message(BLOCK, nums({1: 32, 2: 1, 3: 2, 4: 2, 5: 128 * MIB, 7: 700}))
    yield "guest", "command-result", message(RESULT, nums({1: 3, 2: 2, 3: 9, 4: 95, 5: 1}))
    yield "guest", "body-empty", message(ALARM, b"")
    yield "guest", "sequence-2-63", report(sequence=1 << 63)
    yield "guest", "sequence-last", report(sequence=(1 << 64) - 1)
    yield "host", "welcome", message(
        WELCOME, nums({1: 77, 2: 0}) + fixed(3, 2) + blob(4, b"0.1.0") + num(5, 1_000_000), session=0)
    yield "host", "grow-notice", message(GROW, nums({1: 5, 2: 9, 3: 256 * MIB, 4: 1}))
    yield "host", "shrink-request", message(REQUEST, nums({**REQUEST_OK, 6: 1, 7: 1}))
    yield "host", "offline-range", message(OFFLINE, nums(RANGE_OK))
    yield "host", "online-range", message(ONLINE, nums(RANGE_OK))
    yield "host", "tuning", message(TUNING, nums({1: 9, 2: 3, 3: 100_000, 4: 1_000}))
    yield "host", "ping", ping()
    yield "host", "ping-of-session-0", ping(nums({1: 10}), session=0)
    yield "host", "fields-in-reverse", blob(PING, num(2, 4) + num(1, 10)) + num(3, 5) + num(2, 1) + num(1, 1)
    yield "host", "default-spelt-out", ping(num(1, 0) + num(2, 0))
    yield "host", "u64-of-ten-bytes", ping(num(1, (1 << 64) - 1))
    yield "host", "unknown-32", ping() + b"".join(num(5, n) for n in range(32))
    yield "host", "unknown-of-each-type", ping() + num(5, 1) + fixed(5, 1) + blob(5, b"\0\xff") + b"\x2d1234"
    yield "host", "unknown-longest-number", ping() + num((1 << 25) - 1, 1)
    yield "host", "unknown-deep-inside", ping(nums(PING_OK) + blob(3, blob(3, blob(3, blob(3, b"")))))
    yield "host", "unknown-3900-bytes", ping() + blob(5, b"x" * 3900)


def malformed_numbers() -> Iterator[tuple[str, bytes]]:
    """Tags and varints as they must not be, whoever sends them."""
    good = ping()
    yield "nothing", b""
    yield "no-body", head()
    yield "zeros", bytes(64)
    yield "ones", b"\xff" * 64
    for cut in range(1, len(good)):
        if cut not in (2, 4, 6):  # where a field ends there is only the body missing
            yield f"cut-at-{cut:02}", good[:cut]
    yield "field-number-0", good + b"\0\1"
    yield "field-number-0-bytes", good + b"\2\0"
    yield "field-number-0-padded", good + b"\x80\0\1"
    yield "tag-padded", padded(1 << 3, 2) + b"\1" + good[2:]
    yield "tag-5-bytes", good + tag(1 << 25, VARINT) + b"\1"
    yield "tag-5-bytes-largest-number", good + tag((1 << 29) - 1, VARINT) + b"\1"
    yield "tag-5-bytes-sign-bit", good + b"\xf8\xff\xff\xff\x7f\1"
    yield "tag-beyond-2-29", good + tag(1 << 29, VARINT) + b"\1"
    yield "tag-10-bytes", good + b"\xf8" + b"\xff" * 8 + b"\1\1"
    yield "tag-without-end", good + b"\xf8" + b"\xff" * 30
    yield "group-without-end", good + tag(5, GROUP)
    yield "group-end-alone", good + tag(5, GROUP_END)
    yield "group-whole", good + tag(5, GROUP) + num(1, 1) + tag(5, GROUP_END)
    yield "group-as-body", head() + tag(PING, GROUP) + tag(PING, GROUP_END)
    yield "groups-2000", good + tag(5, GROUP) * 2000
    yield "wire-type-6", good + tag(5, 6) + b"\1"
    yield "wire-type-7", good + tag(5, 7) + b"\1"
    yield "varint-11-bytes", ping(tag(1, VARINT) + b"\xff" * 10 + b"\1")
    yield "varint-65-bits", ping(tag(1, VARINT) + b"\xff" * 9 + b"\2")
    yield "varint-padded", ping(tag(1, VARINT) + padded(10, 2))
    yield "varint-padded-to-10", ping(tag(1, VARINT) + padded(10, 10))
    yield "varint-zero-padded", ping(tag(1, VARINT) + padded(0, 2))
    yield "varint-without-end", ping(tag(1, VARINT) + b"\xff")
    yield "unknown-varint-padded", good + tag(5, VARINT) + padded(1, 3)
    yield "u32-of-33-bits", num(1, 1 << 32) + good[2:]
    yield "u32-negative", num(1, (1 << 64) - 1) + good[2:]
    yield "bool-2", message(GROW, nums({1: 5, 3: 1, 4: 2}))
    yield "bool-2-64", message(GROW, nums({1: 5, 3: 1, 4: 1 << 63}))
    yield "enum-negative", report({16: (1 << 64) - 1})
    yield "enum-of-32-bits", report({17: 1 << 31})
    yield "enum-wraps-to-1", report({16: (1 << 32) + 1})


def malformed_fields() -> Iterator[tuple[str, bytes]]:
    """Wrong types, repetitions and lengths."""
    good = ping()
    for number, body in ((REPORT, "report"), (PING, "ping")):
        yield f"{body}-as-varint", head() + num(number, 1)
        yield f"{body}-as-fixed64", head() + fixed(number, 1)
        yield f"{body}-as-fixed32", head() + tag(number, FIXED32) + b"1234"
    yield "varint-as-fixed64", ping(fixed(1, 1))
    yield "varint-as-fixed32", ping(tag(1, FIXED32) + b"1234")
    yield "varint-as-bytes", ping(blob(1, b"\1"))
    yield "varint-as-packed", ping(blob(1, b"\1\2\3"))
    yield "fixed64-as-varint", message(WELCOME, num(3, 1), session=0)
    yield "fixed64-as-fixed32", message(WELCOME, tag(3, FIXED32) + b"1234", session=0)
    yield "fixed64-as-bytes", message(WELCOME, blob(3, b"12345678"), session=0)
    yield "string-as-varint", message(WELCOME, num(4, 1), session=0)
    yield "scalar-twice", num(1, 1) + good
    yield "scalar-500-times", num(3, 1) * 500 + good[6:]
    yield "scalar-twice-inside", ping(num(1, 1) + num(1, 2))
    yield "body-twice", good + blob(PING, num(1, 1))
    yield "body-twice-merged", head() + blob(PING, num(1, 1)) + blob(PING, num(2, 1))
    yield "two-bodies", good + blob(GROW, nums({1: 1, 3: 1}))
    yield "bodies-of-both-sides", good + blob(REPORT, nums(REPORT_OK))
    yield "body-longer-than-payload", head() + tag(PING, BYTES) + varint(5) + nums(PING_OK)
    yield "body-shorter-than-field", head() + tag(PING, BYTES) + varint(3) + nums(PING_OK)
    yield "body-4-gib", head() + tag(PING, BYTES) + varint(1 << 32) + nums(PING_OK)
    yield "body-2-63", head() + tag(PING, BYTES) + varint(1 << 63) + nums(PING_OK)
    yield "body-2-64", head() + tag(PING, BYTES) + varint((1 << 64) - 1) + nums(PING_OK)
    yield "length-padded", head() + tag(PING, BYTES) + padded(4, 2) + nums(PING_OK)


def malformed_excess() -> Iterator[tuple[str, bytes]]:
    """Too much of what is allowed, and strings that a log must not see."""
    good = ping()
    yield "unknown-33", good + num(5, 1) * 33
    yield "unknown-33-in-both", ping(nums(PING_OK) + num(3, 1) * 16) + num(5, 1) * 17
    yield "unknown-1000", good + num(5, 1) * 1000
    yield "unknown-longer-than-rest", good + tag(5, BYTES) + varint(9) + b"12345678"
    yield "unknown-fixed64-cut", good + tag(5, FIXED64) + b"1234567"
    yield "unknown-fixed32-cut", good + tag(5, FIXED32) + b"123"
    yield "missing-17", hello(extra=blob(12, b"") * 17)
    yield "missing-2000-empty", hello(extra=blob(12, b"") * 1990)
    yield "missing-error-33-bits", hello(extra=blob(12, num(2, 1 << 32)))
    yield "missing-longer-than-hello", hello(extra=tag(12, BYTES) + varint(9) + num(1, 1))
    nested = b""
    while len(nested) < 4000:
        nested = blob(HELLO, nested)
    yield "depth-1300", nested
    for name, text in (("65-bytes", b"x" * 65), ("4000-bytes", b"x" * 3900), ("nul", b"a\0b"), ("newline", b"a\nroot: b"),
                       ("escape", b"\x1b[2J"), ("del", b"\x7f"), ("c1", b"\x9b2J"), ("utf-8", "ä".encode()),
                       ("bad-utf-8", b"\xff\xfe"), ("overlong-utf-8", b"\xc0\x80"), ("tab", b"a\tb")):
        yield f"string-{name}", hello(text=text)
    yield "boot-id-65-bytes", hello(boot_id=bytes(65))
    yield "frame-in-payload", b"\x0e123456789\x83\x92\x06\xe3\0"
    yield "text", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def out_of_range() -> Iterator[tuple[str, str, bytes]]:
    """Well-formed, and nonsense."""
    for name, changes in {
            "total-0": {1: 0}, "available-above-total": {2: 2 * GIB + 1}, "free-above-total": {3: 2 * GIB + 1},
            "usable-above-total": {8: 2 * GIB + 1}, "used-above-usable": {9: 1792 * MIB + 1},
            "swap-free-above-total": {6: GIB + 1}, "swap-free-without-swap": {5: 0},
            "full-above-some": {20: 2_000_001}, "above-64-tib": {1: 64 * TIB + 1}, "units-times-1024": {1: 64 * TIB * 1024},
            "need-above-64-tib": {12: zigzag(64 * TIB + 1)}, "need-below-64-tib": {12: zigzag(-64 * TIB - 1)},
            "need-least": {12: (1 << 64) - 1}, "urgency-4": {16: 4}, "interval-0": {25: 0}, "interval-61-s": {25: 61_000_000},
            "blocks-2-22": {22: (1 << 22) + 1}, "time-2-62": {14: 1 << 62}, "nan-like": {10: (1 << 64) - 1},
            "kills-2-64": {21: (1 << 64) - 1}}.items():
        yield "guest", f"report-{name}", report(changes)
    yield "guest", "report-all-largest", message(REPORT, nums({n: 1 if n in (16, 17, 18) else (1 << 32) - 1 if n in (22, 23)
                                                             else (1 << 64) - 1 for n in range(1, 27)}))
    yield "guest", "session-0", report(session=0)
    yield "guest", "sequence-0", report(sequence=0)
    yield "guest", "monotonic-2-62", report(monotonic=1 << 62)
    yield "guest", "monotonic-2-64", report(monotonic=(1 << 64) - 1)
    yield "guest", "hello-in-a-session", num(1, 1) + hello()
    for name, changes in {"major-1": {1: 1}, "minor-1001": {2: 1001}, "page-0": {8: 0}, "page-3-kib": {8: 3072},
                          "page-2-mib": {8: 2 * MIB}, "block-8-mib": {9: 8 * MIB}, "block-48-mib": {9: 48 * MIB},
                          "total-0": {10: 0}}.items():
        yield "guest", f"hello-{name}", hello(changes)
    yield "guest", "hello-boot-id-15", hello(boot_id=bytes(15))
    yield "guest", "hello-boot-id-17", hello(boot_id=bytes(17))
    yield "guest", "hello-boot-id-none", hello(boot_id=None)
    yield "guest", "hello-missing-errno-4096", hello(extra=blob(12, nums({1: 1, 2: 4096})))
    yield "guest", "offer-id-0", message(OFFER, nums({2: 1}))
    yield "guest", "block-2-28", message(BLOCK, nums({1: 1 << 28}))
    yield "guest", "block-kind-3", message(BLOCK, nums({3: 3}))
    yield "host", "welcome-session-0", message(WELCOME, nums({5: 1_000_000}), session=0)
    yield "host", "welcome-in-a-session", message(WELCOME, nums({1: 7, 5: 1_000_000}))
    yield "host", "grow-notice-0-bytes", message(GROW, nums({1: 5}))
    for name, changes in {"id-0": {1: 0}, "step-0": {2: 0}, "deadline-2-62": {3: 1 << 62}, "0-bytes": {4: 0},
                          "remaining-below-bytes": {5: 64 * MIB - 1}}.items():
        yield "host", f"shrink-request-{name}", message(REQUEST, nums({**REQUEST_OK, **changes}))
    for name, changes in {"odd-address": {3: 4 * GIB + 4096}, "odd-bytes": {4: 4096}, "0-bytes": {4: 0},
                          "wraps": {3: (1 << 64) - 16 * MIB}, "beyond-2-52": {3: (1 << 52) - 256 * MIB}}.items():
        yield "host", f"offline-{name}", message(OFFLINE, nums({**RANGE_OK, **changes}))
    yield "host", "tuning-1-us", message(TUNING, nums({1: 9, 2: 3, 4: 1}))
    yield "host", "ping-deadline-without-session", ping(session=0)


def cases() -> Iterator[tuple[str, bytes]]:
    for sender, name, payload in valid():
        yield f"ok.{sender}.{name}", payload
        yield f"wrong-sender.{'host' if sender == 'guest' else 'guest'}.{name}", payload
    for name, payload in (*malformed_numbers(), *malformed_fields(), *malformed_excess()):
        yield f"malformed.{'guest' if len(name) % 2 else 'host'}.{name}", payload
    for sender, name, payload in out_of_range():
        yield f"out-of-range.{sender}.{name}", payload
    yield "unknown.guest.body-17", message(17, num(1, 1))
    yield "unknown.host.body-39", message(39, num(1, 1))
    yield "unknown.guest.body-17-without-session", message(17, num(1, 1), session=0, sequence=0)
    yield "ok.host.longest", ping() + blob(5, b"x" * (4074 - len(ping()) - 3))
