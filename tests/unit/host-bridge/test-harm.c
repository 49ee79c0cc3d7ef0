/* SPDX-License-Identifier: Apache-2.0 */

/* Spans between two reports, and whose fault they are. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "host-bridge/policy/harm.h"

static void test_spans(void **state) {
        static const struct {
                const char *name;
                HarmSample first, second;
                uint64_t stalled_usec, kills;
        } cases[] = {
                {"stalled with headroom", {0, 5, 0, 0, GIB}, {USEC_PER_SEC, 705, 0, 0, GIB}, 700, 0},
                {"without any", {0, 5, 0, 0, 0}, {USEC_PER_SEC, 705, 0, 0, 0}, 0, 0},
                {"it came in between", {0, 5, 0, 0, 0}, {USEC_PER_SEC, 705, 0, 0, GIB}, 0, 0},
                {"a lie is no longer than the span", {0, 0, 0, 0, 1}, {1000, UINT64_MAX, 0, 0, 1}, 1000, 0},
                {"killed under our balloon", {0, 0, 1, MIB, 0}, {1, 0, 3, MIB, 0}, 0, 2},
                {"killed by itself", {0, 0, 1, 0, 0}, {1, 0, 3, 0, 0}, 0, 0},
                {"another boot", {0, 900, 5, MIB, GIB}, {USEC_PER_SEC, 100, 6, MIB, GIB}, 0, 0},
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Harm harm = {};

                harm_note(&harm, &cases[i].first);
                harm_note(&harm, &cases[i].second);
                if (harm.stalled_usec != cases[i].stalled_usec || harm.kills != cases[i].kills)
                        fail_msg("%s: %llu, %llu", cases[i].name, (unsigned long long) harm.stalled_usec,
                                 (unsigned long long) harm.kills);
        }
}

static void test_pause(void **state) {
        Harm harm = {};

        harm_note(&harm, &(HarmSample){.now_usec = 0, .headroom_bytes = 1});
        harm_pause(&harm);
        harm_note(&harm, &(HarmSample){.now_usec = 9000, .some_usec = 500, .headroom_bytes = 1});
        assert_int_equal(harm.stalled_usec, 0);
        harm_note(&harm, &(HarmSample){.now_usec = 10000, .some_usec = 700, .headroom_bytes = 1});
        assert_int_equal(harm.stalled_usec, 200);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_spans),
                cmocka_unit_test(test_pause),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
