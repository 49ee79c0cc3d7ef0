# SPDX-License-Identifier: Apache-2.0
"""The audit of a running bridge: what a restart leaves of it, what a bad disk costs, and the running configuration."""
from __future__ import annotations

import signal
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from qmp_peer import MIB
from world import World


def audit(world: World) -> Path:
    return world.runtime / "audit.sqlite"


def history(world: World, *words: str) -> list[dict[str, Any]]:
    return list(world.ctl("history", "a", *words)["decisions"])


def text(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([world.ctl_path, "--socket", world.runtime / "bridge.sock", *words], capture_output=True,
                          text=True, check=False, timeout=10)


def grow(world: World, n: int = 1) -> dict[str, Any]:
    world.vms["a"].agent.alarm(128 * MIB)
    return world.wait_closed(n=n)


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
def test_history_outlives_the_bridge(world: World, sig: signal.Signals) -> None:
    world.add()
    world.start().wait_managed()
    decision = grow(world)
    assert history(world) == [decision]
    world.stop(sig)
    if sig == signal.SIGKILL:
        (world.runtime / "bridge.sock").unlink()
    world.start().wait_managed()
    assert world.decisions() == [], "the new bridge has decided nothing"
    assert history(world) == [decision]
    again = grow(world)
    assert [d["id"] for d in history(world)] == [again["id"], decision["id"]]
    assert history(world, "-n", "1") == [again]


def test_the_table(world: World) -> None:
    world.add()
    world.start().wait_managed()
    assert "nothing has been decided" in text(world, "history", "a").stdout
    grow(world)
    head, line = text(world, "history", "a").stdout.splitlines()
    assert head.split()[:3] == ["WHEN", "KIND", "RULE"]
    assert line.split()[2:4] == ["grow", "grow-alarm"] and "128M" in line and world.decisions()[0]["result"] in line


def test_anybody_may_read_the_file_meanwhile(world: World) -> None:
    world.add()
    world.start().wait_managed()
    decision = grow(world)
    history(world)  # and so it is written
    with sqlite3.connect(f"file:{audit(world)}?mode=ro", uri=True) as db:
        rows = db.execute("SELECT id, vm, kind, result, confirmed_bytes FROM decisions").fetchall()
    db.close()
    assert rows == [(decision["id"], "a", "grow", "done", decision["confirmed_bytes"])]


def test_harm_is_in_the_record(world: World) -> None:
    """A guest whose programs were killed while we held its memory."""
    vm = world.add()
    vm.qmp.inflated = vm.qmp.inflate_to = 128 * MIB
    world.start().wait_managed()
    for kills in (5, 7):
        vm.refresh(available=100 * MIB, oom_kills=kills)
        vm.agent.report()
    decision = grow(world)
    assert decision["harm_kills"] == 2 and "harm_stalled_usec" in decision
    assert history(world) == [decision]


def test_a_locked_file_delays_no_grow(world: World) -> None:
    """As a disk that does not answer: the resize is as fast as ever, and the audit goes on once it does."""
    vm = world.add()
    world.start().wait_managed()
    world.wait(lambda: audit(world).exists() and history(world) == [], "the audit")
    db = sqlite3.connect(audit(world), isolation_level=None)
    db.execute("BEGIN EXCLUSIVE")
    for n in range(1, 4):
        begun, size = time.monotonic(), vm.qmp.size
        vm.agent.alarm(64 * MIB)
        world.wait(lambda: vm.qmp.size > size, "the memory")
        assert time.monotonic() - begun < 1.0, "the lock is waited for 2 s, in the audit's thread alone"
        world.wait_closed(n=n)
        time.sleep(0.6)  # the thread gathers for half a second
    db.execute("COMMIT")
    db.close()
    world.wait(lambda: text(world, "history", "a").returncode == 0, "the audit to work")
    assert grow(world, 4) == history(world)[0]


def test_a_damaged_file_is_put_aside(world: World) -> None:
    audit(world).write_bytes(b"this is no database" * 1000)
    world.add()
    world.start().wait_managed()
    decision = grow(world)
    assert history(world) == [decision]
    assert Path(f"{audit(world)}.corrupt").read_bytes().startswith(b"this is no database")
    assert world.log.read_text(encoding="utf-8").count("is damaged") == 1


def test_a_place_that_is_none_is_named_once(world: World) -> None:
    with world.config.open("a", encoding="utf-8") as config:
        config.write("[Audit]\nFile=/proc/nowhere/audit.sqlite\n")
    world.add()
    world.start().wait_managed()
    grow(world)
    grow(world, 2)
    done = text(world, "history", "a")
    assert done.returncode == 1 and "audit can not be read" in done.stderr
    assert world.log.read_text(encoding="utf-8").count("/proc/nowhere/audit.sqlite fails") == 1


def test_off(world: World) -> None:
    with world.config.open("a", encoding="utf-8") as config:
        config.write("[Audit]\nFile=off\n")
    world.start()
    done = text(world, "history", "a")
    assert done.returncode == 1 and "File=off" in done.stderr
    assert not audit(world).exists()


def test_cat_config(world: World) -> None:
    """The running bridge's, whatever the file says by now; the text is that of --dump-config."""
    dumped = subprocess.run([world.bridge_path, "--config", world.config, "--dump-config"], capture_output=True,
                            text=True, check=True, timeout=10).stdout
    world.start()
    world.config.write_text("[Host]\nBudget=1G\n", encoding="utf-8")
    assert text(world, "cat-config").stdout == dumped
    keys = {(key["section"], key["key"]): key for key in world.ctl("cat-config")["config"]}
    budget = keys["Host", "Budget"]
    assert budget["value"] == "8G" and budget["file"] == str(world.config) and budget["line"] == 3
    assert "file" not in keys["Host", "Reserve"] and keys["Host", "Reserve"]["value"] == "auto"
