# SPDX-License-Identifier: Apache-2.0
"""The part of a service manager that keeps descriptors of a service over its restart: $NOTIFY_SOCKET and $LISTEN_FDS."""
from __future__ import annotations

import os
import select
import socket
import sys
import threading
from pathlib import Path

# Descriptors begin at 3, and the process must know that they are meant for it. What is at hand may be in the way.
LAUNCHER = """
import fcntl, os, sys
n, program = int(sys.argv[1]), sys.argv[3:]
given = [int(fd) for fd in sys.argv[2].split(",") if fd]
moved = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in given]
for fd in given:
    os.close(fd)
for number, fd in enumerate(moved):
    os.dup2(fd, 3 + number)
    os.close(fd)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(program[0], program)
"""


class Manager:
    """Keeps what it is given under its name until that hangs up, or is to be removed."""

    def __init__(self, path: Path) -> None:
        self.kept: list[tuple[str, int]] = []
        self.words: list[str] = []
        self._path = path
        self._lock = threading.Lock()
        self._stop = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(0.05)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop = True
        self._thread.join()
        self._socket.close()
        for _, fd in self.kept:
            os.close(fd)

    def names(self) -> list[str]:
        self._drop_hung_up()
        with self._lock:
            return sorted(name for name, _ in self.kept)

    def hand_over(self, name: str, fd: int) -> None:
        """As if an earlier run had stored it. Takes over fd."""
        with self._lock:
            self.kept.append((name, fd))

    def launcher(self) -> list[str]:
        """What goes before a command so that it gets all that is kept."""
        fds = ",".join(str(fd) for _, fd in self.kept)
        return [sys.executable, "-c", LAUNCHER, str(len(self.kept)), fds]

    def environment(self) -> dict[str, str]:
        handed_over = {"LISTEN_FDS": str(len(self.kept)), "LISTEN_FDNAMES": ":".join(name for name, _ in self.kept)}
        return {"NOTIFY_SOCKET": str(self._path), **(handed_over if self.kept else {})}

    @property
    def fds(self) -> tuple[int, ...]:
        return tuple(fd for _, fd in self.kept)

    def _serve(self) -> None:
        while not self._stop:
            try:
                data, fds, _, _ = socket.recv_fds(self._socket, 4096, 4)
            except TimeoutError:
                continue
            text = data.decode()
            fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
            with self._lock:
                self.words.append(text)
                if fields.get("FDSTOREREMOVE") == "1":
                    self._drop(lambda name, fd: name == fields["FDNAME"])
                elif fields.get("FDSTORE") == "1":
                    self.kept += [(fields["FDNAME"], fd) for fd in fds]

    def _drop_hung_up(self) -> None:
        with self._lock:
            poll = select.poll()
            for _, fd in self.kept:
                poll.register(fd, 0)
            gone = {fd for fd, events in poll.poll(0) if events & (select.POLLHUP | select.POLLERR)}
            self._drop(lambda name, fd: fd in gone)

    def _drop(self, condition: object) -> None:
        assert callable(condition)
        for name, fd in list(self.kept):
            if condition(name, fd):
                self.kept.remove((name, fd))
                os.close(fd)
