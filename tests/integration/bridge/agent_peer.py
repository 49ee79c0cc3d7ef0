# SPDX-License-Identifier: Apache-2.0
"""An agent as its channel shows it, scripted. It listens, since QEMU's end of a channel does."""
from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import memtide_pb2 as pb
from memtide_wire import Reader, envelope, frame
from tests.guest.wait import PATIENCE

MIB = 1 << 20


class AgentPeer:
    """Answers the handshake by itself; everything else is the test's."""

    def __init__(self, path: Path, *, connect_late: bool = False) -> None:
        self.path = path
        self.session = 0
        self.sequence = 0
        self.received: list[tuple[float, Any]] = []  # (time, envelope), handshake included
        self.shakes_hands = True
        self.clock_offset = 0  # of the guest's monotonic clock, usec
        self.start_nonce = random.getrandbits(63)
        self.block_size = 128 * MIB
        self.figures: dict[str, Any] = report(512 * MIB, 300 * MIB)
        self.on_message: Callable[[str, Any], None] = lambda body, message: None
        self.connections = 0
        self._client: socket.socket | None = None
        self._condition = threading.Condition()
        self._stop = False
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen(8)
        self._server.settimeout(0.05)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    # -- what a test does ------------------------------------------------------------------------

    def close(self) -> None:
        self._stop = True
        self.disconnect()
        self._thread.join()
        self._server.close()
        self.path.unlink(missing_ok=True)

    def disconnect(self) -> None:
        if client := self._client:
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def send_raw(self, data: bytes) -> None:
        client = self._client
        assert client, "nobody is connected"
        client.sendall(data)

    def send(self, body: str, *, session: int | None = None, sequence: int | None = None,
             monotonic_usec: int | None = None, **fields: Any) -> None:
        with self._condition:
            if sequence is None:
                self.sequence += 1
                sequence = self.sequence
            session = self.session if session is None else session
            stamp = self.now_usec() if monotonic_usec is None else monotonic_usec
            self.send_raw(frame(envelope(body, fields, session=session, sequence=sequence,
                                         monotonic_usec=stamp).SerializeToString()))

    def hello(self, **fields: Any) -> None:
        values = dict(major=0, minor=0, agent_version="0.1.0", kernel_release="6.1.0-test", boot_id=bytes(16),
                      start_nonce=self.start_nonce, handshake_nonce=random.getrandbits(63), page_size_bytes=4096,
                      block_size_bytes=self.block_size, memory_total_bytes=512 * MIB, capabilities=0)
        self.send("hello", session=0, sequence=1, **{**values, **fields})

    def report(self, **fields: Any) -> None:
        self.send("report", **{**self.figures, **fields})

    def alarm(self, need: int, **fields: Any) -> None:
        values = dict(urgency=pb.URGENCY_CRITICAL, cause=pb.CAUSE_PREDICT, need_bytes=need,
                      usable_bytes=self.figures["usable_bytes"],
                      memory_available_bytes=self.figures["memory_available_bytes"],
                      time_to_exhaustion_usec=1_000_000, fall_bytes_per_sec=100 * MIB, plug_budget_bytes=1024 * MIB)
        self.send("alarm", **{**values, **fields})

    def now_usec(self) -> int:
        return time.monotonic_ns() // 1000 + self.clock_offset

    def all_of(self, body: str) -> list[Any]:
        return [getattr(message, body) for _, message in self.received if message.WhichOneof("body") == body]

    def wait_for(self, body: str, n: int = 1, timeout: float = 10.0) -> Any:
        """The n-th message of this kind since the start."""
        with self._condition:
            if not self._condition.wait_for(lambda: len(self.all_of(body)) >= n, PATIENCE * timeout):
                raise AssertionError(f"no {body} number {n} within {PATIENCE * timeout} s")
            return self.all_of(body)[n - 1]

    def wait_session(self, timeout: float = 10.0) -> None:
        with self._condition:
            if not self._condition.wait_for(lambda: self.session != 0, PATIENCE * timeout):
                raise AssertionError("no session")

    # -- the port --------------------------------------------------------------------------------

    def _serve(self) -> None:
        while not self._stop:
            try:
                client, _ = self._server.accept()
            except TimeoutError:
                continue
            self.connections += 1
            self._client = client
            try:
                self._read(client)
            except OSError:
                pass
            self._client = None
            with self._condition:
                self.session = 0
            client.close()

    def _read(self, client: socket.socket) -> None:
        reader = Reader()
        client.settimeout(0.05)
        while not self._stop:
            try:
                data = client.recv(65536)
            except TimeoutError:
                continue
            if not data:
                return
            for message in reader.feed(data):
                self._take(message)

    def _take(self, message: Any) -> None:
        body = message.WhichOneof("body")
        if body == "ping" and message.session == 0 and self.shakes_hands:
            self.hello()
        with self._condition:
            if body == "welcome":
                self.session, self.sequence = message.welcome.session, 0
            self.received.append((time.monotonic(), message))
            self._condition.notify_all()
        self.on_message(body, getattr(message, body))


def report(total: int, available: int, demand: int | None = None, **fields: Any) -> dict[str, Any]:
    """The fields of a Report of a guest that has total and uses all but available."""
    demand = total if demand is None else demand
    return dict(memory_total_bytes=total, memory_available_bytes=available, memory_free_bytes=available,
                file_cache_bytes=0, swap_total_bytes=0, swap_free_bytes=0, balloon_bytes=0, usable_bytes=total,
                used_bytes=total - available, reserve_bytes=64 * MIB, demand_bytes=demand, need_bytes=demand - total,
                floor_bytes=total - available, time_to_exhaustion_usec=0, fall_bytes_per_sec=0,
                urgency=pb.URGENCY_NONE, cause=pb.CAUSE_NONE, kernel_zone=False, psi_some_usec=0, psi_full_usec=0,
                oom_kills=0, blocks_online=4, blocks_offline=0, plug_budget_bytes=1024 * MIB,
                interval_usec=1_000_000, frames_dropped=0) | fields
