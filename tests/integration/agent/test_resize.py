# SPDX-License-Identifier: Apache-2.0
"""Growth is confirmed by what became usable; shrinking is a conversation."""
from __future__ import annotations

import time

import memtide_pb2 as pb

MIB = 1 << 20


def shrink(guest, *, number=9, step=1, size=64 * MIB, last=True, seconds=3.0, remaining=None):
    guest.bridge.send("shrink_request", id=number, step=step, bytes=size, remaining_bytes=remaining or size, last=last,
                      deadline_usec=guest.bridge.now_usec() + int(seconds * 1e6))


def settle(guest):
    """U0 is taken half a second after the last resize at the earliest; the start counts as one."""
    time.sleep(0.8)


def test_growth_is_confirmed_as_it_arrives(guest):
    guest.start()
    start = guest.bridge.wait("report").usable_bytes
    guest.bridge.send("grow_notice", id=3, bytes=256 * MIB, deadline_usec=guest.bridge.now_usec() + 5_000_000)
    time.sleep(0.1)
    guest.machine.plug(128 * MIB)
    half = guest.bridge.wait("resize_confirm")
    assert (half.id, half.step, half.delta_bytes, half.usable_bytes) == (3, 0, 128 * MIB, start + 128 * MIB)
    guest.machine.plug(128 * MIB)
    whole = guest.bridge.wait("resize_confirm", accept=lambda c: c.delta_bytes == 256 * MIB)
    assert whole.usable_bytes == start + 256 * MIB and whole.latency_usec >= half.latency_usec
    time.sleep(0.3)
    assert len(guest.bridge.all("resize_confirm")) == 2


def test_a_notice_is_answered_with_what_the_guest_can_take(guest):
    """The fixture's kernel zones have room for some GiB of memmap; a TiB of it would kill the guest."""
    guest.start()
    budget = guest.bridge.wait("report").plug_budget_bytes
    deadline_usec = guest.bridge.now_usec() + 5_000_000
    for number, size, balloon in (1, budget, False), (2, 1 << 40, False), (3, 1 << 40, True):
        guest.bridge.send("grow_notice", id=number, bytes=size, balloon=balloon, deadline_usec=deadline_usec)
    answers = {n: guest.bridge.wait("command_result", accept=lambda r, n=n: r.id == n) for n in (1, 2, 3)}
    assert {a.bytes for a in answers.values()} == {budget}
    assert (answers[1].outcome, answers[3].outcome) == (pb.COMMAND_DONE, pb.COMMAND_DONE)
    assert (answers[2].outcome, answers[2].reason) == (pb.COMMAND_REFUSED, pb.REFUSAL_MARGIN)


def test_growth_that_does_not_come_is_confirmed_as_nothing(guest):
    guest.start()
    guest.bridge.send("grow_notice", id=3, bytes=256 * MIB, deadline_usec=guest.bridge.now_usec() + 400_000)
    confirm = guest.bridge.wait("resize_confirm")
    assert (confirm.id, confirm.delta_bytes) == (3, 0)
    assert confirm.latency_usec >= 390_000


def test_free_memory_is_offered_at_once(guest):
    guest.start(free=600 * MIB)
    settle(guest)
    shrink(guest)
    offer = guest.bridge.wait("shrink_offer")
    assert (offer.offered_bytes, offer.reason, offer.reclaimed_bytes) == (64 * MIB, pb.REFUSAL_NONE, 0)
    guest.machine.plug(-64 * MIB)
    confirm = guest.bridge.wait("resize_confirm")
    assert (confirm.id, confirm.step, confirm.delta_bytes) == (9, 1, -64 * MIB)
    assert not guest.machine.reclaimed


def test_what_is_not_free_is_reclaimed_first(guest):
    """And the agent goes on looking while the kernel works."""
    guest.bridge.interval_usec = 5_000_000
    guest.start(free=20 * MIB)
    settle(guest)
    guest.machine.hold_reclaim()
    mark = guest.bridge.mark()
    shrink(guest)
    time.sleep(0.5)
    assert not guest.bridge.all("shrink_offer", since=mark)
    assert len(guest.bridge.all("report", since=mark)) >= 5
    guest.machine.release_reclaim(300 * MIB)
    offer = guest.bridge.wait("shrink_offer")
    assert (offer.offered_bytes, offer.reclaimed_bytes) == (64 * MIB, 300 * MIB)
    time.sleep(0.3)
    assert 0 < sum(guest.machine.reclaimed) <= 300 * MIB  # it ends early where enough is seen to be free
    assert max(guest.machine.reclaimed) <= 16 * MIB


def test_cache_that_is_read_again_is_kept(guest):
    """It rebounds while the agent watches; then nothing is offered, and the hold is that of a bad probe."""
    guest.start(free=20 * MIB)
    settle(guest)
    guest.machine.hold_reclaim()
    shrink(guest)
    time.sleep(0.3)
    guest.machine.release_reclaim(300 * MIB)
    time.sleep(0.5)
    guest.machine.file += 40 * MIB
    guest.machine.write()
    offer = guest.bridge.wait("shrink_offer")
    assert (offer.offered_bytes, offer.reason, offer.hold_usec) == (0, pb.REFUSAL_PRESSURE, 1_000_000)
    guest.wait_for_log("Of 300 MiB reclaimed for the host, 40 MiB were needed")
    time.sleep(1.2)
    mark = guest.bridge.mark()
    shrink(guest, number=10)
    assert guest.bridge.wait("shrink_offer", since=mark).offered_bytes == 64 * MIB


def test_reclaim_in_vain_is_a_refusal(guest):
    guest.start(free=20 * MIB)
    settle(guest)
    shrink(guest)
    offer = guest.bridge.wait("shrink_offer")
    assert (offer.offered_bytes, offer.reason) == (0, pb.REFUSAL_NOT_FREED)
    assert offer.hold_usec == 1_000_000


def test_a_reclaim_that_takes_too_long_is_cut_short(guest):
    guest.start(free=20 * MIB)
    settle(guest)
    guest.machine.hold_reclaim()
    shrink(guest, seconds=0.6)
    offer = guest.bridge.wait("shrink_offer")
    assert (offer.offered_bytes, offer.reason) == (0, pb.REFUSAL_NOT_FREED)
    guest.machine.release_reclaim(300 * MIB)
    time.sleep(1.1)
    mark = guest.bridge.mark()
    shrink(guest, number=10)
    assert guest.bridge.wait("shrink_offer", since=mark).offered_bytes == 64 * MIB


def test_a_workload_that_grows_ends_the_reclaim(guest):
    guest.start(free=20 * MIB)
    settle(guest)
    guest.machine.hold_reclaim()
    shrink(guest, seconds=8)
    started = time.monotonic()
    for _ in range(30):
        guest.machine.use(20 * MIB)
        time.sleep(0.03)
    offer = guest.bridge.wait("shrink_offer")
    assert (offer.offered_bytes, offer.reason) == (0, pb.REFUSAL_PRESSURE)
    assert time.monotonic() - started < 5  # not at the deadline


def test_a_lost_host_ends_the_reclaim(guest):
    guest.start(free=20 * MIB)
    settle(guest)
    guest.machine.hold_reclaim()
    shrink(guest)
    time.sleep(0.2)
    mark = guest.bridge.mark()
    guest.bridge.disconnect()
    guest.bridge.wait("report", since=mark)
    guest.machine.release_reclaim(300 * MIB)
    shrink(guest, number=10)
    offer = guest.bridge.wait("shrink_offer", since=mark)
    assert (offer.id, offer.offered_bytes) == (10, 64 * MIB)


def test_ends_cleanly_while_the_kernel_reclaims(guest):
    guest.start(free=20 * MIB)
    settle(guest)
    guest.machine.hold_reclaim()
    shrink(guest)
    time.sleep(0.3)
    assert guest.stop() == 0


def test_a_shrink_below_the_margin_is_refused_by_arithmetic(guest):
    guest.start(available=420 * MIB, free=400 * MIB)
    settle(guest)
    shrink(guest, size=400 * MIB)
    offer = guest.bridge.wait("shrink_offer")
    assert offer.offered_bytes == 0 and offer.reason in (pb.REFUSAL_MARGIN, pb.REFUSAL_FLOOR)
    assert offer.acceptable_bytes > guest.machine.total - 400 * MIB


def test_a_growing_workload_stops_the_shrink(guest):
    guest.start(free=600 * MIB)
    settle(guest)
    shrink(guest)
    guest.bridge.wait("shrink_offer", accept=lambda o: o.offered_bytes > 0)
    mark = guest.bridge.mark()
    guest.machine.use(200 * MIB)
    started = time.monotonic()
    alarm = guest.bridge.wait("alarm", since=mark, accept=lambda a: a.veto_id == 9)
    assert alarm.cause == pb.CAUSE_VETO and alarm.urgency >= pb.URGENCY_HIGH
    assert time.monotonic() - started < 1  # an order of magnitude, not a timing


def test_pages_that_are_reported_to_the_host_stop_no_shrink(guest):
    """They are off the free lists, and nobody has taken them."""
    guest.start(free=600 * MIB)
    settle(guest)
    shrink(guest)
    guest.bridge.wait("shrink_offer", accept=lambda o: o.offered_bytes > 0)
    guest.machine.isolate(98 * MIB)
    guest.bridge.wait("report", since=guest.bridge.mark(), accept=lambda r: r.memory_available_bytes == guest.machine.available)
    guest.machine.isolate(-98 * MIB)
    guest.machine.plug(-64 * MIB)
    assert guest.bridge.wait("resize_confirm").delta_bytes == -64 * MIB
    assert not guest.bridge.all("alarm")


def test_the_agent_is_not_silent_while_a_step_is_in_flight(guest):
    guest.bridge.interval_usec = 5_000_000
    guest.start(free=600 * MIB)
    settle(guest)
    shrink(guest, seconds=1)
    guest.bridge.wait("shrink_offer")
    mark = guest.bridge.mark()
    time.sleep(2)  # the deadline of the answer passes: the host may still take what was offered
    assert len(guest.bridge.all("report", since=mark)) >= 20
    assert all(r.interval_usec <= 100_000 for r in guest.bridge.all("report", since=mark))


def test_works_without_reclaim_and_says_so(guest):
    guest.start(free=600 * MIB, reclaim=False)
    hello = guest.bridge.wait("hello")
    assert pb.FACILITY_RECLAIM in [m.facility for m in hello.missing]
    assert not hello.capabilities & pb.CAPABILITY_RECLAIM
    settle(guest)
    shrink(guest)
    assert guest.bridge.wait("shrink_offer").offered_bytes == 64 * MIB


def test_falling_memory_raises_an_alarm_at_once(guest):
    guest.bridge.interval_usec = 5_000_000
    guest.start()
    for _ in range(40):
        guest.machine.use(16 * MIB)
        time.sleep(0.05)
    alarm = guest.bridge.wait("alarm")
    assert alarm.urgency >= pb.URGENCY_HIGH and alarm.need_bytes > 0 and alarm.veto_id == 0
    urgent = guest.bridge.wait("report", accept=lambda r: r.urgency >= pb.URGENCY_HIGH)
    assert urgent.interval_usec <= 100_000


def test_the_pace_of_reports_is_the_hosts(guest):
    guest.start()
    mark = guest.bridge.mark()
    time.sleep(2.1)
    assert 8 <= len(guest.bridge.all("report", since=mark)) <= 12
    guest.bridge.send("tuning", id=1, deadline_usec=guest.bridge.now_usec() + 1_000_000, report_interval_usec=1_000_000)
    guest.bridge.wait("command_result", accept=lambda r: r.outcome == pb.COMMAND_DONE)
    mark = guest.bridge.mark()
    time.sleep(2.5)
    assert 2 <= len(guest.bridge.all("report", since=mark)) <= 4
