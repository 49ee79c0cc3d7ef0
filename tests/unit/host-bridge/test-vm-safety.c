/* SPDX-License-Identifier: Apache-2.0 */

/* One VM when things go wrong: silence, pause, reset, rivals, lies. The fail-static contract of reliability.md 6. */

#include "vm-fixture.h"

#include "common/log.h"

/* -- silence, grace, reset ------------------------------------------------------------------------- */

static void test_silence_never_shrinks(void **state) {
        Fixture *f = *state;

        f->env.session.stale_usec = 30 * USEC_PER_MSEC; /* shorter than the calm that is wanted */
        grown_by_1gib(f);
        start(f, &adopted);
        send(f, report_of(f, GIB, -(int64_t) (512 * MIB), URGENCY_NONE));
        send(f, report_of(f, GIB, -(int64_t) (512 * MIB), URGENCY_NONE));
        world_idle(&f->world, 250); /* calm for long, and silent */
        vm_tick(f->vm, world_now());
        vm_tick(f->vm, world_now());
        assert_int_equal(f->agent.n[MESSAGE_SHRINK_REQUEST], 0);
}

/* One report after a pause is not enough to count calm from. */
static void test_grace_after_pause(void **state) {
        Fixture *f = *state;
        VmSnapshot snapshot;

        grown_by_1gib(f);
        start(f, &adopted);
        tell(&f->hypervisor, VMM_PAUSED, 0);
        vm_snapshot(f->vm, world_now(), &snapshot);
        assert_int_equal(snapshot.state, VM_PAUSED);
        send_alarm(f, 256 * MIB);
        assert_int_equal(f->hypervisor.n_commands, 0);

        tell(&f->hypervisor, VMM_RUNNING, 0);
        send(f, report_of(f, GIB, -(int64_t) (512 * MIB), URGENCY_NONE));
        world_idle(&f->world, 70);
        vm_tick(f->vm, world_now());
        assert_int_equal(f->agent.n[MESSAGE_SHRINK_REQUEST], 0);
        shrink_begins(f);
}

static void test_pause_in_flight(void **state) {
        Fixture *f = *state;

        step_in_flight(f);
        tell(&f->hypervisor, VMM_PAUSED, 0);
        world_idle(&f->world, 250);
        assert_int_equal(newest(f)->result, RESULT_LOST);
        assert_int_equal(f->hypervisor.n_commands, 1);
}

static void test_reset_opens_the_balloon(void **state) {
        Fixture *f = *state;

        f->hypervisor.model.balloon_actual_bytes = 300 * MIB;
        start(f, &adopted);
        tell(&f->hypervisor, VMM_RESET, 0);
        assert_int_equal(f->hypervisor.n_commands, 1);
        assert_int_equal(f->hypervisor.commands[0].actuator, ACTUATOR_BALLOON);
        assert_int_equal(f->hypervisor.commands[0].to_bytes, MIB); /* so that the new driver has to report */
        assert_int_equal(f->ledger.committed_bytes, 511 * MIB);    /* what it may take now is reserved */

        /* Frames of the old boot are void; the new one says Hello. */
        f->agent.n[MESSAGE_WELCOME] = 0;
        send_alarm(f, 256 * MIB);
        assert_int_equal(f->hypervisor.n_commands, 1);
}

static void test_reset_of_an_observed_vm(void **state) {
        Fixture *f = *state;

        f->hypervisor.model.balloon_actual_bytes = 300 * MIB;
        start(f, &(VmPolicy){});
        tell(&f->hypervisor, VMM_RESET, 0);
        assert_int_equal(f->hypervisor.n_commands, 0);
}

static void test_new_agent_ends_the_resize(void **state) {
        Fixture *f = *state;

        step_in_flight(f);
        f->agent.start_nonce++;
        f->agent.handshake_nonce++;
        agent_peer_hello(&f->agent);
        world_idle(&f->world, 5);
        assert_int_equal(newest(f)->result, RESULT_LOST);
}

/* Channel and monitor are gone for long: its memory is the host's again. One of them alone proves nothing. */
static void test_gone(void **state) {
        Fixture *f = *state;

        start(f, &adopted);
        assert_int_equal(f->ledger.committed_bytes, 512 * MIB);
        tell(&f->hypervisor, VMM_LOST, 0);
        vm_tick(f->vm, world_now() + 20 * USEC_PER_SEC);
        assert_int_equal(f->ledger.committed_bytes, 512 * MIB);
        agent_peer_done(&f->agent);
        world_idle(&f->world, 10);
        vm_tick(f->vm, world_now() + USEC_PER_SEC);
        assert_int_equal(f->ledger.committed_bytes, 512 * MIB);
        vm_tick(f->vm, world_now() + 20 * USEC_PER_SEC);
        assert_int_equal(f->ledger.committed_bytes, 0);
}

/* -- others ---------------------------------------------------------------------------------------- */

static void test_rival(void **state) {
        Fixture *f = *state;

        start(f, &adopted);
        send_alarm(f, 256 * MIB);
        fulfil(f);
        send_confirm(f, 0, 256 * MIB);
        f->hypervisor.model.virtio_mem[0].requested_bytes = 128 * MIB; /* an operator at virsh */
        tell(&f->hypervisor, VMM_MODEL, 0);
        send_alarm(f, 256 * MIB);
        send_alarm(f, 256 * MIB);
        assert_int_equal(f->hypervisor.n_commands, 1); /* left alone */
}

static void test_rival_in_flight(void **state) {
        Fixture *f = *state;

        start(f, &adopted);
        send_alarm(f, 256 * MIB);
        f->hypervisor.model.virtio_mem[0].requested_bytes = GIB;
        tell(&f->hypervisor, VMM_MODEL, 0);
        assert_int_equal(newest(f)->result, RESULT_LOST);
        send_alarm(f, 256 * MIB);
        assert_int_equal(f->hypervisor.n_commands, 1);
}

/* loadvm and an incoming migration: another machine goes on, with sizes of its own. */
static void test_another_machine_is_no_rival(void **state) {
        Fixture *f = *state;

        grown_by_1gib(f);
        start(f, &adopted);
        tell(&f->hypervisor, VMM_PAUSED, 0);
        f->hypervisor.model.virtio_mem[0].size_bytes = f->hypervisor.model.virtio_mem[0].requested_bytes = 0;
        f->agent.n[MESSAGE_WELCOME] = 0;
        tell(&f->hypervisor, VMM_RUNNING, 0);
        tell(&f->hypervisor, VMM_MODEL, 0);
        world_idle(&f->world, 50); /* its agent is asked for a new Hello */
        assert_int_equal(f->agent.n[MESSAGE_WELCOME], 1);
        send_alarm(f, 256 * MIB);
        assert_int_equal(f->hypervisor.n_commands, 1);
        assert_int_equal(f->hypervisor.commands[0].from_bytes, 0);

        /* From here on it is compared again. */
        f->hypervisor.model.virtio_mem[0].requested_bytes = GIB;
        tell(&f->hypervisor, VMM_MODEL, 0);
        assert_int_equal(newest(f)->result, RESULT_LOST);
}

static void test_balloon_inflated_by_another(void **state) {
        Fixture *f = *state;

        start(f, &adopted);
        f->hypervisor.model.balloon_actual_bytes = 400 * MIB;
        tell(&f->hypervisor, VMM_MODEL, 0);
        send_alarm(f, 256 * MIB);
        assert_int_equal(f->hypervisor.n_commands, 0);
}

/* What is inflated while a veto is on its way, and until the guest has seen the way back, is nobody else's. */
static void test_balloon_that_turns(void **state) {
        Fixture *f = *state;
        VmPolicy below_boot = adopted;

        below_boot.has_min = true;
        below_boot.min_bytes = 128 * MIB;
        f->hypervisor.model.n_virtio_mem = 0;
        start(f, &below_boot);
        shrink_begins(f);
        send_offer(f);
        assert_int_equal(f->hypervisor.n_commands, 1);
        assert_int_equal(f->hypervisor.commands[0].actuator, ACTUATOR_BALLOON);
        assert_true(f->hypervisor.commands[0].to_bytes >= 64 * MIB);
        tell(&f->hypervisor, VMM_ACCEPTED, f->hypervisor.ids[0]);
        send(f, (Message){.type = MESSAGE_ALARM,
                          .alarm = {.urgency = URGENCY_LOW, .cause = CAUSE_VETO, .veto_id = newest(f)->id}});
        assert_int_equal(f->hypervisor.n_commands, 2);
        assert_int_equal(f->hypervisor.commands[1].to_bytes, 0);
        tell(&f->hypervisor, VMM_ACCEPTED, f->hypervisor.ids[1]);
        f->hypervisor.model.balloon_actual_bytes -= f->hypervisor.commands[0].to_bytes;
        tell(&f->hypervisor, VMM_MODEL, 0);
        f->hypervisor.model.balloon_actual_bytes += f->hypervisor.commands[0].to_bytes;
        tell(&f->hypervisor, VMM_MODEL, 0);
        assert_int_equal(newest(f)->result, RESULT_VETOED);
        send_alarm(f, 64 * MIB);
        assert_int_equal(newest(f)->rule, RULE_DENY_CEILING); /* judged, and not left alone */
}

/* The guest took pages out of its balloon to survive: the target follows, or the next change takes them again. */
static void test_oom_deflation(void **state) {
        Fixture *f = *state;

        f->hypervisor.model.balloon_actual_bytes = 256 * MIB;
        start(f, &adopted);
        f->hypervisor.model.balloon_actual_bytes = 400 * MIB;
        tell(&f->hypervisor, VMM_MODEL, 0);
        assert_int_equal(f->hypervisor.n_commands, 1);
        assert_int_equal(f->hypervisor.commands[0].actuator, ACTUATOR_BALLOON);
        assert_int_equal(f->hypervisor.commands[0].to_bytes, 112 * MIB);
}

/* Somebody plugs a DIMM: its size moves the balloon's actual, and nobody is accused. */
static void test_dimm_is_no_rival(void **state) {
        Fixture *f = *state;

        f->hypervisor.model.balloon_actual_bytes = 256 * MIB;
        start(f, &adopted);
        f->hypervisor.model.dimm_bytes = GIB;
        f->hypervisor.model.balloon_actual_bytes += GIB;
        tell(&f->hypervisor, VMM_MODEL, 0);
        send_alarm(f, 128 * MIB);
        assert_int_equal(f->hypervisor.n_commands, 1);
}

/* -- lies ------------------------------------------------------------------------------------------ */

static void test_figures_are_cut(void **state) {
        Fixture *f = *state;
        Message message;
        VmSnapshot snapshot;

        start(f, &adopted);
        message = report_of(f, 0, 0, URGENCY_NONE);
        message.report.memory_total_bytes = message.report.usable_bytes = 60 * TIB;
        message.report.memory_available_bytes = 59 * TIB;
        message.report.used_bytes = TIB;
        message.report.need_bytes = -(int64_t) (50 * TIB);
        send(f, message);
        vm_snapshot(f->vm, world_now(), &snapshot);
        assert_true(snapshot.usable_bytes <= 512 * MIB + 128 * MIB);
        assert_true(snapshot.available_bytes <= 512 * MIB + 128 * MIB);
        assert_true(snapshot.need_bytes >= -(int64_t) (640 * MIB));
}

static Doubt doubt_of(const Fixture *f) {
        VmSnapshot snapshot;

        vm_snapshot(f->vm, world_now(), &snapshot);
        return snapshot.doubt;
}

/* More than its hypervisor gave, again and again: it is calm and has a surplus, and is not asked for it. */
static void test_quarantine(void **state) {
        Fixture *f = *state;
        Message message;

        grown_by_1gib(f);
        start(f, &adopted);
        message = report_of(f, GIB, -(int64_t) (512 * MIB), URGENCY_NONE);
        message.report.memory_total_bytes = message.report.usable_bytes = 4 * GIB;
        for (unsigned i = 0; i < 20; i++) {
                send(f, message);
                world_idle(&f->world, 10);
                assert_int_equal(doubt_of(f), i < 2 ? DOUBT_NONE : DOUBT_SIZE);
        }
        assert_int_equal(f->agent.n[MESSAGE_SHRINK_REQUEST], 0);

        /* A new agent does not wash it clean. */
        f->agent.start_nonce++;
        f->agent.handshake_nonce++;
        agent_peer_hello(&f->agent);
        world_idle(&f->world, 5);
        send(f, report_of(f, GIB, 0, URGENCY_NONE));
        assert_int_equal(doubt_of(f), DOUBT_SIZE);
}

/* Frames that are whole and mean nothing never become figures; they are counted, and doubted. */
static void test_quarantine_for_frames(void **state) {
        static const uint8_t nonsense[] = {0xff, 0xff, 0xff, 0xff, 0x0f};
        Fixture *f = *state;
        uint8_t frame[FRAME_ENCODED_MAX];
        size_t n = frame_encode(nonsense, sizeof(nonsense), frame);

        start(f, &adopted);
        for (unsigned i = 0; i < 3; i++) {
                assert_int_equal(doubt_of(f), DOUBT_NONE);
                peer_write(&f->agent.peer, frame, n);
                world_idle(&f->world, 5);
                vm_tick(f->vm, world_now());
        }
        assert_int_equal(doubt_of(f), DOUBT_FRAMES);
}

#define vm_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                vm_test(test_silence_never_shrinks),
                vm_test(test_grace_after_pause),
                vm_test(test_pause_in_flight),
                vm_test(test_reset_opens_the_balloon),
                vm_test(test_reset_of_an_observed_vm),
                vm_test(test_new_agent_ends_the_resize),
                vm_test(test_gone),
                vm_test(test_rival),
                vm_test(test_rival_in_flight),
                vm_test(test_another_machine_is_no_rival),
                vm_test(test_balloon_inflated_by_another),
                vm_test(test_oom_deflation),
                vm_test(test_balloon_that_turns),
                vm_test(test_dimm_is_no_rival),
                vm_test(test_figures_are_cut),
                vm_test(test_quarantine),
                vm_test(test_quarantine_for_frames),
        };

        log_setup(LOG_TARGET_STDERR, LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
