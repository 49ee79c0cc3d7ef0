# SPDX-License-Identifier: Apache-2.0
"""A small blocking QMP client: every call has a deadline, events are kept in a list.

It speaks on a monitor of its own, beside the bridge's, so that a test can ask QEMU what is true without
disturbing what it tests. It is written apart from the bridge's client on purpose.
"""
from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.guest.unix import connect


class QmpError(Exception):
    """QEMU refused a command, closed the monitor, or did not answer in time."""


class QmpClient:
    def __init__(self, path: Path, timeout: float = 10.0) -> None:
        self.events: list[dict[str, Any]] = []
        self._buffer = b""
        self._next_id = 0
        self._socket = connect(path, timeout)
        deadline = time.monotonic() + timeout
        # A monitor serves one client: a second one connects but is never greeted.
        if "QMP" not in self._receive(deadline):
            raise QmpError(f"{path}: no QMP greeting")
        self.command("qmp_capabilities", timeout=timeout)

    def command(self, execute: str, timeout: float = 10.0, **arguments: Any) -> Any:
        """Run a command and return its value. Underscores in argument names stand for dashes."""
        self._next_id += 1
        request = {"execute": execute, "id": self._next_id,
                   "arguments": {name.replace("_", "-"): value for name, value in arguments.items()}}
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        deadline = time.monotonic() + timeout
        while True:
            message = self._receive(deadline)
            if message.get("id") != self._next_id:
                continue  # the answer to a command that timed out
            if "error" in message:
                raise QmpError(f"{execute}: {message['error'].get('desc')}")
            return message["return"]

    def wait_event(self, name: str, timeout: float,
                   matches: Callable[[dict[str, Any]], bool] = lambda data: True) -> dict[str, Any]:
        """The data of the next event of that name that matches; earlier ones in self.events count."""
        deadline = time.monotonic() + timeout
        seen = 0
        while True:
            for event in self.events[seen:]:
                if event["event"] == name and matches(event.get("data", {})):
                    return dict(event.get("data", {}))
            seen = len(self.events)
            self._receive(deadline, until_event=True)

    def close(self) -> None:
        self._socket.close()

    def _receive(self, deadline: float, until_event: bool = False) -> dict[str, Any]:
        """The next message; events are put aside on the way (and end the wait if asked)."""
        while True:
            line, newline, rest = self._buffer.partition(b"\n")
            if newline:
                self._buffer = rest
                message: dict[str, Any] = json.loads(line)
                if "event" not in message:
                    return message
                self.events.append(message)
                if until_event:
                    return message
                continue
            self._buffer += self._read_some(deadline)

    def _read_some(self, deadline: float) -> bytes:
        self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            raise QmpError("QEMU's monitor did not answer in time") from None
        if not data:
            raise QmpError("QEMU closed the monitor")
        return data
