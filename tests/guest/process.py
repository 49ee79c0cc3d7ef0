# SPDX-License-Identifier: Apache-2.0
"""Child processes that never outlive us: own group, killed by pid, and by the kernel if we die first."""
from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_running: list[subprocess.Popen[bytes]] = []


def _die_with_parent() -> None:
    """Runs in the child between fork and exec. The kernel ties this to the *thread* that forked, which is
    why start() must be called from the main thread."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def start(command: Sequence[str | Path], log: Path, env: dict[str, str] | None = None,
          fds: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """Start a child whose stdout and stderr go to the end of `log`."""
    with open(log, "ab") as output:
        child = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=output,
                                 stderr=output, start_new_session=True, env=env, pass_fds=fds,
                                 preexec_fn=_die_with_parent)
    _running.append(child)
    return child


def stop(child: subprocess.Popen[bytes], grace_s: float = 0.0) -> None:
    """End a child; with a grace it gets SIGTERM first. A second stop() does nothing."""
    if child in _running:
        _running.remove(child)
    if child.poll() is None and grace_s > 0:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(grace_s)
    if child.poll() is None:
        child.kill()
    child.wait()


def stop_all() -> None:
    for child in list(_running):
        stop(child)


def stop_on_signals() -> None:
    """SIGTERM and SIGHUP end the program the ordinary way, so that every cleanup runs, as Ctrl-C does; and
    Ctrl-C does so also where a shell started us in the background with SIGINT ignored."""
    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def resident_bytes(pid: int) -> int:
    """Resident memory of a process: what the host really spends on a guest. 0 when it is gone."""
    return _status_kib(pid, "VmRSS:") * 1024


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _status_kib(pid: int, key: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(key)), 0)


atexit.register(stop_all)
