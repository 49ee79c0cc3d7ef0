# SPDX-License-Identifier: Apache-2.0
"""Loads in a guest that nobody grows, and when its agent asks for memory: pressure-control's question put to real kernels.

Times are the guest's own clock, on which both the independent sampler and the agent's frames are stamped; to the latter the
time that the frame travelled is added.
"""
from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.guest.config import GIB, MIB
from tests.guest.guest import Guest, GuestError
from tests.guest.control import ControlError
from tests.guest.host import Frame, Host
from tests.guest.samples import Sample
from tests.guest.wait import wait_for

DISK_BYTES = 32 * GIB  # of zeroes; takes no space
SWAP_BURST_BYTES = 1 * MIB
URGENT = 2  # URGENCY_HIGH of memtide.proto
MNT = "mkdir -p /mnt && mount -t tmpfs -o size=0,nr_inodes=0 tmpfs /mnt"


class Expect(enum.Enum):
    BEFORE_DEATH = "asks before the OOM killer"
    BEFORE_SWAP = "asks before swap-out"
    KERNEL_ZONE = "asks for kernel memory before the OOM killer"
    ASKS = "asks"
    SILENT = "does not ask"


@dataclass(frozen=True)
class Trial:
    """`load` and `before` are shell words in the guest, made from the bytes that it has and has available."""

    expect: Expect
    load: Callable[[int, int], str]
    before: tuple[Callable[[int, int], str], ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    plug_bytes: int = 0    # of movable memory, at the start
    most_s: float = 120.0  # until it has died, asked, or is through


@dataclass(frozen=True)
class Outcome:
    expect: Expect
    asks: tuple[Frame, ...]  # alarms that want memory
    alarm: Frame | None      # the first of them that is urgent: a wish of no hurry may wait for its turn
    end_usec: int | None     # of the guest's life as it was: the OOM kill, or the first burst of swap-out
    lead_s: float | None     # from that alarm's arrival to that end
    mib_s: float             # what the load did until then: a slow machine is gentler than it is told to be

    def holds(self, delay_s: float) -> bool:
        """Whether the expectation was met, with memory taking `delay_s` to come."""
        if self.expect is Expect.SILENT:
            return not self.asks
        if self.alarm is None or (self.expect is Expect.KERNEL_ZONE and not self.alarm.message.kernel_zone):
            return False
        if self.expect is Expect.ASKS:
            return True
        least_s = 0.0 if self.expect is Expect.BEFORE_SWAP else delay_s
        return self.lead_s is not None and self.lead_s > least_s


def ramp(rate: int) -> Callable[[int, int], str]:
    return lambda total, available: f"load ramp {2 * total} {rate} 0"


def bare_ramp(rate: int) -> Callable[[int, int], str]:
    """Without content, which costs an emulated CPU most of the rate, and which only swap would look at."""
    return lambda total, available: f"load storm {2 * total} {rate}"


def leak(total: int, available: int) -> str:
    """All but 90 MiB at 200 MiB/s, then 2 MiB/s."""
    return f"load ramp {2 * total} 2 0 {available - 90 * MIB}"


def fork_storm(total: int, available: int) -> str:
    return f"load fork {3 * total // 2} 60 1500 30"


def fill_cache(total: int, available: int) -> str:
    return f"reader stream /dev/vda 0 {6 * total // 5 // MIB * MIB}"


def in_a_box(total: int, available: int) -> str:
    return ("echo +memory >/sys/fs/cgroup/cgroup.subtree_control; mkdir /sys/fs/cgroup/box; "
            "echo 100M >/sys/fs/cgroup/box/memory.max; "
            f"echo $$ >/sys/fs/cgroup/box/cgroup.procs; exec reader random /dev/vda {160 * MIB}")


def constant(words: str) -> Callable[[int, int], str]:
    return lambda total, available: words


def _ramps(prefix: str, expect: Expect, **options: Any) -> dict[str, Trial]:
    cases = {f"{prefix}{rate}{', full cache' if full else ''}": (rate, full)
             for full in (False, True) for rate in (50, 200, 400)}
    make = ramp if expect is Expect.BEFORE_SWAP else bare_ramp
    return {name: Trial(expect, make(rate), (fill_cache,) if full else (), {"disk_bytes": DISK_BYTES, **options})
            for name, (rate, full) in cases.items()}


ZONES = {"memory_mib": 256, "cpus": 1, "auto_online": "online_movable"}
MOUNTED = (constant(MNT),)

TRIALS: dict[str, Trial] = {
    **_ramps("anon ", Expect.BEFORE_DEATH),
    "fork storm": Trial(Expect.BEFORE_DEATH, fork_storm),
    "tmpfs 100": Trial(Expect.BEFORE_DEATH, lambda total, available: f"load tmpfs /mnt/file {2 * total} 100", MOUNTED),
    "mlock 100": Trial(Expect.BEFORE_DEATH, lambda total, available: f"load mlock {2 * total} 100 0"),
    "leak 2": Trial(Expect.BEFORE_DEATH, leak, most_s=180),
    **_ramps("zram, anon ", Expect.BEFORE_SWAP, zram="256M"),
    "disk swap, anon 200": Trial(Expect.BEFORE_SWAP, ramp(200), (constant("mkswap /dev/vda >/dev/null && swapon /dev/vda"),),
                                 {"disk_bytes": 2 * GIB}),
    "zipf 1.2x": Trial(Expect.ASKS, lambda total, available: f"reader zipf /dev/vda {6 * total // 5}", (fill_cache,),
                       {"disk_bytes": DISK_BYTES}),
    "stream 10x": Trial(Expect.SILENT, lambda total, available: f"reader stream /dev/vda 0 {10 * total // MIB * MIB}", (),
                        {"disk_bytes": DISK_BYTES}, most_s=480),
    "cgroup at its limit": Trial(Expect.SILENT, in_a_box, (), {"disk_bytes": DISK_BYTES}, most_s=15),
    "page tables, movable free": Trial(Expect.KERNEL_ZONE, constant("load tables 100000 4000"), (), ZONES, 1 * GIB),
    "inodes, movable free": Trial(Expect.KERNEL_ZONE, constant("load files /mnt 1000000 12000"), MOUNTED, ZONES, 1 * GIB),
}


def run(vm: Guest, host: Host, trial: Trial) -> Outcome:
    host.wait("report", 30)
    if trial.plug_bytes:
        vm.request_virtio_mem(trial.plug_bytes)
        wait_for("memory is plugged", lambda: vm.virtio_mem_bytes() == trial.plug_bytes, 20)
    sample = vm.sample()
    sizes = sample.total_bytes, sample.available_bytes
    for words in trial.before:
        vm.check(words(*sizes), timeout=90)
    vm.check(f"sh -c 'echo $$ >/run/trial.pid; {trial.load(*sizes)}' </dev/null >&5 2>&5 3>&- &")
    start = vm.sample()
    start_usec = int(vm.monotonic() * 1e6) - 50_000
    _wait_end(vm, host, trial, start, start_usec)
    return _judge(trial, [s for s in vm.samples.all if s.t_usec >= start.t_usec], host.frames, start_usec)


def _asks(frames: list[Frame], since_usec: int) -> list[Frame]:
    return [f for f in frames if f.body == "alarm" and f.guest_usec >= since_usec and f.message.need_bytes > 0]


def _wait_end(vm: Guest, host: Host, trial: Trial, start: Sample, start_usec: int) -> None:
    def is_over() -> bool:
        now = vm.sample()
        if trial.expect is Expect.ASKS:
            return any(f.message.urgency >= URGENT for f in _asks(host.frames, start_usec))
        if trial.expect is Expect.SILENT:
            return not _is_running(vm)
        if trial.expect is Expect.BEFORE_SWAP:
            return now.swapped_out_bytes > start.swapped_out_bytes + 16 * SWAP_BURST_BYTES
        return now.oom_kills > start.oom_kills or not vm.running
    try:
        wait_for("the load's end", is_over, trial.most_s, interval=0.1)
    except AssertionError:
        print("the load has not come to its end")
    except (GuestError, ControlError):
        pass  # a guest that runs out of what nobody can be killed for panics
    vm.samples.poll()


def _is_running(vm: Guest) -> bool:
    return vm.run("kill -0 $(cat /run/trial.pid) 2>/dev/null")[0] == 0


def _end_usec(trial: Trial, samples: list[Sample]) -> int | None:
    """The last sample before it: a guest that panics has no later one."""
    if trial.expect in (Expect.ASKS, Expect.SILENT):
        return None
    first = samples[0]
    for before, sample in zip(samples, samples[1:]):
        swapped = sample.swapped_out_bytes - first.swapped_out_bytes
        if trial.expect is Expect.BEFORE_SWAP and swapped >= SWAP_BURST_BYTES:
            return before.t_usec
        if trial.expect is not Expect.BEFORE_SWAP and sample.oom_kills > first.oom_kills:
            return before.t_usec
    return None if trial.expect is Expect.BEFORE_SWAP else samples[-1].t_usec


def _judge(trial: Trial, samples: list[Sample], frames: list[Frame], start_usec: int) -> Outcome:
    asks = _asks(frames, start_usec)
    alarm = next((f for f in asks if f.message.urgency >= URGENT), None)
    end = _end_usec(trial, samples)
    lead = None
    if alarm is not None and end is not None:
        apart = min(f.at * 1e6 - f.guest_usec for f in frames if f.guest_usec)
        travelled = alarm.at * 1e6 - alarm.guest_usec - apart
        lead = (end - alarm.guest_usec - travelled) / 1e6
    return Outcome(trial.expect, tuple(asks), alarm, end, lead, _rate(samples, end))


def _rate(samples: list[Sample], end_usec: int | None) -> float:
    """MiB/s that became unavailable over the last half of the way: also of loads that do not count what they touch."""
    until = [s for s in samples if end_usec is None or s.t_usec <= end_usec]
    first, last = until[len(until) // 2], until[-1]
    seconds = max((last.t_usec - first.t_usec) / 1e6, 0.001)
    return max(first.available_bytes - last.available_bytes, 0) / MIB / seconds
