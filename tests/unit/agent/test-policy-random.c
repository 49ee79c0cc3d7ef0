/* SPDX-License-Identifier: Apache-2.0 */

/* Properties that hold for any input, under xorshift with fixed seeds: a failure comes again. */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "agent/policy/demand.h"
#include "agent/policy/shrink.h"

#define MSEC(ms) ((uint64_t) (ms) *USEC_PER_MSEC)
#define SEC(s)   ((uint64_t) (s) *USEC_PER_SEC)
#define ALL                                                                                                  \
        (SNAPSHOT_HAS_MEMINFO | SNAPSHOT_HAS_PSI | SNAPSHOT_HAS_VMSTAT | SNAPSHOT_HAS_ZONES |                \
         SNAPSHOT_HAS_CGROUPS | SNAPSHOT_HAS_HELD)

/* A hold that is over by the next ask, mostly: else one refusal in vain hides a minute of asks. */
static const ShrinkConfig shrink_config = {.margin_bytes = 128 * MIB, .hold_usec = SEC(1)};

static uint64_t random_next(uint64_t *x) {
        *x ^= *x << 13;
        *x ^= *x >> 7;
        *x ^= *x << 17;
        return *x;
}

/* Small, large, absurd and extreme values with equal odds. */
static uint64_t random_size(uint64_t *x) {
        uint64_t r = random_next(x);

        switch (r % 8) {
        case 0:
                return 0;
        case 1:
                return UINT64_MAX;
        case 2:
                return r;
        case 3:
                return r % (64 * TIB);
        default:
                return r % (4 * GIB);
        }
}

/* Whatever a kernel might say: an answer within its bounds, and no undefined arithmetic (run under UBSan). */
static void test_demand(void **unused) {
        for (uint64_t seed = 1; seed <= 64; seed++) {
                uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15);
                DemandConfig any = {random_next(&x) % (10 * USEC_PER_SEC) + 1000,
                                    random_next(&x) % (64 * TIB)};
                DemandState state = {};
                Snapshot s = {.now_usec = 1};

                for (unsigned i = 0; i < 500; i++) {
                        uint64_t *first = &s.total_bytes, *last = &s.page_size_bytes;
                        uint64_t skip = random_next(&x);

                        for (uint64_t *p = first; p <= last; p++)
                                if (p != (uint64_t *) (void *) ((char *) &s +
                                                                offsetof(Snapshot, balloon_in_total)) &&
                                    p != (uint64_t *) (void *) ((char *) &s +
                                                                offsetof(Snapshot, psi_triggered)) &&
                                    (random_next(&x) & 3) >= (skip & 3))
                                        *p = random_size(&x);
                        s.balloon_in_total = random_next(&x) & 1;
                        s.psi_triggered = random_next(&x) & 1;
                        s.contained_lost = random_next(&x) & 1;
                        s.lru_gen = random_next(&x) & 1;
                        s.has = random_next(&x) % (ALL + 1);
                        s.now_usec += random_next(&x) % 16 ? random_next(&x) % USEC_PER_SEC
                                                           : random_size(&x) % INT64_MAX;

                        Demand d = demand_step(&any, &state, &s);
                        assert_true(d.demand_bytes <= MEMORY_BYTES_MAX);
                        assert_true(d.floor_bytes <= MEMORY_BYTES_MAX);
                        assert_true(d.need_bytes <= (int64_t) MEMORY_BYTES_MAX);
                        assert_true(d.used_bytes <= MEMORY_BYTES_MAX);
                        assert_true(d.urgency < URGENCY_MAX && d.cause < CAUSE_MAX);
                        assert_in_range(d.next_sample_usec, MSEC(20), MSEC(1000));
                        (void) demand_plug_budget_bytes(&s);
                }
        }
}

/* Mostly sizes that a shrink can be about. */
static uint64_t random_small(uint64_t *x) {
        uint64_t r = random_next(x);

        return r % 16 == 0 ? UINT64_MAX : r % 16 == 1 ? r : r % (2 * GIB);
}

/* Whatever is asked of whatever guest: what is offered leaves the margin free, and what is free is what is offered. */
static void test_shrink(void **unused) {
        unsigned n_offered = 0;

        for (uint64_t seed = 1; seed <= 32; seed++) {
                uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15);
                ShrinkState state = {};
                Snapshot s = {.now_usec = SEC(10)};

                for (unsigned i = 0; i < 2000; i++) {
                        Demand demand = {
                                .urgency = random_next(&x) % 8 ? URGENCY_NONE : random_next(&x) % URGENCY_MAX,
                                .floor_bytes = random_small(&x) % GIB,
                                .rate_high_bytes_per_sec = random_small(&x),
                        };
                        ShrinkAsk ask = {random_next(&x) % 4,
                                         random_next(&x) % 4,
                                         random_small(&x) % (256 * MIB),
                                         random_small(&x),
                                         s.now_usec + random_small(&x) % SEC(10),
                                         random_next(&x) & 1,
                                         random_next(&x) & 1};
                        ShrinkPlan plan;

                        s.has = random_next(&x) % 8 ? ALL : random_next(&x) % (ALL + 1);
                        s.now_usec += random_next(&x) % SEC(20);
                        s.available_bytes = random_small(&x);
                        s.free_bytes = random_small(&x);
                        s.held_bytes = random_small(&x);
                        /* Not each time: a guest whose size has just moved is not settled, and gives nothing. */
                        if (random_next(&x) % 4 == 0) {
                                s.total_bytes = random_small(&x);
                                s.balloon_bytes = random_small(&x);
                                s.balloon_in_total = random_next(&x) & 1;
                        }
                        s.psi_some_usec += random_next(&x) % 8 ? 0 : random_small(&x);

                        (void) shrink_watch(&shrink_config, &state, &s, &demand);
                        plan = shrink_ask(&shrink_config, &state, &ask, &s, &demand, random_next(&x) & 1);
                        bool repeated =
                                plan.verdict == SHRINK_OFFERED && state.at_offer.now_usec != s.now_usec;
                        if (plan.verdict == SHRINK_RECLAIM) {
                                uint64_t before = s.free_bytes;

                                s.free_bytes = random_small(&x);
                                plan = shrink_freed(&shrink_config, &state, &s, &demand, before);
                                if (plan.verdict == SHRINK_WAITING) {
                                        s.now_usec = state.probe.until_usec;
                                        s.free_bytes = u64_min(s.free_bytes, random_small(&x));
                                        plan = shrink_watch(&shrink_config, &state, &s, &demand);
                                }
                        }
                        if (plan.verdict == SHRINK_OFFERED && !repeated) {
                                n_offered++;
                                assert_true(plan.offered_bytes > 0 && plan.offered_bytes <= ask.bytes);
                                assert_true(s.free_bytes - plan.offered_bytes >= shrink_config.margin_bytes);
                                assert_true(s.available_bytes - plan.offered_bytes >=
                                            shrink_config.margin_bytes);
                                assert_true(snapshot_usable_bytes(&s) - plan.offered_bytes >=
                                            demand.floor_bytes);
                        } else if (plan.verdict == SHRINK_REFUSED)
                                assert_true(plan.reason != REFUSAL_NONE);
                }
        }
        assert_true(n_offered > 1000);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_demand),
                cmocka_unit_test(test_shrink),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
