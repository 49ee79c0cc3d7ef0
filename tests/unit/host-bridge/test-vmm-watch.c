/* SPDX-License-Identifier: Apache-2.0 */

/* When hypervisors are read of which nothing is awaited. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/macro.h"
#include "host-bridge/vmm/vmm-watch.h"

#define PERIOD (60 * USEC_PER_SEC)

/* A thousand that are connected in the same moment: in each tenth of the period there is about a tenth of them. */
static void assert_even(VmmWatch *watches, size_t n) {
        unsigned tenths[10] = {0};

        for (size_t i = 0; i < n; i++) {
                uint64_t pause_usec = vmm_watch_pause_usec(&watches[i], PERIOD);

                assert_true(pause_usec > 0 && pause_usec <= PERIOD);
                tenths[(pause_usec - 1) / (PERIOD / 10)]++;
        }
        for (unsigned i = 0; i < ELEMENTSOF(tenths); i++)
                assert_in_range(tenths[i], n / 10 - n / 100, n / 10 + n / 100);
}

static void test_spread(void **state) {
        VmmWatch watches[1000];

        for (size_t i = 0; i < ELEMENTSOF(watches); i++)
                watches[i] = vmm_watch_new();
        assert_even(watches, ELEMENTSOF(watches));
        for (size_t i = 0; i < ELEMENTSOF(watches); i++)
                assert_in_range(vmm_watch_pause_usec(&watches[i], PERIOD), PERIOD * 3 / 4, PERIOD);
        for (size_t i = 0; i < ELEMENTSOF(watches); i++)
                vmm_watch_renew(&watches[i]);
        assert_even(watches, ELEMENTSOF(watches));
}

/* Whatever all of them are read at once for: after a day no tenth of a period has more than three tenths of them. */
static void test_drift_apart(void **state) {
        VmmWatch watches[1000];
        unsigned tenths[10] = {0};

        for (size_t i = 0; i < ELEMENTSOF(watches); i++) {
                uint64_t at_usec = 0;

                watches[i] = vmm_watch_new();
                (void) vmm_watch_pause_usec(&watches[i], PERIOD);
                while (at_usec < 24 * 3600 * USEC_PER_SEC)
                        at_usec += vmm_watch_pause_usec(&watches[i], PERIOD);
                tenths[(at_usec - 24 * 3600 * USEC_PER_SEC) * 10 / PERIOD]++;
        }
        for (unsigned i = 0; i < ELEMENTSOF(tenths); i++)
                assert_true(tenths[i] < 3 * ELEMENTSOF(watches) / 10);
}

static void test_no_period(void **state) {
        VmmWatch watch = vmm_watch_new();

        assert_int_equal(vmm_watch_pause_usec(&watch, 3), 3 - watch.spread % 3);
        assert_int_equal(vmm_watch_pause_usec(&watch, 3), 3); /* a quarter of it is nothing */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_spread),
                cmocka_unit_test(test_drift_apart),
                cmocka_unit_test(test_no_period),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
