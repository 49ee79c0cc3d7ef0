# SPDX-License-Identifier: Apache-2.0
"""Shell commands in the guest over a virtio-serial port; init.sh's obey() is the other end.

A line "ID COMMAND" goes in; "@< ID", the output and "@> ID EXITCODE" come back. The id lets a caller
that gave up on one command still understand the answer to the next.
"""
from __future__ import annotations

import re
import socket
import time
from pathlib import Path

from tests.guest.unix import connect


class ControlError(Exception):
    """The guest did not answer, or the command failed where it must not."""


class Control:
    def __init__(self, path: Path, timeout: float = 10.0) -> None:
        self._socket: socket.socket = connect(path, timeout)
        self._buffer = b""
        self._next_id = 0

    def run(self, command: str, timeout: float = 15.0) -> tuple[int, str]:
        """(exit code, output) of a shell command in the guest."""
        if "\n" in command:
            raise ValueError("one line per command")
        self._next_id += 1
        self._socket.sendall(f"{self._next_id} {command}\n".encode())
        pattern = re.compile(rb"@< %d\r?\n(.*?)@> %d (\d+)\r?\n" % (self._next_id, self._next_id), re.DOTALL)
        deadline = time.monotonic() + timeout
        while (found := pattern.search(self._buffer)) is None:
            self._fill(deadline, command)
        self._buffer = self._buffer[found.end():]
        return int(found.group(2)), found.group(1).decode(errors="replace").replace("\r\n", "\n")

    def check(self, command: str, timeout: float = 15.0) -> str:
        """The output of a command that must succeed."""
        code, output = self.run(command, timeout)
        if code != 0:
            raise ControlError(f"'{command}' exited with {code}: {output.strip()}")
        return output

    def close(self) -> None:
        self._socket.close()

    def _fill(self, deadline: float, command: str) -> None:
        self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            raise ControlError(f"the guest did not answer to '{command}' in time") from None
        if not data:
            raise ControlError(f"the guest is gone (while waiting for '{command}')")
        self._buffer += data
