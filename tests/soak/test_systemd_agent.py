# SPDX-License-Identifier: Apache-2.0
"""memtide-agent.service under a real systemd, udev and dbus, as it is installed; a real bridge on this host resizes its guest.

The tests share one guest, and go in the order in which they stand: the first two are its start.
"""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import DEMO
from tests.e2e.served import grows, shrinks, wait_settled
from tests.guest.bridge import Bridge
from tests.guest.config import MIB
from tests.guest.guest import Guest, Machine
from tests.guest.wait import stays, wait_for
from tests.soak.systemd import Unit, assert_hangs_and_is_started_again, assert_outlives_kills, booted, json_of, short_folder

MEMORY = "/sys/devices/system/memory"
CONF = "/etc/memtide/agent.conf"
# What RHEL and its kin have had in 40-redhat.rules.
DISTRIBUTION_RULE = 'SUBSYSTEM=="memory", ACTION=="add", ATTR{state}=="offline", ATTR{state}="online"'
MESSAGE_ID_STARTED = "c41e7d9a83f24f0fb6d1a95e207c3b01"
CAP_NET_ADMIN, CAP_SYS_RESOURCE = 1 << 12, 1 << 24
SAFE_WORDS = ("online", "online_kernel", "online_movable")


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest) -> Iterator[Path]:
    with short_folder(request) as path:
        yield path


@pytest.fixture(scope="module")
def host(build: Path, place: Path) -> Iterator[Bridge]:
    with Bridge(build, place, DEMO / "bridge.conf") as bridge:
        yield bridge


@pytest.fixture(scope="module")
def vm(build: Path, bare_machine: Machine, place: Path, host: Bridge) -> Iterator[Guest]:
    with booted(build, bare_machine, place, host.discovery, port=False) as guest:
        guest.check("mkdir -p /etc/memtide")
        yield guest


@pytest.fixture
def agent(vm: Guest, host: Bridge) -> Unit:
    """It serves, and its host knows it."""
    unit = Unit(vm, "memtide-agent.service")
    if unit.show("ActiveState") != "active":
        unit.systemctl("start")
    host.wait_agent("vm")
    return unit


def auto_online(vm: Guest) -> str:
    return vm.check(f"cat {MEMORY}/auto_online_blocks").strip()


def offline_blocks(vm: Guest) -> int:
    return int(vm.check(f"grep -lx offline {MEMORY}/memory*/state | wc -l"))


def assert_no_failure(vm: Guest) -> None:
    assert vm.check("systemctl --failed --no-legend") == ""


def run_load(vm: Guest) -> None:
    """Half a GiB more than the guest has; returns when it holds all of it."""
    vm.check(f"(load ramp {vm.size_bytes() + 512 * MIB} 100 0 </dev/null >/dev/null 2>&1 3>&- &)")
    wait_for("the load to begin", lambda: vm.load_phase() == "ramp", 10)
    wait_for("the load to be through", lambda: vm.load_phase() != "ramp", 60)
    assert vm.load_phase() == "hold"


def assert_grows(vm: Guest, host: Bridge) -> None:
    """For a load; all of it comes, is online, and stands in a record, of which one may be closed before its last block comes."""
    last, before = newest(host), vm.size_bytes()
    run_load(vm)
    wait_settled(host, vm)
    grown = [one for one in grows(host, vm) if one.id > last]
    assert grown and {one.result for one in grown} <= {"done", "partial"}, grown
    gained = vm.size_bytes() - before
    assert gained > 400 * MIB
    assert abs(sum(one.confirmed_bytes for one in grown) - gained) < 2 * MIB, grown
    assert offline_blocks(vm) == 0


def newest(host: Bridge) -> int:
    return max((one.id for one in host.decisions("vm")), default=0)


def test_inert_without_the_port(vm: Guest) -> None:
    unit = Unit(vm, "memtide-agent.service")
    assert unit.show("LoadState") == "loaded" and unit.show("ActiveState") == "inactive"
    assert unit.journal() == "" and auto_online(vm) == "offline"
    assert vm.run("test -e /run/memtide")[0] != 0


def test_the_port_starts_it(vm: Guest, host: Bridge) -> None:
    unit = Unit(vm, "memtide-agent.service")
    vm.plug_port()
    unit.wait_state("active")
    host.wait_agent("vm")
    assert auto_online(vm) in SAFE_WORDS  # the kernel alone may be best, and it is told so
    assert_no_failure(vm)


def test_its_sandbox_leaves_it_all_it_needs(agent: Unit) -> None:
    status = json_of(agent.vm, "memtidectl status --json")
    assert status["missing"] == []
    assert {"psi-totals", "psi-triggers", "reclaim", "blocks", "balloon", "virtio-mem"} <= set(status["capabilities"])
    assert agent.journal("-p warning") == ""
    assert "-1000" in agent.vm.check(f"cat /proc/{agent.pid}/oom_score_adj")
    effective = agent.vm.check(f"grep CapEff /proc/{agent.pid}/status").split()[1]
    assert int(effective, 16) == CAP_SYS_RESOURCE | CAP_NET_ADMIN, "PSI triggers would be slow, events be lost"
    locked = agent.vm.check(f"grep VmLck /proc/{agent.pid}/status").split()[1]
    assert int(locked) > 0
    limit = agent.vm.check(f"grep 'Max locked memory' /proc/{agent.pid}/limits").split()[3]
    assert limit == "unlimited", "a manager's default of 64 KiB would leave it to be paged out"
    assert agent.show("ControlGroup") == f"/{agent.name}", "MemoryMin= does nothing below a slice that has none"
    group = "/sys/fs/cgroup/memtide-agent.service"
    least, most, now = (int(agent.vm.check(f"cat {group}/memory.{what}")) for what in ("min", "max", "current"))
    assert 4 * MIB <= least and 2 * now <= most, "kept from reclaim, and far from its own limit"
    assert agent.vm.check("stat -c %a /run/memtide").strip() == "755", "made for it, and not by it: /run may be read-only"
    assert agent.vm.check("find /run/memtide -mindepth 1 -perm /077") == ""
    assert agent.vm.check("systemd-analyze verify --man=no memtide-agent.service 2>&1") == ""


def test_its_start_is_explained(agent: Unit) -> None:
    words = agent.vm.check(f"journalctl --sync; journalctl -b -q --no-pager -x -n 1 MESSAGE_ID={MESSAGE_ID_STARTED}")
    assert "looks after" in words and "Subject: memtide-agent" in words, words


def test_everybody_may_ask_on_the_system_bus(agent: Unit) -> None:
    nobody = "runuser -u nobody -- busctl --no-pager call"
    answer = agent.vm.check(f"{nobody} org.memtide.Agent1 /org/memtide/Agent1 org.memtide.Agent1 GetStatus")
    assert '"session" s "open"' in answer
    assert f" {agent.pid} " in agent.vm.check("busctl --no-pager list | grep LowMemoryMonitor")
    code, words = agent.vm.run(f"{nobody} org.freedesktop.DBus / org.freedesktop.DBus RequestName su org.memtide.Agent1 0")
    assert code != 0 and "Access denied" in words


def test_reload_is_seen_to_fail(agent: Unit) -> None:
    pid = agent.pid
    agent.vm.check(f"printf '[Agent]\\nFloor=lots\\n' >{CONF}")
    assert agent.vm.run("systemctl reload memtide-agent")[0] != 0
    assert f"{CONF}:2" in agent.journal()
    assert "read again" not in agent.journal()
    agent.vm.check(f"printf '[Agent]\\nFloor=100M\\n' >{CONF}")
    agent.systemctl("reload")
    wait_for("the new configuration to be read", lambda: "The configuration was read again" in agent.journal(), 5)
    assert (agent.show("ActiveState"), agent.pid) == ("active", pid)


def test_a_start_with_errors_is_seen_to_fail(agent: Unit) -> None:
    """By who starts it, and once: trying again changes nothing."""
    agent.vm.check(f"printf '[Agent]\\nFloor=lots\\n' >{CONF}")
    assert agent.vm.run("systemctl restart memtide-agent")[0] != 0
    stays("it is not started again", lambda: agent.show("ActiveState") == "failed", 3)
    assert (agent.show("ExecMainStatus"), agent.show("NRestarts")) == ("2", "0")
    agent.vm.check(f"rm {CONF}; systemctl reset-failed")
    agent.systemctl("start")


def test_stop_leaves_the_kernel_a_safe_word(agent: Unit) -> None:
    agent.systemctl("stop")
    assert agent.show("ActiveState") == "inactive" and agent.show("Result") == "success"
    assert auto_online(agent.vm) in SAFE_WORDS
    assert agent.vm.check("ls /run/memtide").strip(), "whose blocks are offline has to be known to the next one"
    agent.systemctl("start")


def test_killed_and_started_again(agent: Unit, host: Bridge) -> None:
    pid = agent.pid
    agent.systemctl("kill -s KILL")
    agent.wait_restart(pid)
    assert agent.show("NRestarts") == "1"
    host.wait_agent("vm")
    assert_no_failure(agent.vm)


def test_killed_all_the_time(agent: Unit, host: Bridge) -> None:
    assert_outlives_kills(agent)
    host.wait_agent("vm")
    assert_no_failure(agent.vm)


def test_killed_and_gone_for_good(agent: Unit) -> None:
    """What was written for an agent's time must not outlive it: with that word alone memory would stay offline."""
    with agent.override("Restart=no"):
        agent.vm.check(f"echo offline >{MEMORY}/auto_online_blocks")
        agent.systemctl("kill -s KILL")
        agent.wait_state("failed")
        assert agent.show("Result") == "signal"
        assert auto_online(agent.vm) == "online"


def test_watchdog(agent: Unit) -> None:
    own = int(agent.vm.check(f"tr '\\0' '\\n' </proc/{agent.pid}/environ | sed -n s/^WATCHDOG_USEC=//p") or 0)
    assert 60e6 <= own <= 300e6, "who is starved for a while does not hang"
    assert_hangs_and_is_started_again(agent)


@pytest.mark.parametrize("onliner", ["agent", "auto"])
def test_grows_and_shrinks(agent: Unit, host: Bridge, onliner: str) -> None:
    """Blocks' state, auto_online_blocks and memory.reclaim: all of it written from inside the sandbox."""
    vm = agent.vm
    vm.check(f"printf '[Agent]\\nHoldAfterRefusal=5s\\n[Blocks]\\nOnliner={onliner}\\n' >{CONF}")
    agent.systemctl("restart")
    host.wait_agent("vm")
    assert (auto_online(vm) == "offline") == (onliner == "agent")
    assert_grows(vm, host)
    last = newest(host)
    vm.free_load()
    # A page that stays where it is makes the last step of a shrink a partial one.
    wait_for("memory to be given back",
             lambda: sum(one.confirmed_bytes for one in shrinks(host, vm) if one.id > last) < -400 * MIB, 40)
    wait_settled(host, vm)


def test_grows_beside_a_distributions_rule(agent: Unit, host: Bridge) -> None:
    agent.vm.check(f"echo '{DISTRIBUTION_RULE}' >/etc/udev/rules.d/40-distribution.rules && udevadm control --reload")
    assert_grows(agent.vm, host)
    agent.vm.free_load()


def test_goes_with_its_port_and_comes_back(agent: Unit, host: Bridge) -> None:
    agent.vm.unplug_port()
    agent.wait_state("inactive")
    assert_no_failure(agent.vm)
    assert auto_online(agent.vm) in SAFE_WORDS
    stays("it is inert", lambda: agent.show("ActiveState") == "inactive", 3)
    agent.vm.plug_port()
    agent.wait_state("active")
    host.wait_agent("vm")


def test_nothing_was_refused_meanwhile(agent: Unit) -> None:
    """SystemCallErrorNumber= makes a filtered call an EPERM and no more: it would be in the log."""
    words = agent.journal("-p warning")
    assert "not permitted" not in words and "Permission denied" not in words and "Read-only" not in words, words
    assert_no_failure(agent.vm)


def test_does_not_hold_up_a_shutdown(agent: Unit) -> None:
    agent.vm.check("systemctl poweroff")
    wait_for("QEMU to end", lambda: not agent.vm.running, 30)
    assert "stop job is running" not in agent.vm.console()
