/* SPDX-License-Identifier: Apache-2.0 */

/* Water-filling: what holds for any figures. What a round makes of it is in test-round.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/macro.h"
#include "host-bridge/policy/round.h"

#define MANY 40U

static uint64_t draw(uint64_t *seed, uint64_t below) {
        *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (*seed >> 20) % below;
}

static size_t draw_vms(uint64_t *seed, RoundVm *vms) {
        size_t n = 1 + draw(seed, MANY);

        for (size_t i = 0; i < n; i++) {
                Activity activity = {.idle_ppm = draw(seed, 1000001)};
                uint64_t low = draw(seed, 4096 * MIB);

                vms[i] = (RoundVm){
                        .weight = share_weight(draw(seed, 300), &activity),
                        .low_bytes = low,
                        .high_bytes = low + draw(seed, 4 * GIB),
                };
        }
        return n;
}

static uint64_t sum_of(const RoundVm *vms, size_t n) {
        uint64_t sum = 0;

        for (size_t i = 0; i < n; i++)
                sum += vms[i].target_bytes;
        return sum;
}

/* |a(d + e) - a(d)| <= 2 |e|, summed: what one VM asks for moves the others by no more than that. */
static void test_lipschitz(void **state) {
        uint64_t seed = 42, most = 0;

        for (unsigned i = 0; i < 5000; i++) {
                RoundVm before[MANY], after[MANY];
                size_t n = draw_vms(&seed, before);
                uint64_t budget = draw(&seed, n * 4096) * MIB, moved = 0, by = 0;

                for (size_t k = 0; k < n; k++) {
                        after[k] = before[k];
                        if (draw(&seed, 3) == 0)
                                after[k].high_bytes =
                                        u64_max(before[k].low_bytes,
                                                before[k].high_bytes + draw(&seed, 64 * MIB) -
                                                        u64_min(before[k].high_bytes, 32 * MIB));
                        by += u64_max(after[k].high_bytes, before[k].high_bytes) -
                              u64_min(after[k].high_bytes, before[k].high_bytes);
                }
                water_fill(before, n, budget);
                water_fill(after, n, budget);
                for (size_t k = 0; k < n; k++)
                        moved += u64_max(after[k].target_bytes, before[k].target_bytes) -
                                 u64_min(after[k].target_bytes, before[k].target_bytes);
                assert_true(moved <= 2 * by + 2 * n * KIB);
                most = u64_max(most, by > 0 ? moved * 100 / by : 0);
        }
        print_message("moved at most %llu %% of what was asked for\n", (unsigned long long) most);
        assert_true(most > 100); /* the bound is near: it would not hold by accident */
}

/* The budget is used: short of it by at most 1 KiB per VM where more is wanted than there is. */
static void test_nothing_is_wasted(void **state) {
        uint64_t seed = 99;

        for (unsigned i = 0; i < 2000; i++) {
                RoundVm vms[MANY];
                size_t n = draw_vms(&seed, vms);
                uint64_t low = 0, high = 0, budget;

                for (size_t k = 0; k < n; k++) {
                        low += vms[k].low_bytes;
                        high += vms[k].high_bytes;
                }
                budget = low + draw(&seed, high - low + 1);
                water_fill(vms, n, budget);
                assert_true(sum_of(vms, n) <= budget);
                assert_true(sum_of(vms, n) + n * KIB >= budget);
        }
}

static uint64_t bytes_at(const RoundVm *vm, uint64_t level) {
        unsigned __int128 bytes = ((unsigned __int128) level * vm->weight) >> 16;

        return bytes >= vm->high_bytes ? vm->high_bytes : u64_max((uint64_t) bytes, vm->low_bytes);
}

static uint64_t level_by_bisection(const RoundVm *vms, size_t n, uint64_t budget) {
        uint64_t level = 0;

        for (unsigned bit = 63; bit > 0; bit--) {
                uint64_t higher = level | UINT64_C(1) << (bit - 1), sum = 0;

                for (size_t i = 0; i < n; i++)
                        sum = u64_add(sum, bytes_at(&vms[i], higher));
                if (sum <= budget)
                        level = higher;
        }
        return level;
}

/* The search by slopes ends where 63 halvings do, also with figures that no round would have. */
static void test_level_is_that_of_a_bisection(void **state) {
        uint64_t seed = 7;

        for (unsigned i = 0; i < 20000; i++) {
                RoundVm vms[MANY];
                size_t n = draw_vms(&seed, vms);
                uint64_t high = 0, budget, level;

                for (size_t k = 0; k < n; k++) {
                        if (draw(&seed, 4) == 0)
                                vms[k].weight = draw(&seed, 2) ? 1 : (UINT64_C(1) << 26) - 1;
                        if (draw(&seed, 4) == 0)
                                vms[k].high_bytes = draw(&seed, 2) ? vms[k].low_bytes : MEMORY_BYTES_MAX;
                        if (draw(&seed, 8) == 0)
                                vms[k].low_bytes = 0;
                        high += vms[k].high_bytes;
                }
                budget = draw(&seed, 2) ? draw(&seed, high + 1) : draw(&seed, n * GIB);
                water_fill(vms, n, budget);
                level = level_by_bisection(vms, n, budget);
                for (size_t k = 0; k < n; k++)
                        assert_int_equal(vms[k].target_bytes, bytes_at(&vms[k], level));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lipschitz),
                cmocka_unit_test(test_nothing_is_wasted),
                cmocka_unit_test(test_level_is_that_of_a_bisection),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
