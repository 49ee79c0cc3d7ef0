# SPDX-License-Identifier: Apache-2.0
"""What the journal gets: entries that a machine knows by their MESSAGE_ID, with the fields that their catalog entry speaks of.

The journal is a socket of this test, in a mount namespace of the agent's own.
"""
from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from guest_process import Guest
from test_resize import MIB, settle, shrink
from tests.guest.wait import wait_for

ROOT = Path(__file__).resolve().parents[3]
PLACE = 'mount -t tmpfs none /run && mkdir -p /run/systemd/journal && mount --bind "$0" /run/systemd/journal && exec "$@"'

Entry = dict[str, str]


def catalog() -> dict[str, set[str]]:
    """The fields that each entry of the catalog has in its words."""
    text = (ROOT / "packaging/memtide.catalog").read_text(encoding="ascii")
    return {words[:32]: set(re.findall(r"@(\w+)@", words)) for words in re.split(r"^-- ", text, flags=re.M)[1:]}


NAMES = {text: name for name, text in re.findall(r'MESSAGE_ID_(\w+) +"(\w{32})"',
                                                (ROOT / "agent/messages.h").read_text(encoding="ascii"))}


class Journal:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "journal"
        self.folder.mkdir()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(str(self.folder / "socket"))
        self.entries: list[Entry] = []

    def take(self) -> list[Entry]:
        while True:
            try:
                text = self.socket.recv(65536).decode()
            except BlockingIOError:
                return self.entries
            self.entries.append(dict(line.split("=", 1) for line in text.splitlines()))

    def of(self, name: str) -> list[Entry]:
        return [entry for entry in self.take() if NAMES.get(entry.get("MESSAGE_ID", "")) == name]

    def wait(self, name: str) -> Entry:
        wait_for(f"{name} in the journal", lambda: self.of(name), 5)
        return self.of(name)[-1]


@pytest.fixture
def journal(guest: Guest, folder: Path) -> Iterator[Journal]:
    if os.geteuid() != 0:
        pytest.skip("a mount namespace takes root")
    journal = Journal(folder)
    guest.prefix = ["unshare", "-m", "sh", "-c", PLACE, journal.folder]
    yield journal
    journal.socket.close()


def test_events_have_their_ids_and_fields(guest: Guest, journal: Journal) -> None:
    guest.start("--log-target=journal")
    assert journal.wait("STARTED")["TOTAL_BYTES"].isdigit()
    assert journal.wait("SESSION_OPEN")["SESSION"] != "0"
    for text, name in ("Floor=lots", "RELOAD_REFUSED"), ("HoldAfterRefusal=1s\nShrinkMargin=64M", "RELOADED"):
        guest.config.write_text(f"[Agent]\n{text}\n", encoding="ascii")
        guest.process.send_signal(signal.SIGHUP)
        journal.wait(name)

    guest.bridge.send("grow_notice", id=3, bytes=128 * MIB, deadline_usec=guest.bridge.now_usec() + 5_000_000)
    time.sleep(0.1)
    guest.machine.plug(128 * MIB)
    assert journal.wait("GROWN").items() >= {"GROW_ID": "3", "BYTES": str(128 * MIB), "PROMISED_BYTES": str(128 * MIB)}.items()

    settle(guest)
    shrink(guest, number=9)
    assert journal.wait("SHRINK_BEGUN")["WANTED_BYTES"] == str(64 * MIB)
    assert journal.wait("SHRINK_OFFERED")["OFFERED_BYTES"] == str(64 * MIB)
    shrink(guest, number=10, size=1 << 40)
    assert journal.wait("SHRINK_REFUSED")["SHRINK_ID"] == "10"
    guest.bridge.close()
    journal.wait("SESSION_OVER")
    journal.wait("PORT_LOST")

    fields = catalog()
    for entry in journal.take():
        if "MESSAGE_ID" in entry:
            assert fields[entry["MESSAGE_ID"]] <= entry.keys(), entry
        else:  # what is noteworthy has an id, but for a wrong line of a file, which is named before its refusal
            assert int(entry["PRIORITY"]) > 5 or entry["MESSAGE"].startswith(f"{guest.config}:"), entry


def test_an_inert_agent_says_so_by_id(guest: Guest, journal: Journal, folder: Path) -> None:
    guest.port = folder / "nowhere"
    guest.start("--log-target=journal", wait=False)
    assert guest.process.wait(timeout=10) == 3
    guest.process = None
    assert journal.wait("INERT")["PORT"] == str(folder / "nowhere")
