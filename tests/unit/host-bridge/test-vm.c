/* SPDX-License-Identifier: Apache-2.0 */

/* One VM: growth, two-phase grants, the shrink conversation. */

#include "vm-fixture.h"

#include <errno.h>

#include "common/log.h"

/* -- growth ---------------------------------------------------------------------------------------- */

static void test_grow(void **state) {
        Fixture *f = *state;
        const PlanStep *step = &f->hypervisor.commands[0];

        start(f, &adopted);
        send_alarm(f, 256 * MIB);
        assert_int_equal(f->hypervisor.n_commands, 1);
        assert_int_equal(f->commands_at_record, 0); /* its reason was on record before it was sent */
        assert_int_equal(step->actuator, ACTUATOR_VIRTIO_MEM);
        assert_int_equal(step->to_bytes, 256 * MIB);
        assert_int_equal(f->agent.n[MESSAGE_GROW_NOTICE], 1);
        assert_int_equal(f->agent.last[MESSAGE_GROW_NOTICE].grow_notice.id, newest(f)->id);
        assert_int_equal(f->ledger.committed_bytes, 768 * MIB); /* reserved at once */

        fulfil(f);
        assert_int_equal(newest(f)->result, RESULT_PENDING); /* the hypervisor's word is not enough */
        send_confirm(f, 0, 256 * MIB);
        assert_int_equal(newest(f)->result, RESULT_DONE);
        assert_int_equal(newest(f)->confirmed_bytes, 256 * MIB);
        assert_true(newest(f)->alarm_usec > 0 && newest(f)->request_usec >= newest(f)->alarm_usec);
        assert_int_equal(f->ledger.committed_bytes, 768 * MIB);
}

/* The same alarm is not answered twice. */
static void test_not_judged_twice(void **state) {
        Fixture *f = *state;

        start(f, &adopted);
        send_alarm(f, 256 * MIB);
        fulfil(f);
        send_confirm(f, 0, 256 * MIB);
        for (unsigned i = 0; i < 5; i++) {
                tell(&f->hypervisor, VMM_MODEL, 0);
                vm_round_judge(f->vm, world_now());
                world_idle(&f->world, 5);
        }
        assert_int_equal(f->hypervisor.n_commands, 1);
        send_alarm(f, 256 * MIB); /* a new one is */
        assert_int_equal(f->hypervisor.n_commands, 2);
}

static void test_observed_without_max(void **state) {
        Fixture *f = *state;
        VmSnapshot snapshot;

        start(f, &(VmPolicy){});
        send_alarm(f, 256 * MIB);
        send_alarm(f, 256 * MIB);
        assert_int_equal(f->hypervisor.n_commands, 0);
        send(f, report_of(f, 100 * MIB, 0, URGENCY_NONE));
        send_alarm(f, 256 * MIB);
        assert_int_equal(f->n_records, 1); /* said once, also to one that is calm in between */
        assert_int_equal(newest(f)->rule, RULE_DENY_OBSERVED);
        vm_snapshot(f->vm, world_now(), &snapshot);
        assert_int_equal(snapshot.state, VM_OBSERVED);
}

static void test_bounds(void **state) {
        static const struct {
                const char *name;
                uint64_t max_bytes, budget_bytes;
                int64_t need_bytes;
                uint64_t expected_bytes; /* requested; 0: denied */
                DecisionRule rule;
        } cases[] = {
                {"as asked", UINT64_MAX, 8 * GIB, 512 * MIB, 512 * MIB, RULE_GROW_ALARM},
                {"policy", 768 * MIB, 8 * GIB, GIB, 256 * MIB, RULE_GROW_ALARM},
                {"policy reached", 512 * MIB, 8 * GIB, GIB, 0, RULE_DENY_MAX},
                {"budget", UINT64_MAX, 700 * MIB, GIB, 188 * MIB, RULE_GROW_ALARM},
                {"budget reached", UINT64_MAX, 512 * MIB, GIB, 0, RULE_DENY_BUDGET},
                {"a lie", UINT64_MAX, 8 * GIB, INT64_C(60) * (int64_t) TIB, GIB,
                 RULE_GROW_ALARM}, /* one wave */
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                void *inner = NULL;
                Fixture *f;

                (void) setup(&inner);
                f = inner;
                f->ledger.budget_bytes = cases[i].budget_bytes;
                start(f, &(VmPolicy){.controlled = true, .max_bytes = cases[i].max_bytes});
                send_alarm(f, cases[i].need_bytes);
                if (newest(f)->rule != cases[i].rule ||
                    f->hypervisor.n_commands != (cases[i].expected_bytes > 0 ? 1 : 0) ||
                    f->hypervisor.commands[0].to_bytes != cases[i].expected_bytes)
                        fail_msg("%s: %s, %llu", cases[i].name, decision_rule_to_string(newest(f)->rule),
                                 (unsigned long long) f->hypervisor.commands[0].to_bytes);
                assert_true(f->ledger.committed_bytes <= cases[i].budget_bytes);
                (void) teardown(&inner);
        }
        (void) setup(state); /* for the teardown of the group */
}

/* -- modes ----------------------------------------------------------------------------------------- */

static void test_shadow_decides_and_does_nothing(void **state) {
        const VmPolicy shadow = {.mode = VM_MODE_SHADOW, .controlled = true, .max_bytes = UINT64_MAX};
        Fixture *f = *state;
        VmSnapshot snapshot;

        start(f, &shadow);
        send_alarm(f, 256 * MIB);
        assert_int_equal(newest(f)->rule, RULE_GROW_ALARM);
        assert_int_equal(newest(f)->result, RESULT_SHADOW);
        assert_int_equal(f->ledger.committed_bytes, 512 * MIB);
        for (unsigned i = 0; i < 10; i++)
                send_alarm(f, 256 * MIB);
        assert_int_equal(f->n_records, 1); /* not once per alarm */
        assert_int_equal(f->hypervisor.n_commands, 0);
        assert_int_equal(f->agent.n[MESSAGE_GROW_NOTICE], 0);
        vm_snapshot(f->vm, world_now(), &snapshot);
        assert_int_equal(snapshot.state, VM_SHADOW);
        assert_int_equal(snapshot.n_shadowed, 1);
        assert_int_equal(snapshot.shadow_bytes, 768 * MIB);
}

static void test_shadow_opens_no_balloon(void **state) {
        Fixture *f = *state;

        f->hypervisor.model.balloon_actual_bytes = 256 * MIB;
        start(f, &(VmPolicy){.mode = VM_MODE_SHADOW, .controlled = true, .max_bytes = UINT64_MAX});
        tell(&f->hypervisor, VMM_RESET, 0);
        assert_int_equal(f->hypervisor.n_commands, 0);
}

static void test_shadow_asks_no_guest_to_shrink(void **state) {
        Fixture *f = *state;

        grown_by_1gib(f);
        start(f, &(VmPolicy){.mode = VM_MODE_SHADOW, .controlled = true, .max_bytes = UINT64_MAX});
        for (unsigned i = 0; i < 20; i++)
                send(f, report_of(f, usable(f) - 100 * MIB, -(int64_t) (256 * MIB), URGENCY_NONE));
        assert_int_equal(newest(f)->rule, RULE_SHRINK_IDLE);
        assert_int_equal(newest(f)->result, RESULT_SHADOW);
        assert_int_equal(f->agent.n[MESSAGE_SHRINK_REQUEST], 0);
        assert_int_equal(f->hypervisor.n_commands, 0);
}

static void test_mode_ends_what_is_open(void **state) {
        Fixture *f = *state;

        step_in_flight(f);
        vm_set_policy(f->vm,
                      &(VmPolicy){.mode = VM_MODE_OBSERVED, .controlled = true, .max_bytes = UINT64_MAX});
        assert_int_equal(newest(f)->result, RESULT_LOST);
        assert_int_equal(f->hypervisor.n_commands, 1);
        vm_set_policy(f->vm, &adopted); /* and it is managed again at once */
        tell(&f->hypervisor, VMM_MODEL, 0);
        send_alarm(f, 256 * MIB);
        assert_int_equal(f->hypervisor.n_commands, 2);
}

/* -- two-phase grants ------------------------------------------------------------------------------ */

static void test_reserve_is_released(void **state) {
        Fixture *f = *state;

        start(f, &adopted);
        send_alarm(f, 256 * MIB);
        assert_int_equal(f->ledger.committed_bytes, 768 * MIB);
        f->hypervisor.model.virtio_mem[0].requested_bytes = 0;
        tell(&f->hypervisor, VMM_REJECTED, f->hypervisor.ids[0]);
        assert_int_equal(newest(f)->result, RESULT_FAILED);
        world_idle(&f->world, 5); /* the next reading */
        assert_int_equal(f->ledger.committed_bytes, 512 * MIB);
}

static void test_monitor_lost_between_reserve_and_confirm(void **state) {
        Fixture *f = *state;

        start(f, &adopted);
        send_alarm(f, 256 * MIB);
        tell(&f->hypervisor, VMM_LOST, 0);
        assert_int_equal(newest(f)->result, RESULT_LOST);
        send_alarm(f, 256 * MIB); /* nothing is sent to nobody */
        assert_int_equal(f->hypervisor.n_commands, 1);
        f->hypervisor.model.virtio_mem[0].requested_bytes = 0;
        assert_int_equal(f->ledger.committed_bytes, 768 * MIB); /* QEMU may have taken it: still reserved */
        world_idle(&f->world, 160);                             /* until the alarm is old */
        tell(&f->hypervisor, VMM_CONNECTED, 0);
        tell(&f->hypervisor, VMM_MODEL, 0);
        assert_int_equal(f->ledger.committed_bytes, 512 * MIB); /* the truth was read again */
        assert_int_equal(f->hypervisor.n_commands, 1);
        send_alarm(f, 256 * MIB); /* at once: what was lost is no failure */
        assert_int_equal(f->hypervisor.n_commands, 2);
}

static void test_command_that_can_not_be_sent(void **state) {
        Fixture *f = *state;

        start(f, &adopted);
        f->hypervisor.fails = -ENOBUFS;
        send_alarm(f, 256 * MIB);
        assert_int_equal(newest(f)->result, RESULT_FAILED);
        send_alarm(f, 256 * MIB);
        assert_int_equal(f->n_records, 1); /* held for a second */
}

/* -- shrinking ------------------------------------------------------------------------------------- */

static void test_shrink(void **state) {
        Fixture *f = *state;
        const MessageShrinkRequest *request = &f->agent.last[MESSAGE_SHRINK_REQUEST].shrink_request;

        grown_by_1gib(f);
        start(f, &adopted);
        shrink_begins(f);
        assert_int_equal(f->hypervisor.n_commands, 0); /* asked first */
        assert_int_equal(request->step, 1);
        assert_int_equal(request->bytes, 64 * MIB); /* below the guest's block of 128 */
        assert_int_equal(request->id, newest(f)->id);
        send_offer(f);
        assert_int_equal(f->hypervisor.n_commands, 1);
        assert_int_equal(f->hypervisor.commands[0].to_bytes, GIB - 64 * MIB);
        assert_int_equal(f->ledger.committed_bytes, 512 * MIB + GIB); /* not given to others yet */
        fulfil(f);
        send_confirm(f, 1, -(int64_t) (64 * MIB));
        assert_int_equal(f->agent.n[MESSAGE_SHRINK_REQUEST], 2);
        assert_int_equal(request->step, 2);
}

static void assert_restored(Fixture *f, DecisionResult result) {
        assert_int_equal(f->hypervisor.n_commands, 2);
        assert_int_equal(f->hypervisor.commands[1].to_bytes, GIB);
        tell(&f->hypervisor, VMM_ACCEPTED, f->hypervisor.ids[1]);
        assert_int_equal(newest(f)->result, result);
}

/* After a refusal only what the guest says next counts, however long ago it was calm. */
static void test_no_shrink_on_old_figures(void **state) {
        Fixture *f = *state;
        const MessageShrinkRequest *request = &f->agent.last[MESSAGE_SHRINK_REQUEST].shrink_request;

        grown_by_1gib(f);
        start(f, &adopted);
        shrink_begins(f);
        send(f, (Message){.type = MESSAGE_SHRINK_OFFER,
                          .shrink_offer = {.id = request->id, .step = 1, .reason = REFUSAL_MARGIN}});
        for (unsigned i = 0; i < 10; i++) {
                world_idle(&f->world, 12);
                vm_round_judge(f->vm, world_now());
        }
        assert_int_equal(f->agent.n[MESSAGE_SHRINK_REQUEST], 1);
}

/* Without Min= boot RAM is not ballooned away, with it it is. */
static void test_default_minimum(void **state) {
        Fixture *f = *state;
        VmPolicy policy = adopted;

        start(f, &adopted);
        for (unsigned i = 0; i < 20; i++) {
                send(f, report_of(f, usable(f) - 100 * MIB, -(int64_t) (256 * MIB), URGENCY_NONE));
                world_idle(&f->world, 10);
        }
        assert_int_equal(f->agent.n[MESSAGE_SHRINK_REQUEST], 0);

        policy.has_min = true;
        policy.min_bytes = 256 * MIB;
        vm_set_policy(f->vm, &policy);
        shrink_begins(f);
        assert_true(f->agent.last[MESSAGE_SHRINK_REQUEST].shrink_request.balloon);
}

/* A VM that begins smaller than its boot RAM is not grown for that alone. */
static void test_default_minimum_is_no_promise(void **state) {
        Fixture *f = *state;

        f->hypervisor.model.balloon_actual_bytes = 256 * MIB;
        start(f, &adopted);
        send(f, report_of(f, 100 * MIB, 0, URGENCY_NONE));
        send(f, report_of(f, 100 * MIB, 0, URGENCY_NONE));
        assert_int_equal(f->hypervisor.n_commands, 0);
}

static void test_veto(void **state) {
        Fixture *f = *state;

        step_in_flight(f);
        send(f, (Message){.type = MESSAGE_ALARM,
                          .alarm = {.urgency = URGENCY_LOW, .cause = CAUSE_VETO, .veto_id = newest(f)->id}});
        assert_restored(f, RESULT_VETOED);
}

static void test_veto_of_another_resize(void **state) {
        Fixture *f = *state;

        step_in_flight(f);
        send(f, (Message){.type = MESSAGE_ALARM,
                          .alarm = {.urgency = URGENCY_LOW, .cause = CAUSE_VETO, .veto_id = 999999}});
        assert_int_equal(f->hypervisor.n_commands, 1);
}

static void test_urgency_stops_a_shrink(void **state) {
        Fixture *f = *state;

        step_in_flight(f);
        send(f, report_of(f, MIB, 256 * MIB, URGENCY_HIGH));
        assert_restored(f, RESULT_VETOED);
}

static void test_silence_in_flight(void **state) {
        Fixture *f = *state;

        step_in_flight(f);
        world_idle(&f->world, 150);
        assert_restored(f, RESULT_SILENT);
}

static void test_agent_lost_in_flight(void **state) {
        Fixture *f = *state;

        step_in_flight(f);
        peer_hang_up(&f->agent.peer);
        world_idle(&f->world, 5);
        assert_int_equal(newest(f)->result, RESULT_LOST);
        assert_int_equal(f->hypervisor.n_commands, 1);
}

static void test_alien_offers_and_confirms(void **state) {
        Fixture *f = *state;

        grown_by_1gib(f);
        start(f, &adopted);
        send(f, (Message){.type = MESSAGE_SHRINK_OFFER,
                          .shrink_offer = {.id = 5, .step = 1, .offered_bytes = GIB}});
        send(f, (Message){.type = MESSAGE_RESIZE_CONFIRM, .resize_confirm = {.id = 5, .delta_bytes = -5}});
        assert_int_equal(f->hypervisor.n_commands, 0);
        shrink_begins(f);
        send(f, (Message){.type = MESSAGE_SHRINK_OFFER,
                          .shrink_offer = {.id = newest(f)->id + 1, .step = 1, .offered_bytes = GIB}});
        send(f, (Message){.type = MESSAGE_SHRINK_OFFER,
                          .shrink_offer = {.id = newest(f)->id, .step = 7, .offered_bytes = GIB}});
        assert_int_equal(f->hypervisor.n_commands, 0);
        /* An offer beyond what was asked is held to what was asked. */
        send(f, (Message){.type = MESSAGE_SHRINK_OFFER,
                          .shrink_offer = {.id = newest(f)->id, .step = 1, .offered_bytes = GIB}});
        assert_int_equal(f->hypervisor.commands[0].to_bytes, GIB - 64 * MIB);
}

/* "Not within 150 ms": it is not asked before. */
static void test_refusal_with_a_hold(void **state) {
        Fixture *f = *state;
        const MessageShrinkRequest *request = &f->agent.last[MESSAGE_SHRINK_REQUEST].shrink_request;
        uint64_t refused_usec;

        grown_by_1gib(f);
        start(f, &adopted);
        shrink_begins(f);
        refused_usec = world_now();
        send(f, (Message){.type = MESSAGE_SHRINK_OFFER,
                          .shrink_offer = {.id = request->id,
                                           .step = 1,
                                           .reason = REFUSAL_MARGIN,
                                           .hold_usec = 150 * USEC_PER_MSEC}});
        assert_int_equal(newest(f)->result, RESULT_REFUSED);
        assert_int_equal(newest(f)->refusal, REFUSAL_MARGIN);
        while (f->agent.n[MESSAGE_SHRINK_REQUEST] == 1 && world_now() < refused_usec + 2 * USEC_PER_SEC)
                send(f, report_of(f, usable(f) - 100 * MIB, -(int64_t) (256 * MIB), URGENCY_NONE));
        assert_int_equal(f->agent.n[MESSAGE_SHRINK_REQUEST], 2);
        assert_true(world_now() - refused_usec >= 150 * USEC_PER_MSEC);
}

#define vm_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                vm_test(test_grow),
                vm_test(test_not_judged_twice),
                vm_test(test_observed_without_max),
                vm_test(test_shadow_decides_and_does_nothing),
                vm_test(test_shadow_opens_no_balloon),
                vm_test(test_shadow_asks_no_guest_to_shrink),
                vm_test(test_mode_ends_what_is_open),
                cmocka_unit_test_teardown(test_bounds, teardown),
                vm_test(test_reserve_is_released),
                vm_test(test_monitor_lost_between_reserve_and_confirm),
                vm_test(test_command_that_can_not_be_sent),
                vm_test(test_shrink),
                vm_test(test_no_shrink_on_old_figures),
                vm_test(test_default_minimum),
                vm_test(test_default_minimum_is_no_promise),
                vm_test(test_veto),
                vm_test(test_veto_of_another_resize),
                vm_test(test_urgency_stops_a_shrink),
                vm_test(test_silence_in_flight),
                vm_test(test_agent_lost_in_flight),
                vm_test(test_alien_offers_and_confirms),
                vm_test(test_refusal_with_a_hold),
        };

        log_setup(LOG_TARGET_STDERR, LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
