# SPDX-License-Identifier: Apache-2.0
"""The process itself: options, configuration, its lock, its end, and which VMs it finds."""
from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from qmp_peer import MIB
from world import World


def run(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([world.bridge_path, "--log-target=stderr", *arguments], capture_output=True, text=True,
                          check=False, timeout=10)


def test_help_and_version(world: World) -> None:
    text = run(world, "--help")
    assert text.returncode == 0 and "--runtime-dir" in text.stdout
    assert run(world, "--version").stdout.startswith("memtide-bridge ")
    for arguments in (["--nonsense"], ["word"], ["--log-level=loud"], ["--log-target=moon"]):
        assert run(world, *arguments).returncode == 2, arguments


@pytest.mark.parametrize(("text", "words"), [
    ("[Shrink]\nPolicy=maybe\n", [":2:", "maybe", "idle"]),
    ("[Host]\nBudget=much\n", [":2:", "much", "auto"]),
    ("[Host]\n\nBudget=65T\n", [":3:", "65T"]),
    ("[Resize]\nSilence=0\n", [":2:", "0"]),
    ("[Bridge]\nReportInterval=1h\n", [":2:", "1h"]),
    ("nonsense\n", [":1:"]),
])
def test_wrong_value_stops_the_start(world: World, text: str, words: list[str]) -> None:
    world.config.write_text(text, encoding="utf-8")
    for arguments in ([], ["--check"]):
        done = run(world, "--config", str(world.config), "--runtime-dir", str(world.runtime), *arguments)
        assert done.returncode == 2
        assert all(word in done.stderr for word in [str(world.config), *words]), done.stderr


def test_unknown_key_warns(world: World) -> None:
    world.config.write_text("[Host]\nBugdet=8G\n", encoding="utf-8")
    done = run(world, "--config", str(world.config), "--check")
    assert done.returncode == 0 and f"{world.config}:2" in done.stderr and "Bugdet" in done.stderr


def test_dump_loads_to_the_same(world: World) -> None:
    first = run(world, "--config", str(world.config), "--dump-config")
    assert first.returncode == 0 and "Budget=8G" in first.stdout and "Policy=idle" in first.stdout
    world.config.write_text(first.stdout, encoding="utf-8")
    again = run(world, "--config", str(world.config), "--dump-config")
    assert [line.split("#")[0].strip() for line in again.stdout.splitlines() if "=" in line] == \
           [line.split("#")[0].strip() for line in first.stdout.splitlines() if "=" in line]


def policy(world: World, name: str, text: str) -> Path:
    folder = world.folder / "vm.d"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.conf").write_text(text, encoding="utf-8")
    return folder / f"{name}.conf"


@pytest.mark.parametrize("text", ["[VM]\nMax=lots\n", "[VM]\nMax=0\n", "[VM]\nMin=2G\nMax=1G\n", "[VM]\nMin=-1\n"])
def test_wrong_policy_stops_the_start(world: World, text: str) -> None:
    file = policy(world, "a", text)
    done = run(world, "--config", str(world.config), "--runtime-dir", str(world.runtime))
    assert done.returncode == 1 and str(file) in done.stderr
    assert run(world, "--config", str(world.config), "--check").returncode == 2


def test_second_bridge_is_refused(world: World) -> None:
    world.start()
    done = run(world, "--config", str(world.config), "--runtime-dir", str(world.runtime))
    assert done.returncode == 1
    assert world.process and f"process {world.process.pid}" in done.stderr
    world.stop(signal.SIGKILL)
    (world.runtime / "bridge.sock").unlink()
    world.start()  # a stale lock file means nothing


def test_observed_without_max(world: World) -> None:
    vm = world.add()
    world.start("--log-level=debug")
    vm.agent.wait_session()
    world.wait(lambda: world.status()["state"] == "observed", "it to be observed")
    vm.agent.alarm(256 * MIB)
    decision = world.wait_closed()
    assert decision["rule"] == "deny-observed" and vm.qmp.commands == []


def test_policy_bounds_growth(world: World) -> None:
    policy(world, "a", "[VM]\nMax=640M\n")
    vm = world.add()
    world.start("--log-level=debug").wait_managed()
    vm.agent.alarm(512 * MIB)
    assert world.wait_closed()["result"] == "done"
    assert vm.qmp.size == 128 * MIB


def test_policy_is_read_again(world: World) -> None:
    vm = world.add()
    policy(world, "other", "[VM]\n")
    world.start("--log-level=debug")
    vm.agent.wait_session()
    world.wait(lambda: world.status()["state"] == "observed", "it to be observed")
    policy(world, "a", "[VM]\nMax=device\n")
    world.wait_managed()
    policy(world, "a", "[VM]\nMax=wrong\n")
    time.sleep(0.3)
    assert world.status()["state"] == "managed", "a wrong file leaves everything as it was"


def test_paths_of_vm_d(world: World) -> None:
    vm = world.add("elsewhere")
    for kind in ("channel", "qmp"):
        os.rename(world.vms_dir / f"elsewhere.{kind}", world.folder / f"x.{kind}")
    policy(world, "a", f"[VM]\nChannel={world.folder}/x.channel\nQmp={world.folder}/x.qmp\nMax=device\n")
    world.start("--log-level=debug")
    vm.agent.wait_session()
    world.wait(lambda: world.status("a")["state"] == "managed", "it to be managed")


def test_names_and_files_that_are_none(world: World) -> None:
    world.add("good")
    (world.vms_dir / "file.channel").write_text("no socket", encoding="utf-8")
    os.symlink("/nonexistent", world.vms_dir / "dangling.qmp")
    sockets = []
    for name in ("a b.qmp", "-.channel.x", ".hidden.qmp", "\x1b[31m.qmp", "ü.qmp", "x" * 64 + ".qmp"):
        peer = socket.socket(socket.AF_UNIX)
        try:
            peer.bind(str(world.vms_dir / name))
        except OSError:
            continue
        sockets.append(peer)
    world.start().wait_managed("good")
    assert [vm["name"] for vm in world.ctl("list")["vms"]] == ["good"]


def test_vms_come_and_go(world: World) -> None:
    world.start()
    vm = world.add("late")
    vm.agent.wait_session()
    world.wait_managed("late")
    vm.close()
    del world.vms["late"]
    world.wait(lambda: world.ctl("list")["vms"] == [], "it to be gone")
    world.add("late")
    world.wait_managed("late")


def test_linked_socket(world: World) -> None:
    vm = world.add("real")
    for kind in ("channel", "qmp"):
        os.rename(world.vms_dir / f"real.{kind}", world.folder / f"y.{kind}")
        os.symlink(world.folder / f"y.{kind}", world.vms_dir / f"linked.{kind}")
    world.start()
    vm.agent.wait_session()
    world.wait(lambda: world.status("linked")["state"] == "managed", "the linked VM")


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_its_end_changes_no_size(world: World, sig: int) -> None:
    vm = world.add()
    vm.qmp.size = vm.qmp.requested = 512 * MIB
    vm.refresh(available=900 * MIB, demand=600 * MIB)
    world.start().wait_managed()
    vm.keep_reporting()
    vm.agent.wait_for("shrink_request", 2)
    code = world.stop(sig)
    assert code in (0, -sig)
    commands = len(vm.qmp.commands)
    time.sleep(0.3)
    assert len(vm.qmp.commands) == commands
    (world.runtime / "bridge.sock").unlink(missing_ok=True)
    vm.fall_silent()
    size = vm.qmp.size
    world.start().wait_managed()  # begins with what QEMU says
    assert vm.qmp.size == size and world.status()["size_bytes"] == vm.usable


def test_state_that_is_garbage(world: World) -> None:
    """Every file that an earlier bridge could have left half written: it begins with what QEMU says."""
    vm = world.add()
    vm.qmp.size = vm.qmp.requested = 256 * MIB
    vm.refresh(available=300 * MIB)
    folders = [world.runtime / "holds", world.lease_dir]
    for folder in folders:
        folder.mkdir()
    key = os.stat(vm.agent.path)
    files = [world.runtime / "holds" / "a", world.runtime / "holds" / ".new-a", world.runtime / "bridge.lock",
             world.lease_dir / f"{key.st_dev:x}-{key.st_ino}",
             *(world.runtime / f"audit.sqlite{suffix}" for suffix in ("", "-wal", "-shm"))]
    for file in files:
        file.write_bytes(b"\xff\x00garbage\n" * 500)
    world.start().wait_managed()
    status = world.status()
    assert status["size_bytes"] == vm.usable and not status["held"] and vm.qmp.commands == []
    vm.agent.alarm(128 * MIB)
    assert world.wait_closed()["result"] == "done"
    assert len(world.ctl("history", "a")["decisions"]) == 1


def test_tells_systemd(world: World, folder: Path) -> None:
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(folder / "notify"))
    manager.settimeout(5)
    os.environ["NOTIFY_SOCKET"] = str(folder / "notify")
    os.environ["WATCHDOG_USEC"] = "400000"
    try:
        world.start()
    finally:
        del os.environ["NOTIFY_SOCKET"], os.environ["WATCHDOG_USEC"]
    words = [manager.recv(4096) for _ in range(3)]
    assert any(b"READY=1" in word for word in words) and any(b"WATCHDOG=1" in word for word in words)


def test_survives_a_vms_folder_that_vanishes(world: World) -> None:
    vm = world.add()
    world.start().wait_managed()
    os.rename(world.vms_dir, world.folder / "moved")
    time.sleep(0.3)
    vm.agent.alarm(128 * MIB)
    assert world.wait_closed()["result"] == "done", "what is connected goes on"
    os.rename(world.folder / "moved", world.vms_dir)


def reloaded(world: World, n: int) -> None:
    assert world.process
    world.process.send_signal(signal.SIGHUP)
    world.wait(lambda: sum(world.log.read_text(encoding="utf-8").count(text) for text in (
        "The configuration was read again", "nothing of it was read")) == n, f"reload {n}")


def value(world: World, key: str) -> str:
    return next(str(item["value"]) for item in world.ctl("cat-config")["config"] if item["key"] == key)


def test_reload_is_whole_or_not_at_all(world: World) -> None:
    vm = world.add()
    policy = world.folder / "vm.d" / "a.conf"
    policy.parent.mkdir()
    policy.write_text("[VM]\nMax=1G\n", encoding="utf-8")
    world.start("--log-level=debug").wait_managed()
    good = world.config.read_text(encoding="utf-8")

    for number, (bridge_conf, vm_conf, said) in enumerate([
            (good.replace("Budget=8G", "Budget=much"), "[VM]\nMax=1G\n", ":3: Budget=much"),
            (good.replace("Budget=8G", "Budget=4G"), "[VM]\nMin=2G\nMax=1G\n", "a.conf:2: Min=2G"),
            (good.replace("Budget=8G", "Budget=4G").replace("Listen=off", "Listen=127.0.0.1:9"), "[VM]\nMax=1G\n",
             "Listen=127.0.0.1:9: it is off until the next start"),
    ], 1):
        world.config.write_text(bridge_conf, encoding="utf-8")
        policy.write_text(vm_conf, encoding="utf-8")
        reloaded(world, number)
        assert said in world.log.read_text(encoding="utf-8")
        assert value(world, "Budget") == "8G" and world.ctl("list")["bridge"]["budget_bytes"] == 8192 * MIB
        assert world.status()["max_bytes"] == 1024 * MIB

    world.config.write_text(good.replace("Budget=8G", "Budget=4G") + "\n", encoding="utf-8")
    policy.write_text("[VM]\nMax=768M\n", encoding="utf-8")
    reloaded(world, 4)
    assert value(world, "Budget") == "4G" and world.ctl("list")["bridge"]["budget_bytes"] == 4096 * MIB
    world.wait(lambda: world.status()["max_bytes"] == 768 * MIB, "the new policy")
    vm.agent.alarm(512 * MIB)
    assert world.wait_closed()["wanted_bytes"] == 256 * MIB
