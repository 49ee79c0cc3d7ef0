/* SPDX-License-Identifier: Apache-2.0 */

/* One VM without virtio-mem and balloon: it grows and shrinks by DIMMs, which its guest has to prepare and to prove. */

#include "vm-fixture.h"

#include "host-bridge/guests/vm-internal.h"

#define UNIT (256 * MIB)

static const VmPolicy with_dimms = {.controlled = true, .max_bytes = UINT64_MAX, .dimm_bytes = UNIT};

static int dimm_setup(void **state) {
        MemoryModel *model;

        assert_int_equal(setup(state), 0);
        model = &((Fixture *) *state)->hypervisor.model;
        model->n_virtio_mem = 0;
        model->has_balloon = false;
        model->free_slots = 2;
        model->room_bytes = GIB;
        return 0;
}

static void plugged_before(Fixture *f) {
        memory_model_set_dimm(&f->hypervisor.model, 0, UNIT);
        f->hypervisor.model.dimm[0].address = 4 * GIB;
}

static void send_result(Fixture *f, uint64_t id, CommandOutcome outcome, RefusalReason reason) {
        send(f, (Message){
                        .type = MESSAGE_COMMAND_RESULT,
                        .command_result = {.id = id, .outcome = outcome, .reason = reason, .bytes = UNIT},
                });
}

static void test_grow(void **state) {
        Fixture *f = *state;

        start(f, &with_dimms);
        send_alarm(f, 100 * MIB);
        assert_int_equal(f->hypervisor.n_commands, 1);
        assert_int_equal(f->hypervisor.commands[0].actuator, ACTUATOR_DIMM);
        assert_int_equal(f->hypervisor.commands[0].to_bytes, UNIT);
        assert_int_equal(f->agent.last[MESSAGE_GROW_NOTICE].grow_notice.bytes, UNIT);
        fulfil(f);
        assert_int_equal(newest(f)->result, RESULT_PENDING); /* plugged is not online */
        send_confirm(f, 0, UNIT);
        assert_int_equal(newest(f)->result, RESULT_DONE);
        assert_int_equal(newest(f)->actuator, ACTUATOR_DIMM);
}

static void test_not_allowed(void **state) {
        static const uint64_t units[] = {0, 192 * MIB}; /* the guest's blocks are of 128 MiB */
        Fixture *f = *state;

        start(f, &adopted);
        for (size_t i = 0; i < ELEMENTSOF(units); i++) {
                VmPolicy policy = adopted;

                policy.dimm_bytes = units[i];
                vm_set_policy(f->vm, &policy);
                send_alarm(f, 100 * MIB);
                assert_int_equal(f->hypervisor.n_commands, 0);
        }
        vm_set_policy(f->vm, &with_dimms);
        send_alarm(f, 100 * MIB);
        assert_int_equal(f->hypervisor.n_commands, 1);
}

/* Said, and no failure: it grows as soon as it can, and nobody else is asked to give for it meanwhile. */
static void test_larger_than_the_guest_can_take(void **state) {
        Fixture *f = *state;
        VmPolicy policy = with_dimms;
        RoundVm round;

        policy.dimm_bytes = 2 * GIB;
        f->hypervisor.model.room_bytes = 8 * GIB;
        start(f, &policy);
        send_alarm(f, 100 * MIB);
        assert_int_equal(f->hypervisor.n_commands, 0);
        assert_int_equal(newest(f)->kind, DECISION_DENY);
        assert_int_equal(newest(f)->rule, RULE_DENY_PLUG);
        assert_true(lacks_has(vm_lacks(f->vm), LACK_DIMM_PLUG));
        vm_round_see(f->vm, world_now(), &round);
        assert_int_equal(round.reach_bytes, round.committed_bytes);

        vm_set_policy(f->vm, &with_dimms);
        assert_false(lacks_has(vm_lacks(f->vm), LACK_DIMM_PLUG));
        send_alarm(f, 100 * MIB);
        assert_int_equal(f->hypervisor.n_commands, 1);
}

static void prepare_begins(Fixture *f) {
        plugged_before(f);
        start(f, &with_dimms);
        shrink_begins(f);
        assert_int_equal(f->agent.last[MESSAGE_SHRINK_REQUEST].shrink_request.bytes, UNIT);
        send_offer(f);
        assert_int_equal(f->agent.n[MESSAGE_OFFLINE_RANGE], 1);
        assert_int_equal(f->agent.last[MESSAGE_OFFLINE_RANGE].range.id, newest(f)->id);
        assert_int_equal(f->agent.last[MESSAGE_OFFLINE_RANGE].range.address, 4 * GIB);
        assert_int_equal(f->agent.last[MESSAGE_OFFLINE_RANGE].range.bytes, UNIT);
        assert_int_equal(f->hypervisor.n_commands, 0);
}

static void test_shrink(void **state) {
        Fixture *f = *state;

        prepare_begins(f);
        send_confirm(f, 1, -(int64_t) UNIT);
        send_result(f, newest(f)->id + 77, COMMAND_DONE, REFUSAL_NONE); /* to something else */
        send_result(f, newest(f)->id, COMMAND_REFUSED,
                    REFUSAL_REPEATED); /* of a copy: the first one stands */
        assert_int_equal(f->hypervisor.n_commands, 0);
        send_result(f, newest(f)->id, COMMAND_DONE, REFUSAL_NONE);
        assert_int_equal(f->hypervisor.n_commands, 1);
        assert_int_equal(f->hypervisor.commands[0].actuator, ACTUATOR_DIMM);
        assert_int_equal(f->hypervisor.commands[0].to_bytes, 0);
        fulfil(f);
        assert_int_equal(newest(f)->result, RESULT_DONE);
        assert_int_equal(newest(f)->confirmed_bytes, -(int64_t) UNIT);
        assert_int_equal(f->agent.n[MESSAGE_ONLINE_RANGE], 1); /* that of the new session */
}

static void test_shrink_refused(void **state) {
        Fixture *f = *state;

        prepare_begins(f);
        send_result(f, newest(f)->id, COMMAND_REFUSED, REFUSAL_MARGIN);
        assert_int_equal(newest(f)->result, RESULT_REFUSED);
        assert_int_equal(newest(f)->refusal, REFUSAL_MARGIN);
        assert_int_equal(f->hypervisor.n_commands, 0);
}

/* It tried and could not: another time another DIMM, and this one not before long. A new boot has nothing pinned there. */
static void test_stuck(void **state) {
        Fixture *f = *state;
        VmSnapshot snapshot;

        prepare_begins(f);
        send_result(f, newest(f)->id, COMMAND_FAILED, REFUSAL_NONE);
        assert_int_equal(newest(f)->result, RESULT_REFUSED);
        world_idle(&f->world, 120); /* the hold after a refusal */
        for (unsigned i = 0; i < 10; i++)
                send(f, report_of(f, usable(f) - 100 * MIB, -(int64_t) (256 * MIB), URGENCY_NONE));
        assert_int_equal(f->agent.n[MESSAGE_SHRINK_REQUEST], 1);
        vm_snapshot(f->vm, world_now(), &snapshot);
        assert_true(snapshot.model.dimm[0].stuck);
        tell(&f->hypervisor, VMM_RESET, 0);
        tell(&f->hypervisor, VMM_MODEL, 0);
        vm_snapshot(f->vm, world_now(), &snapshot);
        assert_false(snapshot.model.dimm[0].stuck);
}

static void test_guest_keeps_it(void **state) {
        Fixture *f = *state;

        prepare_begins(f);
        send_result(f, newest(f)->id, COMMAND_DONE, REFUSAL_NONE);
        tell(&f->hypervisor, VMM_REJECTED, f->hypervisor.ids[0]);
        world_idle(&f->world, 5);
        assert_int_equal(newest(f)->result, RESULT_FAILED);
        assert_int_equal(f->agent.n[MESSAGE_ONLINE_RANGE], 2);
        assert_int_equal(f->agent.last[MESSAGE_ONLINE_RANGE].range.id, newest(f)->id);
        assert_int_equal(f->agent.last[MESSAGE_ONLINE_RANGE].range.address, 4 * GIB);
}

/* A bridge may have ended between "it is offline" and the pull. */
static void test_new_session_has_its_dimms_back(void **state) {
        Fixture *f = *state;

        plugged_before(f);
        start(f, &with_dimms);
        world_idle(&f->world, 5);
        assert_int_equal(f->agent.n[MESSAGE_ONLINE_RANGE], 1);
        assert_int_equal(f->agent.last[MESSAGE_ONLINE_RANGE].range.bytes, UNIT);
        tell(&f->hypervisor, VMM_MODEL, 0);
        world_idle(&f->world, 5);
        assert_int_equal(f->agent.n[MESSAGE_ONLINE_RANGE], 1);
}

static void test_observed_vm_is_told_nothing(void **state) {
        Fixture *f = *state;

        plugged_before(f);
        start(f, &(VmPolicy){.dimm_bytes = UNIT});
        world_idle(&f->world, 5);
        assert_int_equal(f->agent.n[MESSAGE_ONLINE_RANGE], 0);
}

#define dimm_test(f) cmocka_unit_test_setup_teardown(f, dimm_setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                dimm_test(test_grow),
                dimm_test(test_not_allowed),
                dimm_test(test_larger_than_the_guest_can_take),
                dimm_test(test_shrink),
                dimm_test(test_shrink_refused),
                dimm_test(test_stuck),
                dimm_test(test_guest_keeps_it),
                dimm_test(test_new_session_has_its_dimms_back),
                dimm_test(test_observed_vm_is_told_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
