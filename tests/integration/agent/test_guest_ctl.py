# SPDX-License-Identifier: Apache-2.0
"""memtidectl inside of a guest: what the agent says of it, and commands at events."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import BUILD
from tests.guest.wait import PATIENCE

MIB = 1 << 20
PROGRAM = BUILD / "host-bridge" / "memtidectl"
# Writes what it was told, and takes its time.
SCRIPT = 'sleep "$1"; echo "$MEMTIDE_EVENT $MEMTIDE_BYTES $MEMTIDE_ID $MEMTIDE_LEVEL" >>"$0"; exit "${2:-0}"'


def command(guest, *words: str) -> list[str]:
    return [str(PROGRAM), "--guest", f"--socket={guest.machine.path}/run/memtide/agent.sock", *words]


def ctl(guest, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(guest, *words), capture_output=True, text=True, timeout=20, check=False)


def status(guest) -> dict:
    done = ctl(guest, "status", "--json", "-n", "32")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def grow(guest, number: int, size: int) -> None:
    guest.bridge.send("grow_notice", id=number, bytes=size, deadline_usec=guest.bridge.now_usec() + 5_000_000)
    time.sleep(0.1)
    guest.machine.plug(size)
    guest.bridge.wait("resize_confirm", accept=lambda c: c.id == number and c.delta_bytes == size)


class Watcher:
    """memtidectl on EVENT, running SCRIPT."""

    def __init__(self, guest, event: str, *options: str, seconds: float = 0, code: int = 0) -> None:
        self.file: Path = guest.folder / "told"
        self.process = subprocess.Popen(command(guest, *options, "on", event, "--", "sh", "-c", SCRIPT, str(self.file),
                                                str(seconds), str(code)), stderr=subprocess.PIPE, text=True)
        time.sleep(0.4)  # it listens

    def lines(self) -> list[str]:
        return self.file.read_text(encoding="ascii").splitlines() if self.file.exists() else []

    def wait(self, *lines: str, seconds: float = 5) -> None:
        end = time.monotonic() + PATIENCE * seconds
        while self.lines() != list(lines):
            assert time.monotonic() < end, f"{self.lines()} instead of {lines}"
            time.sleep(0.02)

    def end(self) -> tuple[int, str]:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=10)
        return self.process.returncode, errors


def test_status_tells_who_asked_and_why(guest):
    guest.start(free=600 * MIB)
    before = status(guest)
    assert before["session"] == "open" and before["asked_by"] == "nobody" and before["bridge_version"] == "test"
    assert before["usable_bytes"] == guest.bridge.wait("report").usable_bytes
    assert [e["what"] for e in before["events"]][-1] == "session-opened"
    grow(guest, 3, 128 * MIB)
    after = status(guest)
    assert (after["asked_by"], after["asked_id"], after["asked_bytes"]) == ("guest", 3, 128 * MIB)
    assert [(e["what"], e["bytes"], e["id"]) for e in after["events"][:2]] == [
        ("grown", 128 * MIB, 3), ("grow-notice", 128 * MIB, 3)]
    assert after["usable_bytes"] == before["usable_bytes"] + 128 * MIB
    assert "balloon_target_bytes" not in after
    text = ctl(guest, "status").stdout
    for words in ("in session with its host", "grow by 128M", "asked by the guest", "grown", "offline"):
        assert words in text, text


def test_status_tells_of_a_shrink_and_its_balloon(guest):
    guest.start(free=600 * MIB)
    time.sleep(0.8)
    balloon = status(guest)["balloon_bytes"]
    guest.bridge.send("shrink_request", id=9, step=1, bytes=64 * MIB, remaining_bytes=64 * MIB, last=True, balloon=True,
                      deadline_usec=guest.bridge.now_usec() + 3_000_000)
    guest.bridge.wait("shrink_offer")
    after = status(guest)
    assert (after["asked_by"], after["asked_why"], after["asked_bytes"]) == ("host", "host", 64 * MIB)
    assert after["balloon_target_bytes"] == balloon + 64 * MIB
    assert "shrink-prepare" in [e["what"] for e in after["events"]]


def test_a_refused_shrink_is_no_announcement(guest):
    guest.start(available=420 * MIB, free=400 * MIB)
    time.sleep(0.8)
    watcher = Watcher(guest, "shrink-prepare")
    guest.bridge.send("shrink_request", id=9, step=1, bytes=400 * MIB, remaining_bytes=400 * MIB, last=True,
                      deadline_usec=guest.bridge.now_usec() + 3_000_000)
    guest.bridge.wait("shrink_offer")
    time.sleep(0.2)
    assert status(guest)["events"][0]["what"] == "shrink-refused"
    assert status(guest)["asked_by"] == "nobody"
    assert watcher.lines() == [] and watcher.end()[0] == 0


def test_a_command_runs_at_each_event(guest):
    guest.start(free=600 * MIB)
    watcher = Watcher(guest, "grown")
    grow(guest, 3, 128 * MIB)
    watcher.wait(f"grown {128 * MIB} 3 0")
    grow(guest, 4, 64 * MIB)
    watcher.wait(f"grown {128 * MIB} 3 0", f"grown {64 * MIB} 4 0")
    assert watcher.end() == (0, "")


def test_one_command_at_a_time_and_the_latest_wins(guest):
    guest.start(free=600 * MIB)
    watcher = Watcher(guest, "grown", seconds=1.5)
    for number in (3, 4, 5):
        grow(guest, number, 64 * MIB)
    watcher.wait(f"grown {64 * MIB} 3 0", f"grown {64 * MIB} 5 0", seconds=10)
    assert watcher.end() == (0, "")


@pytest.mark.parametrize("code", [0, 3])
def test_once(guest, code):
    guest.start(free=600 * MIB)
    watcher = Watcher(guest, "grown", "--once", code=code)
    grow(guest, 3, 128 * MIB)
    watcher.process.wait(timeout=5)
    assert watcher.lines() == [f"grown {128 * MIB} 3 0"]
    assert watcher.end() == ((1, "memtidectl: sh ended with 3\n") if code else (0, ""))


def test_low_memory(guest):
    guest.start(free=600 * MIB)
    watcher = Watcher(guest, "low-memory")
    for _ in range(50):
        guest.machine.use(min(16 * MIB, guest.machine.available - 4 * MIB))
        time.sleep(0.03)
    guest.bridge.wait("alarm")
    time.sleep(0.5)
    levels = [int(line.split()[3]) for line in watcher.lines()]
    assert levels and levels == sorted(levels) and levels[-1] == 255
    assert watcher.end()[0] == 0


def test_an_agent_that_goes_ends_the_watch(guest):
    guest.start()
    watcher = Watcher(guest, "grown")
    guest.stop()
    watcher.process.wait(timeout=5)
    assert watcher.end() == (1, "memtidectl: the agent has gone\n")


def test_what_cannot_be_run_is_said(guest):
    guest.start(free=600 * MIB)
    process = subprocess.Popen(command(guest, "--once", "on", "grown", "--", "/no/such/program"),
                               stderr=subprocess.PIPE, text=True)
    time.sleep(0.4)
    grow(guest, 3, 64 * MIB)
    _, errors = process.communicate(timeout=5)
    assert process.returncode == 1 and "/no/such/program: No such file" in errors


@pytest.mark.parametrize("words, complaint", [
    (["on", "noon", "--", "true"], "an event is shrink-prepare, grown or low-memory"),
    (["on", "grown"], "a command"),
    (["list"], "no such verb in a guest: list"),
    (["status", "vm"], "too many arguments"),
])
def test_wrong_usage(words, complaint):
    done = subprocess.run([PROGRAM, "--guest", *words], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2 and complaint in done.stderr


def test_only_root_may_connect(guest):
    guest.start()
    path = guest.machine.path / "run/memtide/agent.sock"
    assert path.stat().st_mode & 0o777 == 0o600
    guest.stop()
    assert not os.path.lexists(path)
