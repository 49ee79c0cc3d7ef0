# SPDX-License-Identifier: Apache-2.0
"""The host's end of a guest's port, played by a test: says Welcome, and keeps what comes with the time it came.

It asks QEMU for nothing, so that a guest can be watched that is not grown. What it reads is the schema by Google's
protobuf, which owes nothing to the code under test.
"""
from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.guest.unix import connect
from tests.guest.wait import wait_for

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Frame:
    """One message of the guest."""

    at: float        # time.monotonic() of its arrival
    n_bytes: int     # on the wire
    guest_usec: int  # the guest's CLOCK_MONOTONIC when it was sent
    body: str        # hello, report, alarm, ...
    message: Any     # of that kind, from memtide_pb2


class Host:
    """Use as a context manager, as the only client of the channel. `build` has the generated memtide_pb2."""

    def __init__(self, channel: Path, build: Path, report_interval_usec: int = 200_000) -> None:
        for folder in (ROOT / "tests/unit/proto", build / "tests/unit/proto"):
            if str(folder) not in sys.path:
                sys.path.append(str(folder))
        import memtide_wire  # pylint: disable=import-outside-toplevel
        self._wire = memtide_wire
        self._interval_usec = report_interval_usec
        self._frames: list[Frame] = []
        self._changed = threading.Condition()
        self._stop = False
        self._session = self._sequence = 0
        self._socket = connect(channel, 10)
        self._socket.settimeout(0.2)
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Host:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._stop = True
        self._thread.join()
        self._socket.close()

    @property
    def frames(self) -> list[Frame]:
        """All so far, oldest first."""
        with self._changed:
            return list(self._frames)

    def of(self, body: str, since: float = 0.0) -> list[Frame]:
        """Those of one kind that came after a time.monotonic()."""
        return [frame for frame in self.frames if frame.body == body and frame.at > since]

    def wait(self, body: str, timeout: float, since: float = 0.0,
             matches: Callable[[Any], bool] = lambda message: True) -> Frame:
        """The first message of this kind after `since` that matches."""
        def look() -> Frame | None:
            return next((frame for frame in self.of(body, since) if matches(frame.message)), None)
        found = wait_for(f"a matching {body} of the guest", look, timeout, interval=0.02)
        assert found
        return found

    def send(self, body: str, **fields: Any) -> None:
        """A message in the present session."""
        self._sequence += 1
        self._send(body, fields, session=self._session, sequence=self._sequence)

    # -- the thread ------------------------------------------------------------------------------

    def _send(self, body: str, fields: dict[str, Any], session: int, sequence: int) -> None:
        envelope = self._wire.envelope(body, fields, session=session, sequence=sequence, monotonic_usec=1)
        self._socket.sendall(self._wire.frame(envelope.SerializeToString()))

    def _read(self) -> None:
        rest = b""
        while not self._stop:
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                continue
            if not data:
                return
            at = time.monotonic()
            *encoded, rest = (rest + data).split(b"\0")
            for piece in filter(None, encoded):
                self._take(at, piece)

    def _take(self, at: float, encoded: bytes) -> None:
        try:
            envelope = self._wire.parse(self._wire.unframe(encoded))
        except ValueError:
            return  # the rest of what was sent before we were there
        body = envelope.WhichOneof("body")
        if body == "hello":
            self._session, self._sequence = self._session + 1, 0
            self._send("welcome", {"session": self._session, "handshake_nonce": envelope.hello.handshake_nonce,
                                   "bridge_version": "test", "report_interval_usec": self._interval_usec}, 0, 1)
        with self._changed:
            self._frames.append(Frame(at, len(encoded) + 1, envelope.monotonic_usec, body, getattr(envelope, body)))
