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

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_in_flight),
                cmocka_unit_test(test_block_on_its_way_out),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
