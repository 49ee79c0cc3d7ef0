/* SPDX-License-Identifier: Apache-2.0 */

/* A guest that confirms when the resize is closed already, over a real session. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/log.h"
#include "vm-fixture.h"

static void confirm(Fixture *f, uint64_t id, unsigned step, int64_t delta) {
        send(f, (Message){
                        .type = MESSAGE_RESIZE_CONFIRM,
                        .resize_confirm =
                                {.id = id, .step = step, .delta_bytes = delta, .usable_bytes = usable(f)},
                });
}

/* A growth of 128 MiB, of which the guest confirms 60 by its end. */
static uint64_t grown_short(Fixture *f) {
        uint64_t id;

        send_alarm(f, 128 * MIB);
        id = newest(f)->id;
        fulfil(f);
        confirm(f, id, 0, 60 * MIB);
        assert_int_equal(newest(f)->result, RESULT_PENDING);
        world_idle(&f->world, 250);
        assert_int_equal(newest(f)->result, RESULT_PARTIAL);
        assert_int_equal(newest(f)->confirmed_bytes, 60 * MIB);
        return id;
}

static void test_amended(void **state) {
        Fixture *f = *state;
        uint64_t id, closed_usec;

        start(f, &adopted);
        id = grown_short(f);
        closed_usec = newest(f)->closed_usec;
        confirm(f, id + 1, 0, 128 * MIB); /* nobody's */
        confirm(f, id, 0, -(int64_t) (128 * MIB));
        assert_int_equal(newest(f)->result, RESULT_PARTIAL);
        confirm(f, id, 0, 100 * MIB);
        assert_int_equal(newest(f)->result, RESULT_PARTIAL);
        assert_int_equal(newest(f)->confirmed_bytes, 100 * MIB);
        confirm(f, id, 0, INT64_C(9999) * (int64_t) MIB); /* no more than was given */
        assert_int_equal(newest(f)->result, RESULT_DONE);
        assert_int_equal(newest(f)->confirmed_bytes, 128 * MIB);
        assert_int_equal(newest(f)->late_bytes, 68 * MIB);
        assert_int_equal(newest(f)->closed_usec, closed_usec);
        assert_true(newest(f)->late_usec > closed_usec);
        assert_int_equal(f->n_records, 1);
        assert_int_equal(f->hypervisor.n_commands, 1);
}

static void test_spare_of_the_next_growth(void **state) {
        Fixture *f = *state;
        uint64_t id, next;

        start(f, &adopted);
        id = grown_short(f);
        send_alarm(f, 128 * MIB);
        next = newest(f)->id;
        assert_true(next > id);
        fulfil(f);
        confirm(f, next, 0, (128 + 30) * MIB);
        assert_int_equal(f->records[0].confirmed_bytes, 90 * MIB);
        assert_int_equal(newest(f)->result, RESULT_DONE);
        assert_int_equal(newest(f)->confirmed_bytes, 128 * MIB);
        confirm(f, next, 0, (128 + 68) * MIB); /* it is closed too */
        assert_int_equal(f->records[0].confirmed_bytes, 128 * MIB);
        assert_int_equal(f->records[0].result, RESULT_DONE);
        assert_int_equal(newest(f)->confirmed_bytes, 128 * MIB);
        assert_int_equal(newest(f)->late_bytes, 0);
}

static bool is_back(void *userdata) {
        const Fixture *f = userdata;

        return f->agent.session != 0;
}

static void test_not_in_another_session(void **state) {
        Fixture *f = *state;
        uint64_t id;

        start(f, &adopted);
        id = grown_short(f);
        confirm(f, id, 0, 61 * MIB); /* not worth a record, until there is no more */
        assert_int_equal(newest(f)->confirmed_bytes, 60 * MIB);
        peer_hang_up(&f->agent.peer);
        world_idle(&f->world, 50);
        assert_int_equal(newest(f)->confirmed_bytes, 61 * MIB);
        f->agent.session = 0;
        assert_true(world_run(&f->world, is_back, f, 5000));
        confirm(f, id, 0, 128 * MIB);
        assert_int_equal(newest(f)->confirmed_bytes, 61 * MIB);
}

static void test_told_when_the_vm_goes(void **state) {
        Fixture *f = *state;
        uint64_t id;

        start(f, &adopted);
        id = grown_short(f);
        confirm(f, id, 0, 61 * MIB); /* not worth a record, until there is no more */
        send_alarm(f, 128 * MIB);
        assert_int_equal(newest(f)->result, RESULT_PENDING);
        f->vm = vm_free(f->vm);
        assert_int_equal(f->records[0].confirmed_bytes, 61 * MIB);
        assert_int_equal(newest(f)->id, id + 1);
        assert_int_equal(newest(f)->result, RESULT_LOST);
        assert_true(newest(f)->closed_usec > 0);
}

static void test_not_for_ever(void **state) {
        Fixture *f = *state;
        uint64_t id;

        start(f, &adopted);
        id = grown_short(f);
        vm_tick(f->vm, world_now() + 61 * USEC_PER_SEC);
        confirm(f, id, 0, 128 * MIB);
        assert_int_equal(newest(f)->confirmed_bytes, 60 * MIB);
}

/* Between two steps of a shrink the guest says no, and the rest of the first comes then. */
static void test_shrink(void **state) {
        Fixture *f = *state;
        uint64_t id;

        step_in_flight(f);
        id = newest(f)->id;
        fulfil(f);
        confirm(f, id, 1, -(int64_t) (40 * MIB));
        while (f->agent.n[MESSAGE_SHRINK_REQUEST] < 2)
                send(f, report_of(f, usable(f) - 100 * MIB, -(int64_t) (256 * MIB), URGENCY_NONE));
        send(f, (Message){.type = MESSAGE_SHRINK_OFFER,
                          .shrink_offer = {.id = id, .step = 2, .reason = REFUSAL_MARGIN}});
        assert_int_equal(newest(f)->result, RESULT_PARTIAL);
        assert_int_equal(newest(f)->confirmed_bytes, -(int64_t) (40 * MIB));
        confirm(f, id, 1, -(int64_t) (999 * MIB));
        assert_int_equal(newest(f)->confirmed_bytes, -(int64_t) (64 * MIB));
        assert_int_equal(newest(f)->late_bytes, 24 * MIB);
}

#define late_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                late_test(test_amended),
                late_test(test_spare_of_the_next_growth),
                late_test(test_not_in_another_session),
                late_test(test_told_when_the_vm_goes),
                late_test(test_not_for_ever),
                late_test(test_shrink),
        };

        log_setup(LOG_TARGET_STDERR, LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
