/* SPDX-License-Identifier: Apache-2.0 */

/* What is sent first, what replaces what, and what goes when there is no room. */

#include "agent/host/outbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/macro.h"

static Message answer(uint64_t id) {
        return (Message){.type = MESSAGE_COMMAND_RESULT, .command_result.id = id};
}

static Message event(uint64_t block) {
        return (Message){.type = MESSAGE_BLOCK_EVENT, .block_event.block = block};
}

static Message alarm_with(uint64_t veto_id, int64_t need_bytes) {
        return (Message){.type = MESSAGE_ALARM, .alarm = {.veto_id = veto_id, .need_bytes = need_bytes}};
}

static Message report(uint64_t total) {
        return (Message){.type = MESSAGE_REPORT, .report.memory_total_bytes = total};
}

static Outbox outbox;

static int set_up(void **state) {
        outbox = (Outbox){};
        return 0;
}

static void push(Message message) {
        outbox_push(&outbox, &message);
}

static Message pop(void) {
        Message message;

        assert_true(outbox_pop(&outbox, &message));
        return message;
}

static void test_most_urgent_first(void **state) {
        static const MessageType order[] = {
                MESSAGE_ALARM,       MESSAGE_COMMAND_RESULT, MESSAGE_SHRINK_OFFER,
                MESSAGE_BLOCK_EVENT, MESSAGE_REPORT,
        };
        Message message;

        push(report(1));
        push(event(1));
        push(answer(1));
        push((Message){.type = MESSAGE_SHRINK_OFFER});
        push(alarm_with(0, 1));
        for (size_t i = 0; i < ELEMENTSOF(order); i++)
                assert_int_equal(pop().type, order[i]);
        assert_false(outbox_pop(&outbox, &message));
}

static void test_reports_replace_each_other(void **state) {
        Message message;

        push(report(1));
        push(report(2));
        assert_int_equal(pop().report.memory_total_bytes, 2);
        assert_false(outbox_pop(&outbox, &message));
        assert_int_equal(outbox.n_dropped, 0);
}

static void test_alarms_replace_their_like(void **state) {
        Message message;

        push(alarm_with(0, 1));
        push(alarm_with(7, 2));
        push(alarm_with(0, 3));
        assert_int_equal(pop().alarm.need_bytes, 3);
        assert_int_equal(pop().alarm.veto_id, 7);
        assert_false(outbox_pop(&outbox, &message));
}

static void test_block_events_go_first(void **state) {
        for (uint64_t i = 0; i < OUTBOX_SIZE; i++)
                push(i % 2 == 0 ? event(i) : answer(i));
        push(answer(100));
        push(event(101));
        assert_int_equal(outbox.n_dropped, 2);
        push(alarm_with(0, 1));
        assert_int_equal(outbox.n_dropped, 3);

        assert_int_equal(pop().type, MESSAGE_ALARM);
        for (uint64_t i = 1; i < OUTBOX_SIZE; i += 2)
                assert_int_equal(pop().command_result.id, i);
        assert_int_equal(pop().command_result.id, 100);
        assert_int_equal(pop().block_event.block, 6); /* 0, 2 and 4 had to go */
}

static void test_nothing_more_urgent_goes_for_less(void **state) {
        for (uint64_t i = 0; i < OUTBOX_SIZE; i++)
                push(answer(i));
        push(event(1));
        assert_int_equal(outbox.n_dropped, 1);
        assert_int_equal(pop().command_result.id, 0);
        push(answer(49));
        push(answer(50)); /* an answer goes for an answer: the oldest */
        assert_int_equal(pop().command_result.id, 2);
        for (uint64_t i = 3; i < OUTBOX_SIZE; i++)
                assert_int_equal(pop().command_result.id, i);
        assert_int_equal(pop().command_result.id, 49);
        assert_int_equal(pop().command_result.id, 50);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_most_urgent_first, set_up),
                cmocka_unit_test_setup(test_reports_replace_each_other, set_up),
                cmocka_unit_test_setup(test_alarms_replace_their_like, set_up),
                cmocka_unit_test_setup(test_block_events_go_first, set_up),
                cmocka_unit_test_setup(test_nothing_more_urgent_goes_for_less, set_up),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
