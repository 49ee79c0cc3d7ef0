# SPDX-License-Identifier: Apache-2.0
"""memtide-bridge.service and .socket under a real systemd, as they are installed, over a farm of fake VMs in the same guest.

The tests share one guest, and go in the order in which they stand.
"""
from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.farm.farm import BROKEN
from tests.guest.guest import Guest, Machine
from tests.guest.wait import wait_for
from tests.soak.systemd import Unit, assert_hangs_and_is_started_again, assert_outlives_kills, booted, json_of, short_folder

VMS = 8
CONF = "/etc/memtide/bridge.conf"
CONFIG = "[Host]\\nBudget=64G\\nPressureLimit=off\\n"
CALL = "busctl --no-pager call org.memtide.Bridge1 /org/memtide/Bridge1 org.memtide.Bridge1"
SCRAPE = r"exec 4<>/dev/tcp/127.0.0.1/9733; printf 'GET /metrics HTTP/1.0\r\n\r\n' >&4; cat <&4"
MESSAGE_ID_DECIDED = "5b9f1c6c0c7e4b0c9b2a5d3e7f1a4c01"


class Farm:
    """The farm's program inside the guest: what is written to a file there it reads, and answers to another."""

    def __init__(self, vm: Guest) -> None:
        self.vm = vm
        vm.check("touch /run/farm.in && systemd-run -q --unit=farm sh -c 'tail -n +1 -f /run/farm.in | "
                 f"/usr/lib/memtide-test/farm /run/memtide/vms {VMS} vmem=4096 budget=65536 interval=200 >/run/farm.out'")
        wait_for("the farm", lambda: "ready" in vm.run("cat /run/farm.out")[1], 20)

    def say(self, words: str) -> None:
        self.vm.check(f"echo {words} >>/run/farm.in")

    def stats(self) -> dict[str, Any]:
        n = int(self.vm.check("wc -l </run/farm.out"))
        self.say("stats")
        wait_for("the farm's answer", lambda: int(self.vm.check("wc -l </run/farm.out")) > n, 10)
        return dict(json.loads(self.vm.check("tail -n 1 /run/farm.out")))


@pytest.fixture(scope="module")
def vm(request: pytest.FixtureRequest, build: Path, bare_machine: Machine) -> Iterator[Guest]:
    with short_folder(request) as place, booted(build, bare_machine, place, virtio_mem_bytes=0) as guest:
        yield guest


@pytest.fixture(scope="module")
def bridge(vm: Guest) -> Unit:
    """Enabled and started, with a policy for each VM."""
    vm.check(f"mkdir -p /etc/memtide/vm.d && printf '{CONFIG}' >{CONF}")
    vm.check(f"for i in $(seq 0 {VMS - 1}); do printf '[VM]\\nMax=device\\n' >/etc/memtide/vm.d/vm0000$i.conf; done")
    vm.check("systemctl enable --now memtide-bridge.service", 60)
    return Unit(vm, "memtide-bridge.service")


@pytest.fixture(scope="module")
def farm(vm: Guest, bridge: Unit) -> Farm:
    farm = Farm(vm)
    wait_served(bridge, farm)
    return farm


def wait_served(bridge: Unit, farm: Farm) -> None:
    """Every VM has a session, may be resized, and goes on reporting."""
    def served() -> bool:
        vms = json_of(bridge.vm, "memtidectl list --json")["vms"]
        return len(vms) == VMS and all(one["state"] == "managed" and one.get("frames_ok", 0) >= 3 for one in vms)
    wait_for("all VMs to be served", served, 30)
    assert farm.stats()["sessions"] == VMS


def wait_kept(bridge: Unit, n: int = VMS) -> None:
    wait_for(f"{n} channels to be kept", lambda: bridge.show("NFileDescriptorStore") == str(n), 10)


def assert_kept_over(bridge: Unit, farm: Farm, way: str) -> None:
    """No fake agent sees its channel closed, and all is served again by another process."""
    wait_kept(bridge)
    before, pid = farm.stats(), bridge.pid
    bridge.systemctl(way)
    bridge.wait_restart(pid)
    wait_served(bridge, farm)
    after = farm.stats()
    assert after["connections"] == before["connections"], "a channel was closed"
    assert after["committed_bytes"] == before["committed_bytes"]
    wait_kept(bridge)
    assert f"{VMS} channels were kept" in bridge.journal(f"_PID={bridge.pid}")


def scrape(vm: Guest) -> str:
    return vm.check(f'bash -c "{SCRAPE}"')


def test_an_agent_comes_at_boot_where_there_is_a_port(vm: Guest) -> None:
    unit = Unit(vm, "memtide-agent.service")
    assert unit.show("ActiveState") == "active"
    assert "Waiting for the host" in unit.show("StatusText")
    assert unit.journal("-p warning") == ""


def test_it_serves(bridge: Unit, farm: Farm) -> None:
    farm.say(f"probe 5 0 {VMS}")
    wait_for("alarms to be answered", lambda: farm.stats()["grows"] >= 20, 30)
    farm.say("probe 0 0 0")
    stats = farm.stats()
    assert not [key for key in BROKEN if stats[key]], stats
    assert bridge.show("StatusText") == "Serving"


def test_its_sandbox_leaves_it_all_it_needs(bridge: Unit, farm: Farm) -> None:
    warnings = [line for line in bridge.journal("-p warning").splitlines() if not line.startswith("VM vm")]
    assert all(line.startswith("libvirt: no domain") for line in warnings), warnings  # there is none in this guest
    assert bridge.vm.check("systemd-analyze verify --man=no memtide-bridge.service memtide-bridge.socket 2>&1") == ""
    soft = int(re.findall(r"open files +(\d+)", bridge.vm.check(f"cat /proc/{bridge.pid}/limits"))[0])
    assert soft > 100_000


@pytest.mark.parametrize("place", ["system.slice", "machine.slice"])
def test_it_is_served_beside_those_who_are_busy(bridge: Unit, farm: Farm, place: str) -> None:
    """Three to a CPU, where services are and where VMs are. Its group is what serves it: README.md has the times."""
    vm = bridge.vm
    assert bridge.show("ControlGroup") == f"/{bridge.name}", "MemoryMin= does nothing below a slice that has none"
    group = f"/sys/fs/cgroup/{bridge.name}"
    least, now, weight = (int(vm.check(f"cat {group}/{key}")) for key in ("memory.min", "memory.current", "cpu.weight"))
    assert 2 * now < least and weight == 1000
    names = [f"spin{number}" for number in range(6)]
    for name in names:
        vm.check(f"systemd-run -q --slice={place} --unit={name} sh -c 'while :; do :; done'", timeout=60)
    try:
        farm.say("reset")
        farm.say(f"probe 5 0 {VMS}")
        wait_for("alarms to be answered", lambda: farm.stats()["grows"] >= 20, 60)
        farm.say("probe 0 0 0")
        stats = farm.stats()
        assert 2 * stats["grows"] >= stats["alarms"] and not [key for key in BROKEN if stats[key]], stats
    finally:
        vm.check(f"systemctl stop {' '.join(names)}", timeout=60)
    wait_served(bridge, farm)


def test_the_discovery_folder_can_be_somebodys(bridge: Unit, farm: Farm) -> None:
    """As tmpfiles.d of the man page has it; what else is in /run/memtide is root's alone."""
    vm, folder = bridge.vm, "/run/memtide/vms"
    vm.check(f"echo 'd {folder} 2770 root nogroup' >/etc/tmpfiles.d/memtide.conf && systemd-tmpfiles --create memtide.conf")
    bridge.systemctl("restart")
    vm.check(f"runuser -u nobody -- test -w {folder}")
    assert vm.check("find /run/memtide -mindepth 1 -maxdepth 1 ! -name vms -perm /077") == ""
    wait_served(bridge, farm)


@pytest.mark.parametrize("way", ["restart", "kill -s KILL"])
def test_no_agent_sees_it_go(bridge: Unit, farm: Farm, way: str) -> None:
    assert_kept_over(bridge, farm, way)


def test_killed_all_the_time(bridge: Unit, farm: Farm) -> None:
    connections = farm.stats()["connections"]
    assert_outlives_kills(bridge)
    wait_served(bridge, farm)
    assert farm.stats()["connections"] == connections, "a channel was closed"
    wait_kept(bridge)
    assert f"memtide_vms {VMS}" in scrape(bridge.vm)


def test_the_manager_itself_is_started_anew(bridge: Unit, farm: Farm) -> None:
    """As by an upgrade of systemd: it hands what it keeps to itself."""
    connections, pid = farm.stats()["connections"], bridge.pid
    bridge.vm.check("systemctl daemon-reexec", 60)
    wait_kept(bridge)
    assert bridge.pid == pid and farm.stats()["connections"] == connections
    assert_kept_over(bridge, farm, "kill -s KILL")


def test_watchdog(bridge: Unit, farm: Farm) -> None:
    connections = farm.stats()["connections"]
    assert_hangs_and_is_started_again(bridge)
    wait_served(bridge, farm)
    assert farm.stats()["connections"] == connections


def test_metrics_come_through_the_socket_unit(bridge: Unit, farm: Farm) -> None:
    """Also from a bridge that was killed, by the same socket."""
    assert f"memtide_vms {VMS}" in scrape(bridge.vm)
    bridge.vm.check(f"test $(readlink /proc/{bridge.pid}/ns/net) != $(readlink /proc/1/ns/net)")  # by no network of its own
    pid = bridge.pid
    bridge.systemctl("kill -s KILL")
    bridge.wait_restart(pid)
    wait_served(bridge, farm)
    assert f"memtide_vms {VMS}" in scrape(bridge.vm)


def budget(vm: Guest) -> str:
    return next(line for line in vm.check("memtidectl cat-config").splitlines() if line.startswith("Budget="))


def test_reload_is_whole_or_seen_to_fail(bridge: Unit, farm: Farm) -> None:
    vm, pid, before = bridge.vm, bridge.pid, budget(bridge.vm)
    for wrong, where in ((f"printf '[Host]\\nBudget=32G\\nReserve=some\\n' >{CONF}", f"{CONF}:3"),
                         (f"printf '{CONFIG}' >{CONF}; echo Max=huge >>/etc/memtide/vm.d/vm00000.conf", "vm00000.conf:3")):
        vm.check(wrong)
        assert vm.run("systemctl reload memtide-bridge")[0] != 0
        assert where in bridge.journal()
        assert (budget(vm), bridge.pid, bridge.show("ActiveState")) == (before, pid, "active")
        vm.check("sed -i '3d' /etc/memtide/vm.d/vm00000.conf")
    vm.check(f"printf '{CONFIG}' | sed 's/64G/48G/' >{CONF}")
    bridge.systemctl("reload")
    wait_for("the new budget", lambda: budget(vm).startswith("Budget=48G"), 5)
    assert bridge.pid == pid and farm.stats()["sessions"] == VMS


def test_everybody_may_look_and_root_may_act_on_the_system_bus(bridge: Unit, farm: Farm) -> None:
    assert '"vm00003"' in bridge.vm.check(f"runuser -u nobody -- {CALL} ListVms | head -c 100000")
    code, words = bridge.vm.run(f"runuser -u nobody -- {CALL} Hold st vm00003 60000000")
    assert code != 0 and "denied" in words.lower(), words
    bridge.vm.check(f"{CALL} Hold st vm00003 60000000")
    bridge.vm.check(f"{CALL} Resume s vm00003")


def test_the_journal_explains(bridge: Unit, farm: Farm) -> None:
    words = bridge.vm.check(f"journalctl -b -q --no-pager -x -n 1 MESSAGE_ID={MESSAGE_ID_DECIDED}")
    name = re.search(r"The memory of VM (vm\d+) is being resized", words)
    assert name and f"memtidectl explain {name[1]}" in words, words


def test_the_audit_outlives_it(bridge: Unit, farm: Farm) -> None:
    wait_for("decisions of earlier processes", lambda: "grow" in bridge.vm.check("memtidectl history vm00000"), 10)
    assert bridge.vm.check("stat -c '%a %U' /var/lib/memtide /var/lib/memtide/audit.sqlite").split() \
        == ["750", "root", "640", "root"]


def test_stop_is_clean(bridge: Unit, farm: Farm) -> None:
    before = farm.stats()["committed_bytes"]
    bridge.systemctl("stop")
    assert bridge.show("Result") == "success" and bridge.show("NFileDescriptorStore") == "0"
    assert Unit(bridge.vm, "memtide-bridge.socket").show("ActiveState") == "inactive"
    assert bridge.vm.check("systemctl --failed --no-legend") == ""
    wait_for("the channels to be closed", lambda: farm.stats()["sessions"] == 0, 5)
    assert farm.stats()["committed_bytes"] == before
    bridge.systemctl("start")
    wait_served(bridge, farm)
