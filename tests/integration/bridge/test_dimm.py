# SPDX-License-Identifier: Apache-2.0
"""DIMMs: plugged when nothing else is left, proven by the guest, and pulled only after it has put them offline."""
from __future__ import annotations

import signal
from typing import Any

import memtide_pb2 as pb
from qmp_dimms import Dimms
from qmp_peer import MIB
from world import Vm, World

UNIT = 256 * MIB
PLUG = ["object-add", "device_add"]
PULL = ["device_del", "object-del"]


def with_dimms(world: World, balloon: bool = False, plugged: bool = False, **options: Any) -> Vm:
    """A VM of 512 MiB with two slots and no virtio-mem; if plugged, one of them is used."""
    vm = world.add(vmem=0, balloon=balloon, dimms=Dimms(slots=2, room=1024 * MIB), **options)
    policy = world.folder / "vm.d" / "a.conf"
    policy.parent.mkdir()
    policy.write_text("[VM]\nMax=device\nDimmSize=256M\n", encoding="utf-8")
    if plugged:
        for name, arguments in (("object-add", {"id": "memtide-dimm0-mem", "size": UNIT}),
                                ("device_add", {"id": "memtide-dimm0", "memdev": "memtide-dimm0-mem",
                                                "driver": "pc-dimm"})):
            vm.qmp.dimms.execute(name, arguments)
        vm.online = {vm.qmp.dimms.plugged["memtide-dimm0"].address}
        vm.refresh(available=700 * MIB, demand=300 * MIB)
    return vm


def names(vm: Vm) -> list[str]:
    return [name for _, name, _ in vm.qmp.commands]


def test_grows_by_a_dimm(world: World) -> None:
    vm = with_dimms(world)
    world.start().wait_managed()
    vm.agent.alarm(200 * MIB)
    decision = world.wait_closed()
    assert (decision["kind"], decision["result"], decision["actuator"]) == ("grow", "done", "dimm")
    assert decision["confirmed_bytes"] == UNIT
    assert names(vm) == PLUG
    assert world.status()["dimm_bytes"] == UNIT
    vm.refresh(available=10 * MIB)
    vm.agent.alarm(200 * MIB)
    assert world.wait_closed(n=2)["result"] == "done"
    assert set(vm.qmp.dimms.plugged) == {"memtide-dimm0", "memtide-dimm1"}


def test_refused_device_leaves_no_backend(world: World) -> None:
    vm = with_dimms(world)
    vm.qmp.reject = {"device_add"}
    world.start().wait_managed()
    vm.agent.alarm(200 * MIB)
    assert world.wait_closed()["result"] == "failed"
    assert names(vm)[:3] == [*PLUG, "object-del"] and not vm.qmp.dimms.backends


def test_never_online_is_taken_back(world: World) -> None:
    vm = with_dimms(world)
    vm.onlines = False
    world.start().wait_managed()
    vm.agent.alarm(200 * MIB)
    assert world.wait_closed(timeout=20)["result"] == "timeout"
    assert names(vm)[:4] == [*PLUG, *PULL] and not vm.qmp.dimms.plugged


def test_balloon_counts_the_dimm(world: World) -> None:
    """Boot RAM alone is ballooned, and QEMU subtracts from boot RAM and DIMM together: the naive value kills a guest."""
    vm = with_dimms(world, balloon=True, plugged=True)
    vm.qmp.inflated = vm.qmp.inflate_to = 100 * MIB
    world.start().wait_managed()
    vm.qmp.event("RESET", guest=True, reason="guest-reset")
    world.wait(lambda: vm.qmp.of("balloon"), "the balloon to be opened")
    assert vm.qmp.of("balloon")[0]["value"] == 511 * MIB + UNIT  # one is left: the driver reports only what it moves


def test_shrinks_by_a_dimm(world: World) -> None:
    vm = with_dimms(world, plugged=True)
    world.start().wait_managed()
    vm.keep_reporting()
    decision = world.wait_closed()
    assert (decision["kind"], decision["result"], decision["actuator"]) == ("shrink", "done", "dimm")
    assert decision["confirmed_bytes"] == -UNIT
    world.wait(lambda: names(vm) == PULL, "the backend to be freed")
    request = vm.agent.all_of("shrink_request")[0]
    prepared = vm.agent.all_of("offline_range")[0]
    assert (request.bytes, prepared.bytes, prepared.id) == (UNIT, UNIT, request.id)
    assert not vm.qmp.dimms.plugged and not vm.qmp.dimms.backends


def test_dimm_is_not_pulled_unless_offline(world: World) -> None:
    vm = with_dimms(world, plugged=True)
    vm.offlines = False
    world.start().wait_managed()
    vm.keep_reporting()
    decision = world.wait_closed()
    assert (decision["result"], decision["refusal"]) == ("refused", "margin")
    assert names(vm) == []


def test_guest_keeps_it_and_has_it_back(world: World) -> None:
    vm = with_dimms(world, plugged=True)
    vm.qmp.ejects = "refuses"
    world.start().wait_managed()
    vm.keep_reporting()
    assert world.wait_closed()["result"] == "failed"
    back = vm.agent.wait_for("online_range", 2)
    assert back.bytes == UNIT and vm.usable == 512 * MIB + UNIT
    assert names(vm) == ["device_del"]


def test_veto_while_it_is_pulled(world: World) -> None:
    vm = with_dimms(world, plugged=True)
    vm.qmp.ejects = "never"
    world.start().wait_managed()
    vm.keep_reporting()
    world.wait(lambda: vm.qmp.of("device_del"), "the pull")
    vm.agent.send("alarm", urgency=pb.URGENCY_HIGH, cause=pb.CAUSE_VETO, need_bytes=0, usable_bytes=vm.usable,
                  veto_id=vm.agent.all_of("offline_range")[0].id)
    vm.agent.wait_for("online_range", 2)
    vm.qmp.ejects = "at once"  # too late to be stopped: it goes, and comes again
    vm.qmp.settle_dimms()
    assert world.wait_closed()["result"] == "vetoed"
    assert set(vm.qmp.dimms.plugged) == {"memtide-dimm0"}


def test_killed_between_offline_and_pull(world: World) -> None:
    vm = with_dimms(world, plugged=True)
    vm.qmp.reject = {"device_del"}
    vm.agent.send = _killing(world, vm.agent.send)  # type: ignore[method-assign]
    world.start().wait_managed()
    vm.keep_reporting()
    vm.agent.wait_for("offline_range")
    world.wait(lambda: world.process is None, "the bridge to be killed")
    vm.fall_silent()
    (world.runtime / "bridge.sock").unlink()  # the dead one's
    assert vm.held
    world.start().wait_managed()
    vm.agent.wait_for("online_range", 2)
    world.wait(lambda: vm.usable == 512 * MIB + UNIT, "the DIMM to be online again")


def _killing(world: World, send: Any) -> Any:
    """The bridge dies before it hears that the DIMM is offline."""
    def wrapped(body: str, **fields: Any) -> None:
        if body == "command_result" and world.process:
            process, world.process = world.process, None
            process.send_signal(signal.SIGKILL)
            process.wait()
        else:
            send(body, **fields)
    return wrapped


def test_leftover_backend_is_freed(world: World) -> None:
    vm = with_dimms(world)
    vm.qmp.dimms.execute("object-add", {"id": "memtide-dimm1-mem", "size": UNIT})
    vm.qmp.dimms.execute("object-add", {"id": "somebody-else", "size": UNIT})
    world.start().wait_managed()
    world.wait(lambda: set(vm.qmp.dimms.backends) == {"somebody-else"}, "the backend to be freed")
