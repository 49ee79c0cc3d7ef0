/* SPDX-License-Identifier: Apache-2.0 */

/* The ring of what happened: order, size, and what counts as the same thing again. */

#include "agent/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void put(History *history, HistoryKind kind, uint64_t id, const char *reason) {
        HistoryEntry entry = {.kind = kind, .id = id, .reason = reason, .bytes = 100 + id};

        history_put(history, &entry);
}

static void test_newest_first_and_bounded(void **state) {
        History history = {};

        assert_null(history_at(&history, 0));
        for (uint64_t id = 0; id < HISTORY_SIZE + 5; id++)
                put(&history, HISTORY_GROWN, id, "");
        for (size_t i = 0; i < HISTORY_SIZE; i++) {
                assert_non_null(history_at(&history, i));
                assert_int_equal(history_at(&history, i)->id, HISTORY_SIZE + 4 - i);
        }
        assert_null(history_at(&history, HISTORY_SIZE));
}

static void test_the_same_again_is_counted(void **state) {
        static const struct {
                HistoryKind kind;
                uint64_t id;
                const char *reason;
                unsigned n_times; /* of the newest, afterwards */
        } rows[] = {
                {HISTORY_ALARM, 0, "predict", 1}, {HISTORY_ALARM, 0, "predict", 2},
                {HISTORY_ALARM, 0, "level", 1},   {HISTORY_GROWN, 0, "level", 1},
                {HISTORY_GROWN, 1, "level", 1},   {HISTORY_GROWN, 1, "level", 2},
                {HISTORY_GROWN, 1, "level", 3},   {HISTORY_ALARM, 0, "predict", 1},
        };
        History history = {};
        unsigned n = 0;

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                put(&history, rows[i].kind, rows[i].id, rows[i].reason);
                assert_int_equal(history_at(&history, 0)->n_times, rows[i].n_times);
        }
        while (history_at(&history, n))
                n++;
        assert_int_equal(n, 5);
}

static void test_every_kind_has_a_name(void **state) {
        for (int kind = 0; kind < HISTORY_KIND_MAX; kind++)
                assert_string_not_equal(history_kind_to_string((HistoryKind) kind), "unknown");
        assert_string_equal(history_kind_to_string(HISTORY_KIND_MAX), "unknown");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_newest_first_and_bounded),
                cmocka_unit_test(test_the_same_again_is_counted),
                cmocka_unit_test(test_every_kind_has_a_name),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
