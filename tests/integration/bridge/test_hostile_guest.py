# SPDX-License-Identifier: Apache-2.0
"""A guest that lies, floods or babbles costs itself alone."""
from __future__ import annotations

import os
import random
import threading
import time
from typing import Any

import memtide_pb2 as pb
from agent_peer import AgentPeer, report
from memtide_wire import envelope, frame
from qmp_peer import MIB
from world import Vm, World

TIB = 1 << 40


def assert_served(world: World, vm: Vm, n: int = 1) -> None:
    """It still grows on an alarm."""
    size = vm.qmp.size
    vm.agent.alarm(128 * MIB)
    decision = world.wait_closed(vm.name, n)
    assert decision["result"] == "done" and vm.qmp.size == size + 128 * MIB


def test_bad_frames_are_dropped_and_counted(world: World) -> None:
    vm = world.add()
    world.start().wait_managed()
    good = envelope("report", vm.agent.figures, session=vm.agent.session, sequence=1).SerializeToString()
    vm.agent.send_raw(b"\x00garbage\x00" + frame(good)[:-3] + b"\x00")  # garbled twice
    vm.agent.send_raw(b"\x01" * 10000 + b"\x00")  # overlong
    vm.agent.send_raw(frame(b"\xff\xff\xff\xff\xff"))  # not protobuf
    vm.agent.send_raw(frame(envelope("welcome", session=0, sequence=1).SerializeToString()))  # a host's message
    vm.agent.send("report", **{**vm.agent.figures, "memory_available_bytes": 600 * MIB})  # more than total
    vm.agent.send("report", session=12345, **vm.agent.figures)  # of another session
    vm.agent.sequence = 10
    vm.agent.report()
    vm.agent.send("report", sequence=5, **vm.agent.figures)  # replayed

    status = world.wait(lambda: (s := world.status())["frames_replayed"] == 1 and s, "the last frame")
    assert status["frames_garbled"] == 2 and status["frames_overlong"] == 1
    assert status["frames_malformed"] == 3 and status["frames_void"] == 1
    assert_served(world, vm)


def test_what_an_agent_does_not_take_is_shown(world: World) -> None:
    """By its own word, of a Hello at first and then of each report; it moves nothing."""
    vm = world.add()
    vm.agent.shakes_hands = False
    world.start()
    vm.agent.wait_for("ping")
    vm.agent.hello(minor=1, frames_void=3)
    world.wait_managed()
    world.wait(lambda: world.status()["agent_frames_void"] == 3, "the Hello's word")
    vm.agent.report(frames_dropped=(1 << 62) - 1, frames_void=5)
    status = world.wait(lambda: (s := world.status())["agent_frames_void"] == 5 and s, "the report's word")
    assert status["agent_frames_dropped"] == (1 << 32) - 1 and status["frames_malformed"] == 0
    text = world.text("status", "a")
    assert "not taken   4294967295 of the bridge's frames by the agent, 5 of them of no session" in text, text
    vm.agent.report()
    world.wait(lambda: "not taken" not in world.text("status", "a"), "an agent that has taken all")
    assert vm.qmp.commands == []


def test_frames_before_the_handshake_are_void(world: World) -> None:
    vm = world.add()
    vm.agent.shakes_hands = False
    world.start()
    world.wait(lambda: vm.agent.connections, "a connection")
    vm.agent.wait_for("ping")
    vm.agent.send("alarm", session=1, urgency=pb.URGENCY_CRITICAL, need_bytes=256 * MIB)
    vm.agent.send("alarm", session=7, urgency=pb.URGENCY_CRITICAL, need_bytes=256 * MIB)
    world.wait(lambda: world.status()["frames_void"] == 2, "both to be void")
    assert vm.qmp.commands == []
    vm.agent.hello()
    world.wait_managed()


def test_guest_may_lie_up_to_its_ceiling(world: World) -> None:
    """Starving for ever: stops at the device's end; the host's budget is never overdrawn."""
    vm = world.add(vmem=1024 * MIB)
    world.start().wait_managed()

    def denied() -> list[dict[str, Any]]:
        for _ in range(20):
            vm.agent.alarm(60 * TIB)
            vm.agent.report(urgency=pb.URGENCY_CRITICAL, cause=pb.CAUSE_OOM, need_bytes=60 * TIB, demand_bytes=60 * TIB)
            time.sleep(0.005)
        return [d for d in world.decisions() if d["rule"] == "deny-ceiling"]

    world.wait(denied, "the denial")
    assert vm.qmp.size == 1024 * MIB
    for _ in range(5):
        assert len(denied()) == 1, "said once"
    assert vm.qmp.size == 1024 * MIB


def test_absurd_figures_do_not_shrink_below_the_minimum(world: World) -> None:
    vm = world.add()
    vm.qmp.size = vm.qmp.requested = 512 * MIB
    vm.agent.figures = report(50 * TIB, 49 * TIB, demand=0, floor_bytes=0)
    world.start().wait_managed()
    vm.keep_reporting()
    time.sleep(3)
    assert vm.qmp.actual == 512 * MIB, "boot RAM was not ballooned away"


def test_all_starve_at_once(world: World) -> None:
    """Budget for 12 VMs of 512 MiB and 2 GiB more: the sum holds at every instant, and everyone is answered."""
    vms = [world.add(f"vm{i:02}") for i in range(12)]
    world.start().wait_managed()
    worst = 0

    def watch() -> None:
        nonlocal worst
        while watching:
            worst = max(worst, sum(vm.qmp.boot + max(vm.qmp.size, vm.qmp.requested) for vm in vms))
            time.sleep(0.001)

    watching = True
    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(20):
        for vm in vms:
            vm.agent.alarm(512 * MIB)
        time.sleep(0.02)
    for vm in vms:
        world.wait(lambda name=vm.name: world.decisions(name), f"an answer for {vm.name}")
    watching = False
    watcher.join()
    assert worst <= 8 << 30
    assert sum(vm.qmp.size for vm in vms) == 2 << 30


def test_flood_does_not_delay_a_neighbour(world: World) -> None:
    loud, quiet = world.add("loud"), world.add("quiet")
    world.start().wait_managed()
    data = frame(envelope("report", loud.agent.figures, session=loud.agent.session, sequence=1).SerializeToString()) * 500

    def flood() -> None:
        end = time.monotonic() + 3
        while time.monotonic() < end:
            try:
                loud.agent.send_raw(data)
            except (TimeoutError, AssertionError, OSError):
                time.sleep(0.001)

    flooder = threading.Thread(target=flood)
    flooder.start()
    time.sleep(0.5)
    for n in range(1, 6):
        assert_served(world, quiet, n)
    delays = [d["request_usec"] - d["alarm_usec"] for d in world.decisions("quiet")]
    flooder.join()
    assert max(delays) < 50_000, delays


def test_garbage_for_ever(world: World) -> None:
    bad, good = world.add("bad"), world.add("good")
    world.start().wait_managed()
    rng = random.Random(7)
    before = rss_kib(world)
    end = time.monotonic() + 2
    while time.monotonic() < end:
        try:
            bad.agent.send_raw(rng.randbytes(8192))
        except (TimeoutError, AssertionError, OSError):
            time.sleep(0.001)
    assert_served(world, good)
    assert rss_kib(world) - before < 4096
    assert world.status("bad")["frames_garbled"] > 0


def test_flapping_channel_leaks_nothing(world: World) -> None:
    vm, good = world.add("flapping"), world.add("good")
    world.start().wait_managed()
    before = descriptors(world)
    for _ in range(40):
        vm.agent.disconnect()
        time.sleep(0.02)
    assert vm.agent.connections < 30, "reconnects are spaced"
    assert_served(world, good)
    vm.agent.wait_session(20)
    assert descriptors(world) <= before + 2


def test_slow_sender_holds_up_nobody(world: World) -> None:
    """One byte at a time: a frame is a frame however slowly it comes."""
    slow, good = world.add("slow"), world.add("good")
    world.start().wait_managed()
    data = frame(envelope("report", slow.agent.figures, session=slow.agent.session, sequence=1,
                          # On a busy machine it takes its time, and an old report would be no news.
                          monotonic_usec=slow.agent.now_usec() + 30_000_000).SerializeToString())
    ok = world.status("slow")["frames_ok"]
    for byte in data[:60]:
        slow.agent.send_raw(bytes([byte]))
        time.sleep(0.002)
    assert_served(world, good)
    for byte in data[60:]:
        slow.agent.send_raw(bytes([byte]))
    world.wait(lambda: world.status("slow")["frames_ok"] == ok + 1, "the frame")


def test_restarted_agent_gets_a_session_of_its_own(world: World) -> None:
    vm = world.add()
    world.start().wait_managed()
    first = vm.agent.session
    time.sleep(1.1)  # one Hello a second
    vm.agent.start_nonce += 1
    vm.agent.hello()
    world.wait(lambda: vm.agent.session != first, "a new session")
    vm.agent.send("alarm", session=first, sequence=99, urgency=pb.URGENCY_CRITICAL, need_bytes=256 * MIB)
    world.wait(lambda: world.status()["frames_void"] >= 1, "the old session's frame to be void")
    assert vm.qmp.commands == []
    assert_served(world, vm)


def test_two_channels_are_two_guests(world: World) -> None:
    """What a guest says of itself does not make it another one."""
    first, second = world.add("a"), world.add("b")
    second.agent.start_nonce = first.agent.start_nonce
    world.start().wait_managed()
    assert_served(world, second)
    assert first.qmp.commands == []


def rss_kib(world: World) -> int:
    assert world.process
    with open(f"/proc/{world.process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def descriptors(world: World) -> int:
    assert world.process
    return len(os.listdir(f"/proc/{world.process.pid}/fd"))
