# SPDX-License-Identifier: Apache-2.0
"""Two readings of the protocol held against each other: ours in C (wire-tool) and Google's protobuf in Python.

Golden vectors both ways, the range of each field as memtide.proto states it, every word of every enum, random
messages, and the verdict on each file of the fuzz corpora.

    test_golden.py WIRE_TOOL FIXTURES CORPUS
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import unittest
from pathlib import Path

try:
    import google.protobuf  # noqa: F401
except ImportError:
    print("python3-protobuf is not installed")
    sys.exit(77)

import memtide_wire as wire

KIB, MIB, TIB = 1 << 10, 1 << 20, 1 << 40
WIRE_TOOL, FIXTURES, CORPUS = "", Path(), Path()

SIZE = (0, 64 * TIB)
TIME = COUNT = (0, (1 << 62) - 1)
U32, U64 = (0, (1 << 32) - 1), (0, (1 << 64) - 1)
ID, STEP = (1, (1 << 64) - 1), (1, (1 << 32) - 1)
BLOCKS, ERRNO = (0, 1 << 22), (0, 4095)
NEED = (-64 * TIB, 64 * TIB)
TEXT = "text"

# (least, most) of each field that is neither enum nor bool, as memtide.proto has it.
RANGES = {
    "hello": dict(
        major=(0, 0), minor=(0, 1000), agent_version=TEXT, kernel_release=TEXT, boot_id=None, start_nonce=U64,
        handshake_nonce=U64, page_size_bytes=(4 * KIB, MIB), block_size_bytes=(0, 64 * TIB),
        memory_total_bytes=(1, 64 * TIB), capabilities=U64, missing=None, plug_budget_bytes=SIZE,
        frames_void=COUNT),
    "report": dict(
        memory_total_bytes=(1, 64 * TIB), memory_available_bytes=SIZE, memory_free_bytes=SIZE, file_cache_bytes=SIZE,
        swap_total_bytes=SIZE, swap_free_bytes=SIZE, balloon_bytes=SIZE, usable_bytes=SIZE, used_bytes=SIZE,
        reserve_bytes=SIZE, demand_bytes=SIZE, need_bytes=NEED, floor_bytes=SIZE, time_to_exhaustion_usec=TIME,
        fall_bytes_per_sec=SIZE, psi_some_usec=TIME, psi_full_usec=TIME, oom_kills=COUNT, blocks_online=BLOCKS,
        blocks_offline=BLOCKS, plug_budget_bytes=SIZE, interval_usec=(10_000, 60_000_000), frames_dropped=COUNT,
        frames_void=COUNT),
    "alarm": dict(
        need_bytes=NEED, usable_bytes=SIZE, memory_available_bytes=SIZE, time_to_exhaustion_usec=TIME,
        fall_bytes_per_sec=SIZE, veto_id=U64, plug_budget_bytes=SIZE),
    "shrink_offer": dict(
        id=ID, step=STEP, offered_bytes=SIZE, acceptable_bytes=SIZE, hold_usec=TIME, reclaimed_bytes=SIZE),
    "resize_confirm": dict(
        id=ID, step=U32, delta_bytes=NEED, usable_bytes=SIZE, blocks_online=BLOCKS, blocks_offline=BLOCKS,
        latency_usec=TIME, stall_usec=TIME),
    "block_event": dict(block=(0, (1 << 28) - 1), bytes=SIZE, error=ERRNO, latency_usec=TIME),
    "command_result": dict(id=U64, error=ERRNO, bytes=SIZE),
    "welcome": dict(
        session=(1, (1 << 32) - 1), minor=(0, 1000), handshake_nonce=U64, bridge_version=TEXT,
        report_interval_usec=(100_000, 10_000_000)),
    "grow_notice": dict(id=ID, deadline_usec=TIME, bytes=(1, 64 * TIB)),
    "shrink_request": dict(
        id=ID, step=STEP, deadline_usec=TIME, bytes=(1, 64 * TIB), remaining_bytes=(1, 64 * TIB)),
    "offline_range": dict(
        id=ID, deadline_usec=TIME, address=(0, (1 << 52) - 16 * MIB), bytes=(16 * MIB, 64 * TIB)),
    "online_range": dict(
        id=ID, deadline_usec=TIME, address=(0, (1 << 52) - 16 * MIB), bytes=(16 * MIB, 64 * TIB)),
    "tuning": dict(
        id=ID, deadline_usec=TIME, report_interval_usec=(0, 10_000_000), actuator_delay_usec=(0, 10_000_000)),
    "ping": dict(id=U64, deadline_usec=TIME),
}

# A least value may need another field small, a most value another one large.
ROOM = {
    "report": dict(memory_total_bytes=64 * TIB, usable_bytes=64 * TIB, swap_total_bytes=64 * TIB,
                   psi_some_usec=(1 << 62) - 1),
    "shrink_request": dict(remaining_bytes=64 * TIB),
}


def wire_tool(mode: str, sender: str, stream: bytes) -> bytes:
    return subprocess.run([WIRE_TOOL, mode, sender], input=stream, stdout=subprocess.PIPE, check=True).stdout


def read_in_c(sender: str, stream: bytes) -> list[dict]:
    """A dict per frame; the last is the counters."""
    out = []
    for line in wire_tool("print", sender, stream).decode("ascii").splitlines():
        verdict, *pairs = line.split("\t")
        out.append({"verdict": verdict, **dict(pair.split("=", 1) for pair in pairs)})
    return out


def verdicts(sender: str, payloads: list[bytes]) -> list[str]:
    return [reading["verdict"] for reading in read_in_c(sender, b"".join(map(wire.frame, payloads)))[:-1]]


def word(field, number: int) -> str:
    """The name that people see: BLOCK_KIND_VIRTIO_MEM is "virtio-mem"."""
    names = [value.name for value in field.enum_type.values]
    common = 0
    while len({name[: common + 1] for name in names}) == 1:
        common += 1
    common = names[0].rfind("_", 0, common) + 1
    return field.enum_type.values_by_number[number].name[common:].lower().replace("_", "-")


def as_c_prints(field, raw) -> str:
    if field.label == field.LABEL_REPEATED:
        facility = field.message_type.fields_by_name["facility"]
        return ",".join(f"{one.facility}:{word(facility, one.facility)}:{one.error}" for one in raw)
    if field.enum_type is not None:
        return f"{raw}:{word(field, raw)}"
    if isinstance(raw, bytes):
        return raw.hex()
    return str(int(raw) if isinstance(raw, bool) else raw)


def expected_reading(message) -> dict:
    """What wire-tool must print for this Envelope."""
    body = message.WhichOneof("body")
    part = getattr(message, body)
    out = {"verdict": "ok", "type": part.DESCRIPTOR.name, "session": str(message.session),
           "sequence": str(message.sequence), "monotonic_usec": str(message.monotonic_usec)}
    for field in part.DESCRIPTOR.fields:
        name = "welcome.session" if (body, field.name) == ("welcome", "session") else field.name
        out[name] = as_c_prints(field, getattr(part, field.name))
    return out


def minimal(body: str, **fields):
    values = json.loads((FIXTURES / f"{body.replace('_', '-')}-minimal.json").read_text())
    if body == "ping":
        values["session"] = 1  # in session 0 there is no deadline
    values["fields"].update(fields)
    return wire.from_json(values)


class Golden(unittest.TestCase):
    def vectors(self):
        files = sorted(FIXTURES.glob("*.bin"))
        self.assertEqual(len([f for f in files if f.stem.endswith(("-full", "-minimal"))]), 2 * len(wire.GUEST + wire.HOST))
        for file in files:
            yield file.stem, file.read_bytes(), json.loads(file.with_suffix(".json").read_text())

    def test_python_reads_what_is_written_beside(self):
        for name, data, values in self.vectors():
            with self.subTest(name):
                self.assertEqual(data[-1], 0)
                message = wire.parse(wire.unframe(data[:-1]))
                self.assertEqual(wire.to_json(message), values)
                self.assertEqual(wire.frame(message.SerializeToString(deterministic=True)), data)

    def test_c_reads_the_same(self):
        for name, data, values in self.vectors():
            with self.subTest(name):
                reading, counters = read_in_c(values["sender"], data)
                self.assertEqual(reading, expected_reading(wire.from_json(values)))
                self.assertEqual(counters["frames"], "1")

    def test_c_writes_the_same_bytes(self):
        for name, data, values in self.vectors():
            with self.subTest(name):
                self.assertEqual(wire_tool("recode", values["sender"], data), data)

    def test_python_to_c_in_one_stream(self):
        for side in ("guest", "host"):
            frames = [(data, values) for _, data, values in self.vectors() if values["sender"] == side]
            stream = b"\0" + b"".join(data for data, _ in frames)
            readings = read_in_c(side, stream)
            self.assertEqual(readings[:-1], [expected_reading(wire.from_json(values)) for _, values in frames])


class Ranges(unittest.TestCase):
    def check(self, body: str, accepted: list[dict], refused: list[dict]) -> None:
        def encode(fields: dict) -> bytes:
            return minimal(body, **fields).SerializeToString(deterministic=True)

        found = verdicts(wire.sender(body), [encode(fields) for fields in accepted + refused])
        wanted = ["ok"] * len(accepted) + ["out-of-range"] * len(refused)
        for fields, one, other in zip(accepted + refused, found, wanted):
            with self.subTest(f"{body} {fields}"):
                self.assertEqual(one, other)

    def limits(self, body: str, field, bounds: tuple[int, int]) -> tuple[list[dict], list[dict]]:
        """What must be accepted of this field, and what refused."""
        least, most = bounds
        largest = {field.TYPE_UINT32: (1 << 32) - 1, field.TYPE_SINT64: (1 << 63) - 1}.get(field.type, (1 << 64) - 1)
        smallest = -(1 << 63) if field.type == field.TYPE_SINT64 else 0
        room = {**ROOM.get(body, {})}
        room.pop(field.name, None)
        accepted = [{field.name: least}, {**room, field.name: most}]
        refused = [{**room, field.name: value}
                   for value in {least - 1, smallest, most + 1, largest}
                   if smallest <= value <= largest and not least <= value <= most]
        return accepted, refused

    def test_each_number(self):
        for body, ranges in RANGES.items():
            descriptor = getattr(wire.envelope(body), body).DESCRIPTOR
            plain = {field.name for field in descriptor.fields
                     if field.enum_type is None and field.type != field.TYPE_BOOL}
            self.assertEqual(plain, set(ranges), "a field without a range here")
            cases = [self.limits(body, field, ranges[field.name])
                     for field in descriptor.fields if isinstance(ranges.get(field.name), tuple)]
            self.check(body, sum((accepted for accepted, _ in cases), []), sum((refused for _, refused in cases), []))

    def test_strings(self):
        for body, name in (("hello", "agent_version"), ("hello", "kernel_release"), ("welcome", "bridge_version")):
            self.check(body, [{name: ""}, {name: " ~" * 32}], [])
            long = minimal(body, **{name: "x" * 65}).SerializeToString()
            self.assertEqual(verdicts(wire.sender(body), [long]), ["malformed"])

    def test_every_word(self):
        for body in RANGES:
            words, beyond = [], []
            for field in getattr(wire.envelope(body), body).DESCRIPTOR.fields:
                if field.enum_type is None:
                    continue
                numbers = [value.number for value in field.enum_type.values]
                words += [minimal(body, **{field.name: number}) for number in numbers]
                beyond.append((field.name, minimal(body, **{field.name: max(numbers) + 1})))

            stream = [message.SerializeToString() for message in words + [message for _, message in beyond]]
            readings = read_in_c(wire.sender(body), b"".join(map(wire.frame, stream)))
            self.assertEqual(readings[: len(words)], [expected_reading(message) for message in words])
            for (name, _), reading in zip(beyond, readings[len(words) :]):
                if name == "cause":
                    self.assertEqual(reading["cause"], "0:none")
                else:
                    self.assertEqual(reading["verdict"], "out-of-range")

    def test_every_facility(self):
        facilities = wire.memtide_pb2.Facility.values()
        for number in facilities:
            message = minimal("hello", missing=[{"facility": number, "error": number}])
            reading = read_in_c("guest", wire.frame(message.SerializeToString()))[0]
            self.assertEqual(reading, expected_reading(message))
        message = minimal("hello", missing=[{"facility": max(facilities) + 1, "error": 1}])
        reading = read_in_c("guest", wire.frame(message.SerializeToString()))[0]
        self.assertEqual(reading["missing"], "0:unspecified:1")


class Random(unittest.TestCase):
    """Messages that nobody thought of: same values, same bytes."""

    def random_fields(self, body: str, descriptor, choose: random.Random) -> dict:
        fields = {}
        for field in descriptor.fields:
            bounds = RANGES[body].get(field.name)
            if field.enum_type is not None:
                fields[field.name] = choose.choice(field.enum_type.values).number
            elif field.type == field.TYPE_BOOL:
                fields[field.name] = choose.random() < 0.5
            elif bounds == TEXT:
                fields[field.name] = "".join(chr(choose.randrange(32, 127)) for _ in range(choose.randrange(65)))
            elif isinstance(bounds, tuple):
                least, most = bounds
                fields[field.name] = least + choose.randrange(min(most - least, 1 << choose.randrange(65)) + 1)
        return fields

    def make_consistent(self, body: str, fields: dict, choose: random.Random) -> None:
        if body == "hello":
            fields["boot_id"] = choose.randbytes(16).hex()
            fields["page_size_bytes"] = 1 << choose.randrange(12, 21)
            fields["block_size_bytes"] = choose.choice([0, 1 << choose.randrange(24, 47)])
            fields["missing"] = [{"facility": choose.randrange(12), "error": choose.randrange(4096)}
                                 for _ in range(choose.randrange(17))]
        if body == "report":
            total = fields["memory_total_bytes"]
            for name in ("memory_available_bytes", "memory_free_bytes", "usable_bytes"):
                fields[name] = min(fields[name], total)
            fields["used_bytes"] = min(fields["used_bytes"], fields["usable_bytes"])
            fields["swap_free_bytes"] = min(fields["swap_free_bytes"], fields["swap_total_bytes"])
            fields["psi_full_usec"] = min(fields["psi_full_usec"], fields["psi_some_usec"] + 1_000_000)
        if body == "shrink_request":
            fields["bytes"] = min(fields["bytes"], fields["remaining_bytes"])
        if body in ("offline_range", "online_range"):
            fields["bytes"] -= fields["bytes"] % (16 * MIB)
            fields["address"] = min(fields["address"], (1 << 52) - fields["bytes"])
            fields["address"] -= fields["address"] % (16 * MIB)
        if body == "tuning":
            fields["report_interval_usec"] = max(fields["report_interval_usec"], 100_000)
            fields["actuator_delay_usec"] = max(fields["actuator_delay_usec"], 1_000)

    def test_messages(self):
        choose = random.Random(20240607)
        for body in RANGES:
            messages = []
            for _ in range(150):
                fields = self.random_fields(body, getattr(wire.envelope(body), body).DESCRIPTOR, choose)
                self.make_consistent(body, fields, choose)
                message = minimal(body, **fields)
                message.sequence = 1 + choose.randrange(1 << choose.randrange(1, 64))
                messages.append(message)
            stream = b"".join(wire.frame(message.SerializeToString(deterministic=True)) for message in messages)
            side = wire.sender(body)
            self.assertEqual(read_in_c(side, stream)[:-1], [expected_reading(message) for message in messages])
            self.assertEqual(wire_tool("recode", side, stream), stream)


class Corpus(unittest.TestCase):
    """Each file of the fuzz corpora is named by what must become of it."""

    def test_payloads(self):
        for side in ("guest", "host"):
            files = [file for file in sorted((CORPUS / "wire").iterdir()) if f".{side}." in file.name]
            self.assertGreater(len(files), 20)
            found = verdicts(side, [file.read_bytes() for file in files])
            for file, verdict in zip(files, found):
                with self.subTest(file.name):
                    self.assertEqual(verdict, file.name.split(".")[0])

    def test_accepted_payloads_agree(self):
        for side in ("guest", "host"):
            # Not those with words of a newer minor, which read as 0 here.
            files = [file for file in sorted((CORPUS / "wire").glob(f"ok.{side}.*")) if ".newer-" not in file.name]
            readings = read_in_c(side, b"".join(wire.frame(file.read_bytes()) for file in files))
            for file, reading in zip(files, readings):
                with self.subTest(file.name):
                    self.assertEqual(reading, expected_reading(wire.parse(file.read_bytes())))

    def test_streams(self):
        files = sorted((CORPUS / "frame").iterdir())
        self.assertGreater(len(files), 20)
        for file in files:
            with self.subTest(file.name):
                counters = read_in_c("guest", file.read_bytes())[-1]
                wanted = dict(zip(("frames", "garbled", "overlong"), file.name.split(".")[0].split("-")))
                self.assertEqual({name: counters[name] for name in wanted}, wanted)


if __name__ == "__main__":
    WIRE_TOOL, FIXTURES, CORPUS = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    unittest.main(argv=sys.argv[:1])
