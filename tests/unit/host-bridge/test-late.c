/* SPDX-License-Identifier: Apache-2.0 */

/* What may be added to a decision that is closed, by whom, and until when. */

#include "host-bridge/policy/late.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define START_USEC (100 * USEC_PER_SEC)

/* A resize of one step that was closed with confirmed of wanted MiB, all of which the hypervisor had given. */
static Resize closed(uint64_t id, DecisionKind kind, uint64_t wanted, uint64_t confirmed,
                     DecisionResult result) {
        int64_t sign = kind == DECISION_GROW ? 1 : -1;

        return (Resize){
                .growing = kind == DECISION_GROW,
                .confirming_step = 1,
                .closed_bytes = sign * (int64_t) (confirmed * MIB),
                .owed_bytes = (wanted - confirmed) * MIB,
                .slack_bytes = 2 * MIB,
                .decision =
                        {
                                .id = id,
                                .kind = kind,
                                .result = result,
                                .n_steps = 1,
                                .wanted_bytes = wanted * MIB,
                                .requested_bytes = wanted * MIB,
                                .confirmed_bytes = sign * (int64_t) (confirmed * MIB),
                                .first_confirm_usec = confirmed > 0 ? START_USEC : 0,
                        },
        };
}

static void begin(LateList *list, uint64_t id, DecisionKind kind, uint64_t wanted, uint64_t confirmed,
                  DecisionResult result) {
        Resize resize = closed(id, kind, wanted, confirmed, result);

        assert_true(late_concerns(list, &resize));
        late_begin(list, &resize, START_USEC);
}

static void test_one_confirmation(void **state) {
        static const struct {
                const char *name;
                DecisionKind kind;
                uint64_t wanted, confirmed;
                DecisionResult before;
                uint64_t id;
                unsigned step;
                int64_t delta; /* MiB */
                uint64_t after_usec;
                int64_t expected; /* MiB confirmed; 0: nothing is due */
                DecisionResult result;
        } cases[] = {
                {"all of it", DECISION_GROW, 128, 60, RESULT_PARTIAL, 7, 0, 128, 1, 128, RESULT_DONE},
                {"its step is named", DECISION_GROW, 128, 60, RESULT_PARTIAL, 7, 1, 128, 1, 128, RESULT_DONE},
                {"all but what does not matter", DECISION_GROW, 128, 60, RESULT_PARTIAL, 7, 0, 126, 1, 126,
                 RESULT_DONE},
                {"a part", DECISION_GROW, 128, 60, RESULT_PARTIAL, 7, 0, 90, 1, 90, RESULT_PARTIAL},
                {"the first of it", DECISION_GROW, 128, 0, RESULT_TIMEOUT, 7, 0, 60, 1, 60, RESULT_PARTIAL},
                {"at once", DECISION_GROW, 128, 0, RESULT_TIMEOUT, 7, 0, 128, 1, 128, RESULT_DONE},
                {"lost is lost", DECISION_GROW, 128, 60, RESULT_LOST, 7, 0, 128, 1, 128, RESULT_LOST},
                {"a lie", DECISION_GROW, 128, 60, RESULT_PARTIAL, 7, 0, 99999, 1, 128, RESULT_DONE},
                {"the last minute", DECISION_GROW, 128, 60, RESULT_PARTIAL, 7, 0, 128, 59999999, 128,
                 RESULT_DONE},
                {"too late", DECISION_GROW, 128, 60, RESULT_PARTIAL, 7, 0, 128, 60000000, 0, 0},
                {"no news", DECISION_GROW, 128, 60, RESULT_PARTIAL, 7, 0, 60, 1, 0, 0},
                {"less", DECISION_GROW, 128, 60, RESULT_PARTIAL, 7, 0, 10, 1, 0, 0},
                {"the wrong way", DECISION_GROW, 128, 60, RESULT_PARTIAL, 7, 0, -128, 1, 0, 0},
                {"a crumb", DECISION_GROW, 128, 60, RESULT_PARTIAL, 7, 0, 61, 1, 0, 0},
                {"another decision", DECISION_GROW, 128, 60, RESULT_PARTIAL, 8, 0, 128, 1, 0, 0},
                {"another step", DECISION_GROW, 128, 60, RESULT_PARTIAL, 7, 2, 128, 1, 0, 0},
                {"a shrink", DECISION_SHRINK, 64, 40, RESULT_PARTIAL, 7, 1, -64, 1, -64, RESULT_DONE},
                {"a shrink's other step", DECISION_SHRINK, 64, 40, RESULT_PARTIAL, 7, 0, -64, 1, 0, 0},
                {"a shrink that grew", DECISION_SHRINK, 64, 40, RESULT_PARTIAL, 7, 1, 64, 1, 0, 0},
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                LateList list = {};
                const Late *late;

                print_message("%s\n", cases[i].name);
                begin(&list, 7, cases[i].kind, cases[i].wanted, cases[i].confirmed, cases[i].before);
                late_take(&list, cases[i].id, cases[i].step, cases[i].delta * (int64_t) MIB,
                          START_USEC + cases[i].after_usec);
                late = late_next_due(&list);
                assert_int_equal(late != NULL, cases[i].expected != 0);
                if (!late)
                        continue;
                assert_int_equal(late->decision.confirmed_bytes, cases[i].expected * (int64_t) MIB);
                assert_int_equal(late->decision.late_bytes,
                                 i64_magnitude(cases[i].expected) * MIB - cases[i].confirmed * MIB);
                assert_int_equal(late->fresh_bytes, late->decision.late_bytes);
                assert_int_equal(late->decision.late_usec, START_USEC + cases[i].after_usec);
                assert_int_equal(late->decision.first_confirm_usec,
                                 cases[i].confirmed > 0 ? START_USEC : late->decision.late_usec);
                assert_int_equal(late->decision.result, cases[i].result);
                assert_null(late_next_due(&list));
        }
}

static void test_nothing_is_owed(void **state) {
        LateList list = {};
        Resize resize = closed(7, DECISION_GROW, 128, 128, RESULT_DONE);

        assert_false(late_concerns(&list, &resize));
        begin(&list, 6, DECISION_GROW, 128, 60, RESULT_PARTIAL);
        assert_true(late_concerns(&list, &resize)); /* what its guest confirms too much is the older one's */
        resize = closed(8, DECISION_SHRINK, 64, 64, RESULT_DONE);
        assert_false(late_concerns(&list, &resize));
}

/* 4 KiB a time: not a line in the log each. */
static void test_crumbs_are_swept_up(void **state) {
        LateList list = {};
        unsigned n = 0;

        begin(&list, 7, DECISION_GROW, 1024, 0, RESULT_TIMEOUT);
        for (int64_t bytes = 4 * KIB; bytes < (int64_t) (1021 * MIB); bytes += 4 * KIB) {
                late_take(&list, 7, 0, bytes, START_USEC + 1);
                n += late_next_due(&list) != NULL;
        }
        assert_in_range(n, 60, 66);
        late_end(&list, START_USEC + 1);
        assert_null(late_next_due(&list));
        late_end(&list, USEC_INFINITY);
        assert_int_equal(late_next_due(&list)->decision.confirmed_bytes, 1021 * MIB - 4 * KIB);
        assert_int_equal(list.n, 1);
        assert_null(late_next_due(&list));
        assert_int_equal(list.n, 0);
}

/* Memory does not say whose it is: what a later growth has too much is what an earlier one is short of. */
static void test_spare_goes_to_the_older(void **state) {
        LateList list = {};

        begin(&list, 5, DECISION_GROW, 100, 90, RESULT_PARTIAL);
        begin(&list, 6, DECISION_GROW, 128, 60, RESULT_PARTIAL);
        late_new_step(&list);
        late_take_spare(&list, 4 * MIB, START_USEC + 1);
        late_take_spare(&list, 4 * MIB, START_USEC + 2); /* said twice, given once */
        assert_int_equal(list.at[0].decision.confirmed_bytes, 94 * MIB);
        late_take_spare(&list, 16 * MIB, START_USEC + 3);
        assert_int_equal(list.at[0].decision.confirmed_bytes, 100 * MIB);
        assert_int_equal(list.at[1].decision.confirmed_bytes, 66 * MIB);
        late_new_step(&list); /* counted anew */
        late_take_spare(&list, 10 * MIB, START_USEC + 4);
        assert_int_equal(list.at[1].decision.confirmed_bytes, 76 * MIB);
        late_take_spare(&list, UINT64_MAX, START_USEC + 5);
        assert_int_equal(list.at[1].decision.confirmed_bytes, 128 * MIB);

        /* The same of one that is closed itself meanwhile. */
        list = (LateList){};
        begin(&list, 6, DECISION_GROW, 128, 60, RESULT_PARTIAL);
        begin(&list, 7, DECISION_GROW, 64, 64, RESULT_DONE);
        late_new_step(&list);
        late_take(&list, 7, 0, 80 * MIB, START_USEC + 1);
        assert_int_equal(list.at[0].decision.confirmed_bytes, 76 * MIB);
        assert_int_equal(list.at[1].decision.confirmed_bytes, 64 * MIB);
        late_take(&list, 7, 0, 90 * MIB, START_USEC + 1);
        assert_int_equal(list.at[0].decision.confirmed_bytes, 86 * MIB);
}

static void test_the_oldest_gives_way(void **state) {
        LateList list = {};

        for (uint64_t id = 1; id <= 3 * LATE_MAX; id++) {
                late_make_room(&list);
                while (late_next_due(&list))
                        ;
                begin(&list, id, DECISION_GROW, 128, 60, RESULT_PARTIAL);
                list.at[list.n - 1].until_usec += id; /* not all at once */
                assert_true(list.n <= LATE_MAX);
                assert_int_equal(list.at[list.n - 1].decision.id, id);
        }
        late_take(&list, 1, 0, 128 * MIB, START_USEC + 1); /* forgotten */
        assert_null(late_next_due(&list));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_one_confirmation),     cmocka_unit_test(test_nothing_is_owed),
                cmocka_unit_test(test_crumbs_are_swept_up),  cmocka_unit_test(test_spare_goes_to_the_older),
                cmocka_unit_test(test_the_oldest_gives_way),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
