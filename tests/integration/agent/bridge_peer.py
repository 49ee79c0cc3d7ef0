# SPDX-License-Identifier: Apache-2.0
"""A bridge as the agent's port shows it, scripted: a Unix socket that stands for the port."""
from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from memtide_wire import Reader, envelope, frame
from tests.guest.wait import PATIENCE

DEADLINE_S = 10.0


class BridgePeer:
    """Takes the agent's connection; shakes hands by itself unless told not to. Everything else is the test's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.session = 0
        self.sequence = 0
        self.received: list[tuple[float, Any]] = []  # (time, envelope)
        self.bytes_seen = b""                        # of the present connection
        self.shakes_hands = True
        self.minor = 1
        self.reads = True
        self.greeting = b""                          # sent at once on each connection
        self.interval_usec = 200_000
        self.connections = 0
        self.reader = Reader()
        self._client: socket.socket | None = None
        self._condition = threading.Condition()
        self._stop = False
        self._server: socket.socket | None = None
        self.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    # -- what a test does ------------------------------------------------------------------------

    def listen(self) -> None:
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(self.path))
        server.listen(8)
        server.settimeout(0.05)
        self._server = server

    def go_away(self) -> None:
        """No socket at the path, as when QEMU is gone."""
        server, self._server = self._server, None
        if server:
            server.close()
        self.path.unlink(missing_ok=True)
        self.disconnect()

    def close(self) -> None:
        self._stop = True
        self.go_away()
        self._thread.join()

    def disconnect(self) -> None:
        if client := self._client:
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def send_raw(self, data: bytes) -> None:
        assert self._client, "nobody is connected"
        self._client.sendall(data)

    def frame(self, body: str, *, session: int | None = None, sequence: int | None = None, **fields: Any) -> bytes:
        if sequence is None:
            self.sequence += 1
            sequence = self.sequence
        session = self.session if session is None else session
        return frame(envelope(body, fields, session=session, sequence=sequence,
                              monotonic_usec=self.now_usec()).SerializeToString())

    def send(self, body: str, **fields: Any) -> None:
        self.send_raw(self.frame(body, **fields))

    def ping(self, number: int, **fields: Any) -> None:
        self.send("ping", id=number, deadline_usec=self.now_usec() + 5_000_000, **fields)

    @staticmethod
    def now_usec() -> int:
        """The guest's clock is this machine's."""
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000

    def mark(self) -> int:
        """A place in what was received, to wait from."""
        with self._condition:
            return len(self.received)

    def all(self, body: str, since: int = 0) -> list[Any]:
        with self._condition:
            return [getattr(m, body) for _, m in self.received[since:] if m.WhichOneof("body") == body]

    def wait(self, body: str, since: int = 0, seconds: float = DEADLINE_S,
             accept: Callable[[Any], bool] = lambda message: True) -> Any:
        """The first message of this kind since the mark that is accepted."""
        end = time.monotonic() + PATIENCE * seconds
        with self._condition:
            while True:
                for _, message in self.received[since:]:
                    if message.WhichOneof("body") == body and accept(getattr(message, body)):
                        return getattr(message, body)
                left = end - time.monotonic()
                if left <= 0:
                    kinds = [m.WhichOneof("body") for _, m in self.received[since:]]
                    raise AssertionError(f"no {body} in {PATIENCE * seconds} s, but {kinds[-20:]}")
                self._condition.wait(left)

    def open(self) -> None:
        """Waits until the session works both ways."""
        self.wait("report")

    # -- the thread --------------------------------------------------------------------------------

    def _serve(self) -> None:
        while not self._stop:
            server = self._server
            if server is None:
                time.sleep(0.02)
                continue
            try:
                self._client, _ = server.accept()
            except OSError:
                continue
            self.connections += 1
            self.bytes_seen = b""
            self.reader = Reader()
            with self._client:
                self._client.settimeout(0.05)
                if self.greeting:
                    self._client.sendall(self.greeting)
                self._talk(self._client)
            self._client = None

    def _talk(self, client: socket.socket) -> None:
        while not self._stop:
            if not self.reads:
                time.sleep(0.02)
                continue
            try:
                data = client.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                return
            if not data:
                return
            self.bytes_seen += data
            for message in self.reader.feed(data):
                if message.WhichOneof("body") == "hello" and self.shakes_hands:
                    try:
                        self.welcome(message.hello)
                    except OSError:  # the test has closed it meanwhile
                        return
                with self._condition:
                    self.received.append((time.monotonic(), message))
                    self._condition.notify_all()

    def welcome(self, hello: Any, **fields: Any) -> None:
        self.session = fields.pop("id", self.session + 1)
        self.sequence = 0
        values = dict(session=self.session, minor=min(hello.minor, self.minor), handshake_nonce=hello.handshake_nonce, bridge_version="test",
                      report_interval_usec=self.interval_usec)
        self.send_raw(frame(envelope("welcome", {**values, **fields}, session=0, sequence=1,
                                     monotonic_usec=self.now_usec()).SerializeToString()))
