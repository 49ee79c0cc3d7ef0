# SPDX-License-Identifier: Apache-2.0
"""An independent reading of memtide-protocol(7): framing and payloads in Python, by Google's protobuf.

Shared by the unit tests and the end-to-end tests. It wants memtide_pb2 (protoc --python_out) on sys.path and
checks nothing but the framing: what is allowed in a field is the business of whoever uses it.
"""

from __future__ import annotations

import memtide_pb2

ENCODED_MAX = 4096
GUEST = ("hello", "report", "alarm", "shrink_offer", "resize_confirm", "block_event", "command_result")
HOST = ("welcome", "grow_notice", "shrink_request", "offline_range", "online_range", "tuning", "ping")


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def cobs_encode(data: bytes) -> bytes:
    """Without the closing zero."""
    out = bytearray()
    parts = data.split(b"\0")
    for index, part in enumerate(parts):
        while len(part) >= 254:
            out += b"\xff" + part[:254]
            part = part[254:]
            if not part and index == len(parts) - 1:
                return bytes(out)
        out += bytes([len(part) + 1]) + part
    return bytes(out)


def cobs_decode(data: bytes) -> bytes:
    """Raises ValueError for what is not COBS."""
    out = bytearray()
    at = 0
    while at < len(data):
        code = data[at]
        block = data[at + 1 : at + code]
        if code == 0 or len(block) != code - 1 or 0 in block:
            raise ValueError("not COBS")
        out += block
        at += code
        if code != 255 and at < len(data):
            out.append(0)
    return bytes(out)


def frame(payload: bytes) -> bytes:
    return cobs_encode(payload + crc32c(payload).to_bytes(4, "little")) + b"\0"


def unframe(encoded: bytes) -> bytes:
    """One frame's bytes without its closing zero; raises ValueError for what is none."""
    if len(encoded) >= ENCODED_MAX:
        raise ValueError("too long")
    plain = cobs_decode(encoded)
    if len(plain) < 4 or crc32c(plain[:-4]) != int.from_bytes(plain[-4:], "little"):
        raise ValueError("no frame")
    return plain[:-4]


def parse(payload: bytes) -> memtide_pb2.Envelope:
    envelope = memtide_pb2.Envelope()
    envelope.ParseFromString(payload)
    return envelope


class Reader:
    """Frames out of chunks; bad ones are counted."""

    def __init__(self) -> None:
        self.rest = b""
        self.bad = 0

    def feed(self, data: bytes) -> list[memtide_pb2.Envelope]:
        *frames, self.rest = (self.rest + data).split(b"\0")
        out = []
        for encoded in filter(None, frames):
            try:
                out.append(parse(unframe(encoded)))
            except Exception:
                self.bad += 1
        return out


def envelope(body: str, fields: dict | None = None, *, session: int = 1, sequence: int = 1,
             monotonic_usec: int = 0) -> memtide_pb2.Envelope:
    """An Envelope with this body; fields are the body's own."""
    message = memtide_pb2.Envelope(session=session, sequence=sequence, monotonic_usec=monotonic_usec)
    part = getattr(message, body)
    part.SetInParent()
    part.MergeFrom(type(part)(**(fields or {})))
    return message


def value_of(field, raw):
    """A field's value as JSON has it: enums by word, bytes in hex."""
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(raw)
        return known.name if known else raw
    return raw.hex() if isinstance(raw, bytes) else raw


def fields_of(message) -> dict:
    """Every field, those of the default value too."""
    out = {}
    for field in message.DESCRIPTOR.fields:
        raw = getattr(message, field.name)
        if field.label == field.LABEL_REPEATED:
            out[field.name] = [fields_of(element) for element in raw]
        else:
            out[field.name] = value_of(field, raw)
    return out


def to_json(message: memtide_pb2.Envelope) -> dict:
    body = message.WhichOneof("body")
    return {"sender": sender(body), "body": body, "session": message.session, "sequence": message.sequence,
            "monotonic_usec": message.monotonic_usec, "fields": fields_of(getattr(message, body))}


def from_json(values: dict) -> memtide_pb2.Envelope:
    fields = dict(values["fields"])
    if "boot_id" in fields:
        fields["boot_id"] = bytes.fromhex(fields["boot_id"])
    return envelope(values["body"], fields, session=values["session"], sequence=values["sequence"],
                    monotonic_usec=values["monotonic_usec"])


def sender(body: str) -> str:
    return "guest" if body in GUEST else "host"
