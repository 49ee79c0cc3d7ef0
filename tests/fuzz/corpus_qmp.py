# SPDX-License-Identifier: Apache-2.0
"""What a QEMU may say on its monitor, and what one that was taken over may."""

from __future__ import annotations

import json
from collections.abc import Iterator

MIB, GIB = 1 << 20, 1 << 30
GREETING = {"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"},
                    "capabilities": ["oob"]}}
EVENT = {"timestamp": {"seconds": 1, "microseconds": 2}, "event": "MEMORY_DEVICE_SIZE_CHANGE",
         "data": {"id": "vm0", "size": 128 * MIB, "qom-path": "/machine/peripheral/vm0"}}
VIRTIO_MEM = {"type": "virtio-mem", "data": {"id": "vm0", "size": 0, "requested-size": 128 * MIB, "max-size": 4 * GIB,
                                             "block-size": 2 * MIB, "memaddr": 4 * GIB, "node": 0, "memdev": "/m"}}
DIMM = {"type": "dimm", "data": {"id": "d0", "size": 512 * MIB, "addr": 4 * GIB, "slot": 0, "node": 0,
                                 "hotplugged": True, "hotpluggable": True, "memdev": "/d"}}


def returned(value: object, number: int = 1) -> dict:
    return {"return": value, "id": number}


def devices(**changes: object) -> dict:
    return returned([{"type": "virtio-mem", "data": {**VIRTIO_MEM["data"], **changes}}])


def objects() -> Iterator[tuple[str, object]]:
    yield "greeting", GREETING
    yield "event", EVENT
    yield "event-without-data", {"event": "SHUTDOWN"}
    yield "event-number", {"event": 5}
    yield "return-empty", returned({})
    yield "error", {"error": {"class": "CommandNotFound", "desc": "no"}, "id": 3}
    yield "error-empty", {"error": {}}
    yield "error-string", {"error": "no"}
    yield "summary", returned({"base-memory": 512 * MIB, "plugged-memory": 0})
    yield "summary-negative", returned({"base-memory": -1})
    yield "summary-string", returned({"base-memory": "512"})
    yield "summary-real", returned({"base-memory": 5e8})
    yield "summary-largest", returned({"base-memory": (1 << 63) - 1})
    yield "balloon", returned({"actual": 512 * MIB})
    yield "balloon-65-tib", returned({"actual": 65 << 40})
    yield "status-running", returned({"status": "running", "running": True})
    yield "status-odd", returned({"status": 5, "running": "yes"})
    yield "migrate-active", returned({"status": "active", "ram": {"total": 5}})
    yield "devices", returned([DIMM, VIRTIO_MEM])
    yield "devices-none", returned([])
    yield "devices-unaligned", devices(size=12345)
    yield "devices-negative", devices(size=-1)
    yield "devices-no-id", devices(id=None)
    yield "devices-id-empty", devices(id="")
    yield "devices-id-long", devices(id="v" * 64)
    yield "devices-id-63", devices(id="v" * 63)
    yield "devices-id-nul", devices(id="v\0m")
    yield "devices-9", returned([VIRTIO_MEM] * 9)
    yield "devices-300", returned([DIMM] * 300)
    yield "devices-unknown", returned([{"type": "sgx-epc", "data": {"size": -5}}, {"type": 7}, 5, None, {}])
    yield "devices-object", returned({"0": DIMM})
    yield "id-string", {"return": {}, "id": "1"}
    yield "id-negative", {"return": {}, "id": -1}
    yield "id-largest", {"return": {}, "id": (1 << 63) - 1}
    yield "id-object", {"return": {}, "id": {}}
    yield "other", {"hello": "world"}
    yield "everything-at-once", {**GREETING, **EVENT, "return": {}, "error": {"class": "X"}, "id": 1}


def texts() -> Iterator[tuple[str, str]]:
    one = json.dumps(returned({}))
    yield "empty", ""
    yield "blanks", " \r\n\t" * 100
    yield "braces", "{}"
    yield "two-in-one-read", one + one
    yield "half-an-object", one[:-3]
    yield "pretty", json.dumps(GREETING, indent=4) + "\r\n" + json.dumps(EVENT, indent=4)
    yield "event-before-greeting", json.dumps(EVENT) + "\n" + json.dumps(GREETING)
    yield "array", "[1, 2]"
    yield "string", '"text"'
    yield "number", "5"
    yield "not-json", "HTTP/1.1 400 Bad Request\r\n"
    yield "closing-first", "}"
    yield "closed-by-the-wrong-bracket", "{]"
    yield "mixed-brackets", '{"return": [{]}}'
    yield "brackets-in-a-string", '{"return": "}{][\\"}"}'
    yield "backslash-at-end", '{"return": "\\\\"}'
    yield "duplicate-keys", '{"return": 1, "return": 2}'
    yield "huge-exponent", '{"return": {"base-memory": 1e400}}'
    yield "beyond-64-bits", '{"return": {"base-memory": 99999999999999999999}}'
    yield "depth-32", '{"a":' * 32 + "1" + "}" * 32
    yield "depth-33", '{"a":' * 33 + "1" + "}" * 33
    yield "depth-5000", "{" + "[" * 5000
    yield "utf-16-escape", '{"event": "\\ud83d\\ude00"}'
    yield "lone-surrogate", '{"event": "\\ud83d"}'
    yield "nul-escape", '{"event": "a\\u0000b"}'
    yield "string-without-end", '{"event": "' + "x" * 5000
    yield "comma-at-end", '{"return": [1,]}'
    yield "comment", '{"return": /* 1 */ 2}'


def cases() -> Iterator[tuple[str, bytes]]:
    for name, value in objects():
        yield name, (json.dumps(value) + "\r\n").encode()
    for name, text in texts():
        yield name, text.encode()
    yield "bad-utf-8", b'{"event": "\xff\xfe"}'
    yield "nul-in-an-object", b'{"event"\0: 1}'
    yield "nul-between", b"{}\0{}"
    yield "session", b"\r\n".join(json.dumps(value).encode() for value in (
        GREETING, returned({}, 0), returned({"base-memory": 512 * MIB}), returned([DIMM, VIRTIO_MEM], 2), EVENT,
        returned({"actual": 512 * MIB}, 3)))
