/* SPDX-License-Identifier: Apache-2.0 */

/* What is kept free and for whom, how fast one VM may grow, and what it weighs. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/macro.h"
#include "host-bridge/policy/limiter.h"
#include "host-bridge/policy/pool.h"
#include "host-bridge/policy/pressure.h"

static void test_target(void **state) {
        static const struct {
                uint64_t budget_mib, fastest_mib, target_mib;
        } rows[] = {
                {512, 0, 64}, /* an eighth: 128 would be a quarter */
                {1536, 0, 128},
                {4096, 0, 245},
                {28 * 1024, 0, 901}, /* ESX: 899 */
                {128 * 1024, 0, 901 + 1024},
                {4096, 300, 300},
                {4096, 64 * 1024 * 1024, 512}, /* a liar's fall freezes nobody */
                {0, 100, 0},
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert_int_equal(pool_target_bytes(rows[i].budget_mib * MIB, rows[i].fastest_mib * MIB) / MIB,
                                 rows[i].target_mib);
        assert_int_equal(pool_target_bytes(UINT64_MAX, GIB), 0);
}

static void test_level(void **state) {
        static const struct {
                uint64_t free;
                PoolLevel level;
        } rows[] = {
                {2000, POOL_FULL}, {1000, POOL_FULL}, {999, POOL_LOW},    {640, POOL_LOW},
                {639, POOL_SHORT}, {320, POOL_SHORT}, {319, POOL_SCARCE}, {160, POOL_SCARCE},
                {159, POOL_LAST},  {0, POOL_LAST},
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert_int_equal(pool_level(rows[i].free, 1000), rows[i].level);
        assert_int_equal(pool_level(0, 0), POOL_FULL);
        assert_string_equal(pool_level_to_string(POOL_LAST), "last");
        assert_string_equal(pool_level_to_string(POOL_LEVEL_MAX), "unknown");
}

/* An idle page costs four used ones, and the tax rises over a minute, not with a report. */
static void test_weight(void **state) {
        Activity busy = {0}, idle = {0};
        uint64_t before;

        activity_note(&busy, 100, 100, USEC_PER_SEC);
        activity_note(&idle, 0, 100, USEC_PER_SEC);
        assert_int_equal(share_weight(0, &busy), share_weight(SHARES_DEFAULT, &busy));
        assert_int_equal(share_weight(100, &busy), 4 * share_weight(100, &idle));
        assert_int_equal(share_weight(200, &busy), 2 * share_weight(100, &busy));
        assert_int_equal(share_weight(UINT64_MAX, &busy), share_weight(SHARES_MAX, &busy));
        assert_true(share_weight(1, &idle) > 0);

        before = share_weight(100, &busy);
        activity_note(&busy, 0, 100, 2 * USEC_PER_SEC);
        assert_true(share_weight(100, &busy) > before * 90 / 100);
        for (unsigned i = 3; i < 300; i++)
                activity_note(&busy, 0, 100, i * USEC_PER_SEC);
        assert_true(share_weight(100, &busy) < share_weight(100, &idle) * 102 / 100);
        activity_note(&busy, 500, 100, 300 * USEC_PER_SEC); /* uses more than it has */
        activity_note(&busy, 500, 0, 0);                    /* has nothing, and time runs back */
        assert_true(share_weight(100, &busy) <= before);
}

static void test_classes(void **state) {
        assert_true(vm_class_rank(VM_CLASS_CRITICAL) > vm_class_rank(VM_CLASS_NORMAL));
        assert_true(vm_class_rank(VM_CLASS_NORMAL) > vm_class_rank(VM_CLASS_BATCH));
        assert_string_equal(vm_class_to_string(VM_CLASS_BATCH), "batch");
        assert_string_equal(vm_class_to_string(VM_CLASS_MAX), "unknown");
}

static void test_limiter(void **state) {
        LimiterBounds bounds = {.size_bytes = GIB, .reach_bytes = 10 * GIB};
        Limiter limiter = {0};
        uint64_t now = 100 * USEC_PER_SEC;

        assert_int_equal(limiter_left_bytes(&limiter, &bounds, now), GIB);
        limiter_spend(&limiter, &bounds, GIB, now);
        assert_int_equal(limiter_left_bytes(&limiter, &bounds, now), 0);
        assert_int_equal(limiter_left_bytes(&limiter, &bounds, now + USEC_PER_SEC / 2), GIB / 2);
        assert_int_equal(limiter_ready_usec(&limiter, &bounds, GIB, now), now + USEC_PER_SEC + 1);
        assert_int_equal(limiter_ready_usec(&limiter, &bounds, TIB, now), now + USEC_PER_SEC + 1);
        limiter_refund(&limiter, GIB / 4);
        assert_int_equal(limiter_left_bytes(&limiter, &bounds, now), GIB / 4);

        bounds.tight = true; /* both halved */
        assert_int_equal(limiter_left_bytes(&limiter, &bounds, now + USEC_PER_SEC), GIB / 4);
        bounds = (LimiterBounds){.size_bytes = 100 * GIB, .reach_bytes = 0};
        assert_int_equal(limiter_left_bytes(&(Limiter){0}, &bounds, now), 25 * GIB);
        limiter_refund(&limiter, UINT64_MAX);
        assert_int_equal(limiter_left_bytes(&limiter, &bounds, now), 25 * GIB);
        limiter_spend(&limiter, &bounds, UINT64_MAX, now);
        assert_int_equal(limiter_left_bytes(&limiter, &bounds, 0), 0); /* a clock that runs back */
}

/* One VM over 100 s never gets more than its bucket and what flowed into it, however it asks. */
static void test_limiter_bounds_growth(void **state) {
        LimiterBounds bounds = {.size_bytes = GIB, .reach_bytes = 4 * GIB};
        Limiter limiter = {0};
        uint64_t total = 0, start = USEC_PER_SEC, seed = 7;

        for (uint64_t now = start; now < start + 100 * USEC_PER_SEC; now += seed % (900 * USEC_PER_MSEC)) {
                uint64_t got = limiter_left_bytes(&limiter, &bounds, now);

                limiter_spend(&limiter, &bounds, got, now);
                total += got;
                assert_true(total <= GIB + u64_scale(now - start, 4 * GIB / 10, USEC_PER_SEC) + MIB);
                seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
        }
        assert_true(total > 30 * GIB);
}

/* 1 % of the time, 10 s to believe that it is over; a counter of another cgroup begins anew. */
static void test_pressure(void **state) {
        PressureGauge gauge = {0};
        uint64_t some = 1000, now = 100 * USEC_PER_SEC;

        assert_false(pressure_take(&gauge, some, 1, now));
        assert_false(pressure_take(&gauge, some += 10 * USEC_PER_MSEC, 1, now += USEC_PER_SEC));
        assert_true(pressure_take(&gauge, some += 11 * USEC_PER_MSEC, 1, now += USEC_PER_SEC));
        assert_true(pressure_take(&gauge, some += USEC_PER_SEC, 1,
                                  now + 100 * USEC_PER_MSEC)); /* too short a look */
        some -= USEC_PER_SEC;
        for (unsigned i = 0; i < 10; i++)
                assert_true(pressure_take(&gauge, some, 1, now += USEC_PER_SEC));
        assert_false(pressure_take(&gauge, some, 1, now += USEC_PER_SEC));
        assert_true(pressure_take(&gauge, some += 20 * USEC_PER_MSEC, 1, now += USEC_PER_SEC));
        for (unsigned i = 0; i < 5; i++)
                assert_true(pressure_take(&gauge, some, 1, now += USEC_PER_SEC));
        assert_true(pressure_take(&gauge, some += 20 * USEC_PER_MSEC, 1, now += USEC_PER_SEC)); /* again */
        for (unsigned i = 0; i < 10; i++)
                assert_true(pressure_take(&gauge, some, 1, now += USEC_PER_SEC));
        assert_false(pressure_take(&gauge, some, 1, now += USEC_PER_SEC));
        assert_false(pressure_take(&gauge, 5, 1, now += USEC_PER_SEC)); /* another cgroup */
        assert_false(pressure_take(&gauge, UINT64_MAX, 100, 0));        /* nor does nonsense wrap */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_target),   cmocka_unit_test(test_level),
                cmocka_unit_test(test_weight),   cmocka_unit_test(test_classes),
                cmocka_unit_test(test_limiter),  cmocka_unit_test(test_limiter_bounds_growth),
                cmocka_unit_test(test_pressure),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
