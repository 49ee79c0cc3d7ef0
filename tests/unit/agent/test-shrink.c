/* SPDX-License-Identifier: Apache-2.0 */

/* The guest's half of a shrink on virtual time, against a host that behaves, and one that does not. */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "common/macro.h"
#include "shrink-guest.h"

/* Asks that are answered at once, by the state of the guest. */
static void test_answers(void **unused) {
        static const struct {
                const char *name;
                uint64_t total, used, cache, ask; /* MiB */
                bool can_reclaim;
                ShrinkVerdict verdict;
                RefusalReason reason;
                uint64_t bytes; /* offered or to be reclaimed, MiB */
        } table[] = {
                {"free memory", 1536, 200, 100, 64, true, SHRINK_OFFERED, REFUSAL_NONE, 64},
                {"free memory, no memory.reclaim", 1536, 200, 100, 64, false, SHRINK_OFFERED, REFUSAL_NONE,
                 64},
                /* F = 36, margin floor(1536)/2 = 148: 64 + 148 - 36 */
                {"cache", 1536, 200, 1300, 64, true, SHRINK_RECLAIM, REFUSAL_NONE, 176},
                {"cache, no memory.reclaim", 1536, 200, 1300, 64, false, SHRINK_REFUSED, REFUSAL_NOT_FREED,
                 0},
                {"a part is free, no memory.reclaim", 1536, 200, 1148, 64, false, SHRINK_OFFERED,
                 REFUSAL_NONE, 40},
                {"below demand", 1024, 700, 0, 128, true, SHRINK_REFUSED, REFUSAL_FLOOR, 0},
                {"all of it", 1024, 100, 0, 1024, true, SHRINK_REFUSED, REFUSAL_INVALID, 0},
                {"nothing", 1024, 100, 0, 0, true, SHRINK_REFUSED, REFUSAL_INVALID, 0},
                {"infeasible: PSI would not say so", 1536, 1100, 0, 512, true, SHRINK_REFUSED, REFUSAL_FLOOR,
                 0},
                {"the demo's way home", 1536, 64, 0, 64, true, SHRINK_OFFERED, REFUSAL_NONE, 64},
                {"the demo's last step", 468, 64, 0, 64, true, SHRINK_OFFERED, REFUSAL_NONE, 64},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                Guest guest;
                ShrinkAsk ask;

                guest_init(&guest, table[i].total, table[i].used, table[i].cache);
                ask = ask_of(&guest, 7, 1, table[i].ask * MIB);
                ShrinkPlan plan = shrink_ask(&config, &guest.state, &ask, &guest.s, &guest.demand,
                                             table[i].can_reclaim);
                if (plan.verdict != table[i].verdict || plan.reason != table[i].reason ||
                    plan.offered_bytes + plan.reclaim_bytes != table[i].bytes * MIB)
                        fail_msg("%s: verdict %d, %s, %d MiB", table[i].name, (int) plan.verdict,
                                 refusal_reason_to_string(plan.reason),
                                 (int) ((plan.offered_bytes + plan.reclaim_bytes) / MIB));
                assert_true(plan.acceptable_bytes >= guest.demand.floor_bytes);
                if (plan.verdict == SHRINK_REFUSED)
                        assert_int_equal(guest.state.open, false);
        }
}

/* The margin is free of the estimator's floor where that is small: a configured margin alone refuses. */
static void test_margin(void **unused) {
        const ShrinkConfig wide = {.margin_bytes = 512 * MIB, .hold_usec = SEC(1)};
        Guest guest;

        guest_init(&guest, 1024, 400, 0);
        ShrinkAsk ask = ask_of(&guest, 7, 1, 128 * MIB);
        ShrinkPlan plan = shrink_ask(&wide, &guest.state, &ask, &guest.s, &guest.demand, true);
        assert_int_equal(plan.verdict, SHRINK_REFUSED);
        assert_int_equal(plan.reason, REFUSAL_MARGIN);
        assert_int_equal(plan.acceptable_bytes, 912 * MIB);
}

/* 1 GiB goes in 64 MiB steps, by sub-blocks of 2 MiB; U falls by 2.7 % of it on the way. */
static void test_whole_resize(void **unused) {
        uint64_t total = 1536;
        Guest guest;

        guest_init(&guest, total, 64, 0);
        for (unsigned step = 1; step <= 16; step++) {
                unsigned n_moved = 0;
                ShrinkAsk ask = ask_of(&guest, 7, step, 64 * MIB);

                ask.last = step == 16;
                guest.plan = shrink_ask(&config, &guest.state, &ask, &guest.s, &guest.demand, true);
                assert_int_equal(guest.plan.verdict, SHRINK_OFFERED);
                for (unsigned done = 0; done < 64; done += 2) {
                        total -= 2;
                        guest_set(&guest, total, 64 - (1536 - total) * 27 / 1000, 0);
                        ShrinkVerdict verdict = guest_step(&guest, MSEC(20));

                        n_moved += verdict == SHRINK_MOVED;
                        assert_int_equal(verdict == SHRINK_CONFIRMED, done == 62);
                        assert_int_not_equal(verdict, SHRINK_VETO);
                }
                assert_in_range(n_moved, 3, 8);
                assert_int_equal(guest.plan.delta_bytes, -(int64_t) (64 * MIB));
                assert_int_equal(guest.plan.latency_usec, MSEC(32 * 20));
                assert_int_equal(guest.plan.stall_usec, 0);
        }
        assert_int_equal(guest_step(&guest, MSEC(20)), SHRINK_IDLE);
        assert_int_equal(guest.demand.urgency, URGENCY_NONE);
        assert_int_equal(guest.state.resize_id, 0);
}

/* A workload that grows by little in each step is seen over the resize. */
static void test_slow_growth(void **unused) {
        uint64_t total = 2048, used = 200;
        unsigned step = 1;
        Guest guest;

        guest_init(&guest, total, used, 0);
        for (;;) {
                assert_int_equal(guest_ask(&guest, 7, step, 64), SHRINK_OFFERED);
                total -= 64;
                used += 8;
                guest_set(&guest, total, used, 0);
                ShrinkVerdict verdict = guest_step(&guest, MSEC(500));

                if (verdict == SHRINK_VETO)
                        break;
                assert_int_equal(verdict, SHRINK_CONFIRMED);
                step++;
        }
        assert_in_range(step, 3, 6);
        assert_int_equal(guest.plan.reason, REFUSAL_PRESSURE);
}

/* And so it is between two steps. */
static void test_growth_between_steps(void **unused) {
        Guest guest;

        guest_init(&guest, 2048, 200, 0);
        assert_int_equal(guest_ask(&guest, 7, 1, 64), SHRINK_OFFERED);
        guest_set(&guest, 1984, 200, 0);
        assert_int_equal(guest_step(&guest, MSEC(500)), SHRINK_CONFIRMED);
        guest_set(&guest, 1984, 240, 0);
        assert_int_equal(guest_step(&guest, MSEC(500)), SHRINK_IDLE);
        assert_int_equal(guest_ask(&guest, 7, 2, 64), SHRINK_REFUSED);
        assert_int_equal(guest.plan.reason, REFUSAL_PRESSURE);
}

/* U0 is not taken from a guest whose size has just moved. */
static void test_unsettled(void **unused) {
        Guest guest;

        guest_init(&guest, 1024, 200, 0);
        guest_set(&guest, 1536, 210, 0);
        guest_step(&guest, MSEC(100));
        guest_step(&guest, MSEC(200));
        assert_int_equal(guest_ask(&guest, 7, 1, 64), SHRINK_REFUSED);
        assert_int_equal(guest.plan.reason, REFUSAL_UNSETTLED);
        assert_int_equal(guest.plan.hold_usec, MSEC(300));
        guest_step(&guest, MSEC(300));
        assert_int_equal(guest_ask(&guest, 7, 1, 64), SHRINK_OFFERED);
}

/* memory.reclaim is the oracle: what it freed decides, not what it was asked for. */
static void test_reclaim(void **unused) {
        static const struct {
                const char *name;
                uint64_t cache, freed; /* MiB */
                ShrinkVerdict verdict;
                uint64_t offered;
        } table[] = {
                {"all", 1300, 176, SHRINK_OFFERED, 64},
                {"more than asked", 1300, 300, SHRINK_OFFERED, 64},
                {"most", 1300, 151, SHRINK_OFFERED, 38}, /* whole 2 MiB: the guest keeps its margin */
                {"half, and that is margin", 1300, 100, SHRINK_REFUSED, 0},
                {"little", 1300, 20, SHRINK_REFUSED, 0},
                {"nothing: EAGAIN", 1300, 0, SHRINK_REFUSED, 0},
                {"half of 52", 1176, 26, SHRINK_OFFERED, 38},
                {"less than half, though some is free", 1176, 20, SHRINK_REFUSED, 0},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                Guest guest;
                uint64_t before;

                guest_init(&guest, 1536, 200, table[i].cache);
                assert_int_equal(guest_ask(&guest, 7, 1, 64), SHRINK_RECLAIM);
                before = guest.s.free_bytes;
                guest_set(&guest, 1536, 200, table[i].cache - table[i].freed);
                assert_int_equal(guest_step(&guest, MSEC(200)), SHRINK_WAITING);
                guest_freed(&guest, before);
                if (guest.plan.verdict != table[i].verdict ||
                    guest.plan.offered_bytes != table[i].offered * MIB)
                        fail_msg("%s: verdict %d, %d MiB", table[i].name, (int) guest.plan.verdict,
                                 (int) (guest.plan.offered_bytes / MIB));
                if (table[i].verdict == SHRINK_REFUSED) {
                        assert_int_equal(guest.plan.reason, REFUSAL_NOT_FREED);
                        assert_int_equal(guest_ask(&guest, 8, 1, 64), SHRINK_REFUSED);
                        assert_int_equal(guest.plan.reason, REFUSAL_HELD);
                }
        }
}

/* The load came back while the guest was reclaiming. */
static void test_growth_in_reclaim(void **unused) {
        Guest guest;

        guest_init(&guest, 1536, 200, 1300);
        assert_int_equal(guest_ask(&guest, 7, 1, 64), SHRINK_RECLAIM);
        guest_set(&guest, 1536, 260, 1000);
        guest_step(&guest, MSEC(200));
        assert_int_equal(guest_freed(&guest, 36 * MIB), SHRINK_REFUSED);
        assert_int_equal(guest.plan.reason, REFUSAL_PRESSURE);
        assert_int_equal(guest_freed(&guest, 36 * MIB), SHRINK_REFUSED);
        assert_int_equal(guest.plan.reason, REFUSAL_EXPIRED);
}

/* A figure that could not be read now is no ground to give memory away, neither when asked nor after a reclaim. */
static void test_blind(void **unused) {
        Guest guest;

        guest_init(&guest, 1536, 200, 0);
        guest.s.has = ALL & ~(unsigned) SNAPSHOT_HAS_MEMINFO;
        assert_int_equal(guest_ask(&guest, 7, 1, 64), SHRINK_REFUSED);
        assert_int_equal(guest.plan.reason, REFUSAL_UNSUPPORTED);

        guest_init(&guest, 1536, 200, 1300);
        assert_int_equal(guest_ask(&guest, 7, 1, 64), SHRINK_RECLAIM);
        guest_set(&guest, 1536, 200, 1100);
        guest.s.has = ALL & ~(unsigned) SNAPSHOT_HAS_MEMINFO;
        assert_int_equal(guest_freed(&guest, 36 * MIB), SHRINK_REFUSED);
        assert_int_equal(guest.plan.reason, REFUSAL_UNSUPPORTED);
}

static void test_pressure(void **unused) {
        Guest guest;

        guest_init(&guest, 1536, 200, 0);
        guest.demand.urgency = URGENCY_HIGH;
        assert_int_equal(guest_ask(&guest, 7, 1, 64), SHRINK_REFUSED);
        assert_int_equal(guest.plan.reason, REFUSAL_PRESSURE);
        guest.demand.urgency = URGENCY_NONE; /* and that holds no longer than itself */
        assert_int_equal(guest_ask(&guest, 7, 1, 64), SHRINK_OFFERED);
}

/* Deadlines, on either side of the offer. */
static void test_deadline(void **unused) {
        Guest guest;

        guest_init(&guest, 1536, 200, 0);
        ShrinkAsk late = ask_of(&guest, 7, 1, 64 * MIB);
        late.deadline_usec = guest.s.now_usec;
        guest.plan = shrink_ask(&config, &guest.state, &late, &guest.s, &guest.demand, true);
        assert_int_equal(guest.plan.reason, REFUSAL_EXPIRED);

        guest_set(&guest, 1536, 200, 1300);
        assert_int_equal(guest_ask(&guest, 7, 2, 64), SHRINK_RECLAIM);
        assert_int_equal(guest_step(&guest, SEC(4)), SHRINK_WAITING);
        assert_int_equal(guest_step(&guest, SEC(1)), SHRINK_LAPSED); /* no answer in time */
        assert_int_equal(guest_step(&guest, SEC(1)), SHRINK_IDLE);
}

/* An offer is watched for longer than a host waits without progress, and every progress begins that time anew. */
static void test_patience_of_the_watch(void **unused) {
        Guest guest;

        guest_init(&guest, 1536, 200, 0);
        assert_int_equal(guest_ask(&guest, 7, 1, 64), SHRINK_OFFERED);
        assert_int_equal(guest_step(&guest, MSEC(5900)),
                         SHRINK_WAITING); /* the request's own deadline is past */
        guest_set(&guest, 1516, 200, 0);  /* a part only */
        assert_int_equal(guest_step(&guest, MSEC(50)), SHRINK_MOVED);
        assert_int_equal(guest_step(&guest, MSEC(5900)), SHRINK_WAITING);
        assert_int_equal(guest_step(&guest, MSEC(100)), SHRINK_LAPSED);
        assert_int_equal(guest.plan.delta_bytes, -(int64_t) (20 * MIB));

        assert_int_equal(guest_ask(&guest, 7, 2, 44), SHRINK_OFFERED);
        assert_int_equal(guest_step(&guest, MSEC(5900)), SHRINK_WAITING);
        assert_int_equal(guest_ask(&guest, 7, 2, 44), SHRINK_OFFERED); /* asked again: promised again */
        assert_int_equal(guest_step(&guest, MSEC(5900)), SHRINK_WAITING);
        assert_int_equal(guest_step(&guest, MSEC(100)), SHRINK_LAPSED);
}

/* The same request twice gives the same offer, and moves no baseline. */
static void test_repeat(void **unused) {
        Guest guest;

        guest_init(&guest, 1536, 200, 0);
        assert_int_equal(guest_ask(&guest, 7, 1, 64), SHRINK_OFFERED);
        guest_set(&guest, 1506, 200, 0);
        guest_step(&guest, MSEC(20));
        assert_int_equal(guest_ask(&guest, 7, 1, 64), SHRINK_OFFERED);
        assert_int_equal(guest.plan.offered_bytes, 64 * MIB);
        guest_set(&guest, 1472, 200, 0);
        assert_int_equal(guest_step(&guest, MSEC(20)), SHRINK_CONFIRMED);
        assert_int_equal(guest.plan.delta_bytes, -(int64_t) (64 * MIB));
}

/* A balloon that stays in MemTotal, and takes a few pages less than agreed. */
static void test_balloon(void **unused) {
        Guest guest;

        guest_init(&guest, 1536, 200, 0);
        guest.s.balloon_in_total = true;
        guest_step(&guest, MSEC(100));
        assert_int_equal(guest_ask(&guest, 7, 1, 256), SHRINK_OFFERED);
        for (unsigned done = 32; done <= 256; done += 32) {
                guest.s.balloon_bytes = done * MIB - (done == 256 ? 40 * KIB : 0);
                guest_set(&guest, 1536, 200, 0);
                assert_int_equal(guest_step(&guest, MSEC(20)), SHRINK_MOVED);
        }
        assert_int_equal(guest_step(&guest, MSEC(20)), SHRINK_CONFIRMED);
}

static void test_reset(void **unused) {
        Guest guest;

        guest_init(&guest, 1536, 200, 0);
        assert_int_equal(guest_ask(&guest, 7, 1, 64), SHRINK_OFFERED);
        guest_set(&guest, 1500, 260, 0);
        assert_int_equal(guest_step(&guest, MSEC(20)), SHRINK_VETO);
        shrink_reset(&guest.state);
        assert_int_equal(guest_step(&guest, MSEC(20)), SHRINK_IDLE);
        assert_int_equal(guest_ask(&guest, 8, 1, 64), SHRINK_REFUSED);
        assert_int_equal(guest.plan.reason, REFUSAL_HELD); /* a new session does not lift a hold */
}

/*
 * The loop that hunted for ever on MemAvailable: a ramp to 1.5 GiB that is served, the load gone, all taken back in steps
 * until the guest refuses, and quiet. Nothing of the way back is asked for again.
 */
static void test_no_hunting(void **unused) {
        uint64_t total = 404, used = 60, least = 404;
        unsigned n_rose = 0;
        Guest guest;

        guest_init(&guest, total, used, 0);
        for (; used < 1500; used += 5) {
                if (guest.demand.urgency >= URGENCY_HIGH && guest.demand.need_bytes > 0)
                        total += 128 * (((uint64_t) guest.demand.need_bytes / MIB + 127) / 128);
                guest_set(&guest, total, used, 0);
                guest_step(&guest, MSEC(50));
        }
        used = 60;
        guest_set(&guest, total, used, 0);
        for (unsigned i = 0; i < 100; i++)
                guest_step(&guest, MSEC(100));
        assert_int_equal(guest.demand.urgency, URGENCY_NONE);

        for (unsigned step = 1; total > least && guest_ask(&guest, 7, step, 64) == SHRINK_OFFERED; step++)
                for (unsigned done = 0; done < 64; done += 2) {
                        total -= 2;
                        guest_set(&guest, total, used, 0);
                        assert_int_not_equal(guest_step(&guest, MSEC(20)), SHRINK_VETO);
                        n_rose += guest.demand.rose;
                }
        assert_in_range(total, 300, 500);
        for (unsigned i = 0; i < 600; i++) {
                guest_step(&guest, MSEC(100));
                n_rose += guest.demand.rose;
        }
        assert_int_equal(n_rose, 0);
}

/* Taken down to the last byte that the guest gives, it does not want any of it back. */
static void test_floor_is_stable(void **unused) {
        for (uint64_t used = 40; used < 1500; used += 97) {
                uint64_t total = 2048;
                unsigned step = 1;
                Guest guest;

                guest_init(&guest, total, used, 0);
                while (guest_ask(&guest, 7, step++, 32) == SHRINK_OFFERED) {
                        total -= 32;
                        guest_set(&guest, total, used, 0);
                        assert_int_equal(guest_step(&guest, MSEC(500)), SHRINK_CONFIRMED);
                }
                for (unsigned i = 0; i < 300; i++) {
                        guest_step(&guest, MSEC(100));
                        assert_int_equal(guest.demand.fired, 0);
                }
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_answers),         cmocka_unit_test(test_margin),
                cmocka_unit_test(test_whole_resize),    cmocka_unit_test(test_slow_growth),
                cmocka_unit_test(test_unsettled),       cmocka_unit_test(test_growth_between_steps),
                cmocka_unit_test(test_reclaim),         cmocka_unit_test(test_growth_in_reclaim),
                cmocka_unit_test(test_blind),           cmocka_unit_test(test_pressure),
                cmocka_unit_test(test_deadline),        cmocka_unit_test(test_patience_of_the_watch),
                cmocka_unit_test(test_repeat),          cmocka_unit_test(test_balloon),
                cmocka_unit_test(test_reset),           cmocka_unit_test(test_no_hunting),
                cmocka_unit_test(test_floor_is_stable),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
