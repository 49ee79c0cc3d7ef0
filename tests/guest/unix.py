# SPDX-License-Identifier: Apache-2.0
"""Connecting to the sockets of a process that has only just been started."""
from __future__ import annotations

import socket
import time
from pathlib import Path


def connect(path: Path, timeout: float) -> socket.socket:
    """Connect to a server that may make its socket a moment after its start: try until the deadline."""
    deadline = time.monotonic() + timeout
    while True:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            client.connect(str(path))
            return client
        except OSError as error:
            client.close()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path}: {error}") from None
            time.sleep(0.02)
