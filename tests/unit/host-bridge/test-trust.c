/* SPDX-License-Identifier: Apache-2.0 */

/* Whether a guest is believed. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/macro.h"
#include "host-bridge/policy/trust.h"

static const TrustFigures honest = {.usable_bytes = GIB,
                                    .size_max_bytes = GIB + 128 * MIB,
                                    .psi_some_usec = 1000};

static bool take(Trust *trust, TrustFigures figures, uint64_t sec) {
        return trust_take(trust, &figures, sec * USEC_PER_SEC);
}

static void test_trust(void **state) {
        Trust trust = {0};
        TrustFigures large = honest, back = honest, stalled = honest;

        assert_false(take(&trust, honest, 1));
        large.usable_bytes = 2 * GIB;
        assert_false(take(&trust, large, 2));
        assert_false(take(&trust, large, 3));
        assert_int_equal(trust.doubt, DOUBT_NONE); /* once is a reading across a hot-plug */
        assert_true(take(&trust, large, 4));
        assert_int_equal(trust.doubt, DOUBT_SIZE);
        assert_string_equal(doubt_to_string(trust.doubt), "size");
        assert_false(take(&trust, honest, 63)); /* not over yet */
        assert_true(take(&trust, honest, 64));
        assert_int_equal(trust.doubt, DOUBT_NONE);

        for (unsigned i = 0; i < 3; i++) { /* each less than the one before */
                back.psi_some_usec = 900 - i;
                assert_int_equal(take(&trust, back, 65 + i), i == 2);
        }
        assert_int_equal(trust.doubt, DOUBT_COUNTER);

        trust = (Trust){0};
        for (unsigned i = 0; i < 4; i++) { /* 20 s of stall per second */
                stalled.psi_some_usec += 20 * USEC_PER_SEC;
                assert_int_equal(take(&trust, stalled, 100 + i), i == 3);
        }
        assert_int_equal(trust.doubt, DOUBT_PRESSURE);
}

/* What no honest guest is doubted for. */
static void test_trust_of_the_honest(void **state) {
        Trust trust = {0};
        TrustFigures figures = honest;

        for (unsigned i = 1; i < 1000; i++) {
                bool plugging = i % 10 == 0; /* the guest sees a block before the hypervisor's next reading */

                figures.usable_bytes = plugging ? figures.size_max_bytes + 1 : honest.usable_bytes;
                figures.psi_some_usec += USEC_PER_SEC; /* always stalled */
                figures.oom_kills += i % 7 == 0;
                assert_false(take(&trust, figures, i));
        }
        figures.size_max_bytes = 0; /* no monitor */
        figures.usable_bytes = 60 * TIB;
        for (unsigned i = 1000; i < 1010; i++)
                assert_false(take(&trust, figures, i));
}

static void test_trust_in_frames(void **state) {
        Trust trust = {0};

        assert_false(trust_take_malformed(&trust, 2, USEC_PER_SEC));
        assert_false(trust_take_malformed(&trust, 2, 2 * USEC_PER_SEC));
        assert_true(trust_take_malformed(&trust, 3, 3 * USEC_PER_SEC));
        assert_int_equal(trust.doubt, DOUBT_FRAMES);
        assert_false(trust_take_malformed(&trust, 300, 4 * USEC_PER_SEC));
        assert_false(take(&trust, honest, 63));
        assert_true(take(&trust, honest, 64));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_trust),
                cmocka_unit_test(test_trust_of_the_honest),
                cmocka_unit_test(test_trust_in_frames),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
