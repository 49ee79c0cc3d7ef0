/* SPDX-License-Identifier: Apache-2.0 */

/* What stops a step in flight, and what must not. */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "common/macro.h"
#include "shrink-guest.h"

/* What happens while 64 MiB are in flight, and whether the guest stops it within that very sample. */
static void test_in_flight(void **unused) {
        static const struct {
                const char *name;
                uint64_t used; /* MiB, 200 at the offer */
                uint64_t psi_usec, allocstall, pgscan_direct, pgscan_kswapd;
                ShrinkEvidence evidence; /* NONE: it goes on */
                uint64_t amount;
        } table[] = {
                {"nothing", 200, 0, 0, 0, 0, SHRINK_EVIDENCE_NONE, 0},
                {"noise, and what the step moves", 218, 9000, 0, 0, 0, SHRINK_EVIDENCE_NONE, 0},
                {"a process of 30 MiB", 230, 0, 0, 0, 0, SHRINK_EVIDENCE_GROWTH, 30 * MIB},
                {"a stall", 200, 10001, 0, 0, 0, SHRINK_EVIDENCE_STALL, 10001},
                {"an allocation that stalls", 200, 0, 1, 0, 0, SHRINK_EVIDENCE_RECLAIM, 1},
                {"direct reclaim", 200, 0, 0, 1, 0, SHRINK_EVIDENCE_RECLAIM, 1},
                {"kswapd for a stream", 200, 0, 0, 0, 5000, SHRINK_EVIDENCE_NONE, 0},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                for (unsigned late = 0; late < 2; late++) {
                        Guest guest;

                        guest_init(&guest, 1536, 200, 0);
                        /* Counters that the offer's sample had not read and that moved before it are no reason. */
                        if (late)
                                guest.s.has = SNAPSHOT_HAS_MEMINFO | SNAPSHOT_HAS_PSI;
                        assert_int_equal(guest_ask(&guest, 7, 1, 64), SHRINK_OFFERED);
                        guest.s.has = ALL;
                        if (late) {
                                guest.s.allocstall += 5;
                                guest.s.pgscan_direct += 5;
                        }
                        guest_set(&guest, 1526, 200, 0);
                        assert_int_equal(guest_step(&guest, MSEC(20)), SHRINK_MOVED);
                        guest_set(&guest, 1516, table[i].used, 0);
                        guest.s.psi_some_usec += table[i].psi_usec;
                        guest.s.allocstall += table[i].allocstall;
                        guest.s.pgscan_direct += table[i].pgscan_direct;
                        guest.s.pgscan_kswapd += table[i].pgscan_kswapd;
                        bool veto = guest_step(&guest, MSEC(20)) == SHRINK_VETO;
                        if (veto != (table[i].evidence != SHRINK_EVIDENCE_NONE) ||
                            guest.plan.evidence != table[i].evidence)
                                fail_msg("%s: verdict %d, evidence %s", table[i].name,
                                         (int) guest.plan.verdict,
                                         shrink_evidence_to_string(guest.plan.evidence));
                        if (!veto)
                                continue;
                        assert_int_equal(guest.plan.evidence_amount, table[i].amount);
                        /* It is over, and held. */
                        assert_int_equal(guest_step(&guest, MSEC(20)), SHRINK_IDLE);
                        assert_int_equal(guest_ask(&guest, 7, 2, 64), SHRINK_REFUSED);
                        assert_int_equal(guest.plan.reason, REFUSAL_HELD);
                        assert_in_range(guest.plan.hold_usec, SEC(119), SEC(120));
                        guest_set(&guest, 1536, 200, 0);
                        for (unsigned n = 0; n < 1210; n++)
                                guest_step(&guest, MSEC(100));
                        assert_int_equal(guest_ask(&guest, 8, 1, 64), SHRINK_OFFERED);
                }
}

/* A block on its way out is in MemTotal once more for some samples: no workload, and nothing that was taken. */
static void test_block_on_its_way_out(void **unused) {
        Guest guest;

        guest_init(&guest, 1536, 200, 0);
        assert_int_equal(guest_ask(&guest, 7, 1, 64), SHRINK_OFFERED);
        guest_set(&guest, 1500, 200, 0);
        assert_int_equal(guest_step(&guest, MSEC(20)), SHRINK_MOVED);
        for (unsigned i = 0; i < 3; i++) {
                guest_set(&guest, 1620, 320, 0);
                assert_int_not_equal(guest_step(&guest, MSEC(20)), SHRINK_VETO);
        }
        guest_set(&guest, 1472, 200, 0);
        assert_int_equal(guest_step(&guest, MSEC(20)), SHRINK_CONFIRMED);

        /* Offered just then, the next step still has to be taken in full. */
        guest_set(&guest, 1592, 320, 0);
        assert_int_equal(guest_ask(&guest, 7, 2, 64), SHRINK_OFFERED);
        guest_set(&guest, 1472, 200, 0);
        assert_int_not_equal(guest_step(&guest, MSEC(20)), SHRINK_CONFIRMED);
        guest_set(&guest, 1408, 200, 0);
        assert_int_equal(guest_step(&guest, MSEC(20)), SHRINK_CONFIRMED);

        /* And a process is a process all the same. */
        assert_int_equal(guest_ask(&guest, 7, 3, 64), SHRINK_OFFERED);
        guest_set(&guest, 1528, 350, 0);
        assert_int_equal(guest_step(&guest, MSEC(20)), SHRINK_VETO);
}

/*
 * A DIMM of two blocks goes offline at the host's word: each block's pages leave MemAvailable before they leave MemTotal,
 * and the bytes are confirmed. A process that grows meanwhile is stopped for.
 */
static void test_blocks_taken_offline(void **unused) {
        for (unsigned grows = 0; grows < 2; grows++) {
                Guest guest;

                guest_init(&guest, 1536, 200, 0);
                assert_int_equal(guest_ask(&guest, 7, 1, 256), SHRINK_OFFERED);
                assert_int_equal(shrink_check_range(&config, &guest.state, 7, 256 * MIB, &guest.s,
                                                    &guest.demand),
                                 REFUSAL_NONE);
                guest.s.offlining_bytes = 128 * MIB;
                for (uint64_t gone = 0; gone < 256; gone += 128)
                        for (uint64_t isolated = 32; isolated <= 128; isolated += 48) {
                                guest_set(&guest, 1536 - gone, 200 + isolated, 0);
                                assert_int_not_equal(guest_step(&guest, MSEC(20)), SHRINK_VETO);
                                assert_int_equal(guest.demand.fired, 0);
                                assert_true(guest.demand.fall_bytes_per_sec < 10 * MIB);
                        }
                if (grows) {
                        guest_set(&guest, 1408, 200 + 128 + 60, 0);
                        assert_int_equal(guest_step(&guest, MSEC(20)), SHRINK_VETO);
                        continue;
                }
                guest.s.offlining_bytes = 0;
                guest_set(&guest, 1280, 200, 0);
                assert_int_equal(guest_step(&guest, MSEC(20)), SHRINK_CONFIRMED);
                assert_int_equal(guest.plan.delta_bytes, -256 * (int64_t) MIB);
        }
}

/* A range that comes by itself, or in the middle of something, and one that the guest cannot do without. */
static void test_range(void **unused) {
        static const struct {
                const char *name;
                uint64_t total, used, cache, ask, bytes, id;
                bool moved;
                RefusalReason reason;
        } table[] = {
                {"free", 1536, 200, 0, 0, 256, 7, false, REFUSAL_NONE},
                {"in the page cache", 1536, 200, 1200, 0, 256, 7, false, REFUSAL_NONE},
                {"more than the floor leaves", 1536, 200, 0, 0, 1400, 7, false, REFUSAL_FLOOR},
                {"more than there is", 1536, 200, 0, 0, 4096, 7, false, REFUSAL_FLOOR},
                {"just resized", 1536, 200, 0, 0, 256, 7, true, REFUSAL_UNSETTLED},
                {"its own offer", 1536, 200, 0, 256, 256, 7, false, REFUSAL_NONE},
                {"another's offer", 1536, 200, 0, 256, 256, 8, false, REFUSAL_UNSETTLED},
                {"in the middle of its reclaim", 1536, 200, 1200, 512, 512, 7, false, REFUSAL_UNSETTLED},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                RefusalReason reason;
                Guest guest;

                guest_init(&guest, table[i].total, table[i].used, table[i].cache);
                if (table[i].moved) {
                        guest_set(&guest, table[i].total - 10, table[i].used, table[i].cache);
                        (void) guest_step(&guest, MSEC(20));
                }
                if (table[i].ask > 0)
                        (void) guest_ask(&guest, 7, 1, table[i].ask);
                reason = shrink_check_range(&config, &guest.state, table[i].id, table[i].bytes * MIB,
                                            &guest.s, &guest.demand);
                if (reason != table[i].reason)
                        fail_msg("%s: %s", table[i].name, refusal_reason_to_string(reason));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_in_flight),
                cmocka_unit_test(test_block_on_its_way_out),
                cmocka_unit_test(test_blocks_taken_offline),
                cmocka_unit_test(test_range),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
