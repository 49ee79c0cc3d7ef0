# SPDX-License-Identifier: Apache-2.0
"""The matrix of loads: does the agent ask in time, and is it silent where no memory would help?

Judged on sizes and numbers of CPUs beside those that the rules were fitted on (768 MiB, two). MEMTIDE_LOADS picks loads by
a regular expression over "LOAD @ GUEST"; MEMTIDE_TRIES is how often each is tried. The table is left in BUILD/soak-loads.md.
"""
from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import GuestFactory, MachineFactory
from tests.guest.bridge import Bridge
from tests.guest.config import MIB, GuestConfig
from tests.guest.guest import Guest
from tests.guest.host import Frame, Host
from tests.guest.wait import wait_for
from tests.soak import trials
from tests.soak.table import Table

GUESTS = {"512": (512, 1), "384": (384, 1), "1200": (1200, 1), "512, 2 CPUs": (512, 2)}
WANTED = re.compile(os.environ.get("MEMTIDE_LOADS", "."))
TRIES = int(os.environ.get("MEMTIDE_TRIES", "1"))
CASES = [f"{load} @ {guest}" for load, trial in trials.TRIALS.items() for guest in GUESTS
         if "memory_mib" not in trial.options or guest == "512"]


@pytest.fixture(scope="module")
def table(build: Path) -> Table:
    return Table(build / "soak-loads.md", ("load", "guest", "MiB/s", "first ask", "first urgent", "lead, s",
                                           "asked for, MiB", "available, %", "asks", "expected", "ok"))


@pytest.fixture(scope="module")
def delay_s(build: Path, machine_with: MachineFactory) -> Iterator[float]:
    """The actuator's delay on this machine: from an alarm to the guest's first confirmation, in a ramp."""
    with tempfile.TemporaryDirectory(prefix="mt-") as name:
        folder = Path(name)
        with Bridge(build, folder) as bridge:
            with Guest(GuestConfig("vm"), machine_with(), folder, bridge.discovery) as vm:
                bridge.wait_agent("vm")
                vm.start_load(900 * MIB, 100)
                wait_for("it has grown twice", lambda: len(_times_ms(bridge)) >= 2 or vm.sample().phase == "hold", 120)
                times = _times_ms(bridge)
    delay = max(times) / 1000
    print(f"actuator delay {delay:.3f} s")
    yield delay


def _times_ms(bridge: Bridge) -> list[float]:
    times = (d.milliseconds("alarm_usec", "first_confirm_usec") for d in bridge.decisions("vm"))
    return [time for time in times if time]


@pytest.mark.parametrize("attempt", range(1, TRIES + 1))
@pytest.mark.parametrize("case", [case for case in CASES if WANTED.search(case)])
def test_load(lone_guest: GuestFactory, build: Path, table: Table, delay_s: float, case: str, attempt: int) -> None:
    load, _, guest = case.partition(" @ ")
    trial = trials.TRIALS[load]
    memory_mib, cpus = GUESTS[guest]
    options = {"memory_mib": memory_mib, "cpus": cpus, **trial.options}
    vm = lone_guest(**options)
    with Host(vm.paths.channel, build) as host:
        seen = trials.run(vm, host, trial)
    alarm = seen.alarm.message if seen.alarm else None
    table.add(load, f"{options['memory_mib']} MiB, {options['cpus']} CPU", f"{seen.mib_s:.0f}",
              _words(seen.asks[0]) if seen.asks else "none", _words(seen.alarm) if seen.alarm else "none",
              "-" if seen.lead_s is None else f"{seen.lead_s:.2f}", alarm.need_bytes // MIB if alarm else "-",
              100 * alarm.memory_available_bytes // alarm.usable_bytes if alarm else "-", len(seen.asks),
              seen.expect.value, "yes" if seen.holds(delay_s) else "NO")
    print(f"{case}: {[_words(ask) for ask in seen.asks[:5]]}, lead {seen.lead_s} s, delay {delay_s:.3f} s")
    assert seen.holds(delay_s), seen.expect.value


def _words(ask: Frame) -> str:
    fields = ask.message.DESCRIPTOR.fields_by_name
    return ", ".join(fields[key].enum_type.values_by_number[getattr(ask.message, key)].name.partition("_")[2]
                     .lower().replace("_", "-") for key in ("cause", "urgency"))
