/* SPDX-License-Identifier: Apache-2.0 */

/* The ring of decisions: order, replacement, overflow, selection by VM, ids. */

#include "host-bridge/surfaces/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/log.h"

static Decision make(uint64_t id, const char *vm, DecisionResult result) {
        Decision decision = {.id = id, .kind = DECISION_GROW, .rule = RULE_GROW_ALARM, .result = result};

        (void) strncpy(decision.vm, vm, sizeof(decision.vm) - 1);
        return decision;
}

static void put(Record *record, uint64_t id, const char *vm, DecisionResult result) {
        Decision decision = make(id, vm, result);

        record_put(record, &decision);
}

static void test_newest_first(void **state) {
        _cleanup_(record_freep) Record *record = NULL;
        Decision found[8];

        assert_int_equal(record_new(4, &record), 0);
        assert_int_equal(record_list(record, NULL, found, 8), 0);
        put(record, 1, "a", RESULT_PENDING);
        put(record, 2, "b", RESULT_PENDING);
        put(record, 3, "a", RESULT_PENDING);

        assert_int_equal(record_list(record, NULL, found, 8), 3);
        assert_int_equal(found[0].id, 3);
        assert_int_equal(found[2].id, 1);
        assert_int_equal(record_list(record, "a", found, 8), 2);
        assert_int_equal(found[1].id, 1);
        assert_int_equal(record_list(record, "a", found, 1), 1);
        assert_int_equal(record_list(record, "none", found, 8), 0);
}

static void test_an_update_takes_no_new_slot(void **state) {
        _cleanup_(record_freep) Record *record = NULL;
        Decision found[8];

        assert_int_equal(record_new(2, &record), 0);
        put(record, 1, "a", RESULT_PENDING);
        put(record, 2, "a", RESULT_PENDING);
        put(record, 1, "a", RESULT_DONE);

        assert_int_equal(record_list(record, NULL, found, 8), 2);
        assert_int_equal(found[1].id, 1);
        assert_int_equal(found[1].result, RESULT_DONE);
}

static void test_the_oldest_falls_out(void **state) {
        _cleanup_(record_freep) Record *record = NULL;
        Decision found[8];

        assert_int_equal(record_new(3, &record), 0);
        for (uint64_t id = 1; id <= 7; id++)
                put(record, id, "a", RESULT_DONE);

        assert_int_equal(record_list(record, NULL, found, 8), 3);
        assert_int_equal(found[0].id, 7);
        assert_int_equal(found[2].id, 5);
}

typedef struct Heard {
        unsigned n, n_final;
        Decision before; /* all zero: there was none */
} Heard;

static void hear(const Decision *decision, const Decision *before, void *userdata) {
        Heard *heard = userdata;

        heard->n++;
        heard->n_final += record_is_final(decision, before);
        heard->before = before ? *before : (Decision){0};
}

static void test_watchers_hear_each_end_once(void **state) {
        _cleanup_(record_freep) Record *record = NULL;
        Heard one = {0}, other = {0};

        assert_int_equal(record_new(4, &record), 0);
        record_watch(record, hear, &one);
        record_watch(record, hear, &other);
        put(record, 1, "a", RESULT_PENDING);
        put(record, 1, "a", RESULT_PENDING);
        assert_int_equal(one.n_final, 0);
        put(record, 1, "a", RESULT_DONE);
        put(record, 1, "a", RESULT_DONE);
        put(record, 2, "a", RESULT_DENIED);
        assert_int_equal(one.n, 5);
        assert_int_equal(one.n_final, 2);

        record_unwatch(record, &one);
        put(record, 3, "a", RESULT_DENIED);
        assert_int_equal(one.n, 5);
        assert_int_equal(other.n, 6);
        assert_int_equal(other.n_final, 3);
}

static void put_late(Record *record, uint64_t id, uint64_t late_bytes) {
        Decision decision = make(id, "a", RESULT_DONE);

        decision.late_bytes = late_bytes;
        record_put(record, &decision);
}

static void test_what_comes_late_amends(void **state) {
        _cleanup_(record_freep) Record *record = NULL;
        Heard heard = {0};
        Decision found[8];

        assert_int_equal(record_new(2, &record), 0);
        record_watch(record, hear, &heard);
        put(record, 1, "a", RESULT_PENDING);
        put(record, 1, "a", RESULT_PARTIAL);
        put(record, 2, "a", RESULT_PENDING);
        put_late(record, 1, 5);
        put_late(record, 1, 7);
        assert_int_equal(heard.n_final, 1); /* it was closed once */
        assert_int_equal(heard.before.late_bytes, 5);
        assert_int_equal(record_list(record, NULL, found, 8), 2);
        assert_int_equal(found[1].id, 1);
        assert_int_equal(found[1].result, RESULT_DONE);

        put(record, 3, "a", RESULT_PENDING);
        put_late(record, 1, 9); /* it has fallen out, and is told all the same */
        assert_int_equal(heard.n, 7);
        assert_int_equal(heard.before.id, 0);
        assert_int_equal(heard.n_final, 1);
        assert_int_equal(record_list(record, NULL, found, 8), 2);
        assert_int_equal(found[0].id, 3);
        assert_int_equal(found[1].id, 2);
}

static void test_ids_rise(void **state) {
        _cleanup_(record_freep) Record *record = NULL;
        uint64_t first;

        assert_int_equal(record_new(1, &record), 0);
        first = record_next_id(record);
        assert_true(first > 1);
        assert_true(record_next_id(record) > first);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_newest_first),
                cmocka_unit_test(test_an_update_takes_no_new_slot),
                cmocka_unit_test(test_the_oldest_falls_out),
                cmocka_unit_test(test_watchers_hear_each_end_once),
                cmocka_unit_test(test_what_comes_late_amends),
                cmocka_unit_test(test_ids_rise),
        };

        log_setup(LOG_TARGET_STDERR, LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
