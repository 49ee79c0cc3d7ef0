# SPDX-License-Identifier: Apache-2.0
"""The host's end of a real guest's port, for what a bridge would never say: shakes hands by itself, the rest is the test's."""
from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.guest.guest import Guest
from tests.guest.unix import connect
from tests.guest.wait import PATIENCE

ROOT = Path(__file__).resolve().parents[2]


class HostPeer:
    """No thread: frames are read while a test waits for one."""

    def __init__(self, guest: Guest, build: Path) -> None:
        for folder in (ROOT / "tests/unit/proto", build / "tests/unit/proto"):
            if str(folder) not in sys.path:
                sys.path.append(str(folder))
        import memtide_wire  # pylint: disable=import-outside-toplevel
        self.pb = memtide_wire.memtide_pb2
        self.received: list[Any] = []  # envelopes, since the session is open
        self._wire = memtide_wire
        self._reader = memtide_wire.Reader()
        self._session = 0
        self._sequence = 0
        self._clock: tuple[int, float] = (0, 0.0)  # the guest's, and ours when it was read
        self._socket = connect(guest.paths.channel, 10)
        self.wait("report", 10)

    def send(self, body: str, seconds: float = 5, **fields: Any) -> None:
        """A command; its deadline is in so many seconds by the guest's clock."""
        guest_usec, ours = self._clock
        deadline = guest_usec + int((time.monotonic() - ours + seconds) * 1e6)
        self._sequence += 1
        self._send(body, {**fields, "deadline_usec": deadline}, self._session, self._sequence)

    def wait(self, body: str, seconds: float, accept: Callable[[Any], bool] = lambda message: True) -> Any:
        """The first message of that kind that is accepted and was not there before."""
        deadline = time.monotonic() + PATIENCE * seconds
        while True:
            for message in self._read(deadline):
                if message.WhichOneof("body") == body and accept(getattr(message, body)):
                    return getattr(message, body)
            assert time.monotonic() < deadline, \
                f"no {body} in {PATIENCE * seconds} s, but {[m.WhichOneof('body') for m in self.received[-20:]]}"

    def all(self, body: str) -> list[Any]:
        return [getattr(m, body) for m in self.received if m.WhichOneof("body") == body]

    def close(self) -> None:
        self._socket.close()

    def _read(self, deadline: float) -> list[Any]:
        self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            return []
        messages = list(self._reader.feed(data))
        for message in messages:
            self._clock = (message.monotonic_usec, time.monotonic())
            if message.WhichOneof("body") == "hello":
                self._session += 1
                self._sequence = 0
                self._send("welcome", {"session": self._session, "handshake_nonce": message.hello.handshake_nonce,
                                       "bridge_version": "test", "report_interval_usec": 200_000}, 0, 1)
        self.received += messages
        return messages

    def _send(self, body: str, fields: dict[str, Any], session: int, sequence: int) -> None:
        envelope = self._wire.envelope(body, fields, session=session, sequence=sequence, monotonic_usec=1)
        self._socket.sendall(self._wire.frame(envelope.SerializeToString()))
