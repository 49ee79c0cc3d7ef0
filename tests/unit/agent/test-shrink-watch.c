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

/* A balloon takes page after page: the step is confirmed with the last of them, or when no more come. */
static void test_the_last_pages(void **unused) {
        Guest guest;

        guest_init(&guest, 1536, 200, 0);
        assert_int_equal(guest_ask(&guest, 7, 1, 64), SHRINK_OFFERED);
        guest_set(&guest, 1536 - 63, 200, 0);
        assert_int_equal(guest_step(&guest, MSEC(20)), SHRINK_MOVED);
        assert_int_equal(guest.plan.delta_bytes, -63 * (int64_t) MIB);
        guest_set(&guest, 1536 - 64, 200, 0);
        assert_int_equal(guest_step(&guest, MSEC(20)), SHRINK_CONFIRMED);
        assert_int_equal(guest.plan.delta_bytes, -64 * (int64_t) MIB);

        assert_int_equal(guest_ask(&guest, 7, 2, 64), SHRINK_OFFERED);
        guest_set(&guest, 1472 - 63, 200, 0);
        assert_int_equal(guest_step(&guest, MSEC(20)), SHRINK_MOVED);
        assert_int_equal(guest_step(&guest, MSEC(20)), SHRINK_CONFIRMED);
        assert_int_equal(guest.plan.delta_bytes, -63 * (int64_t) MIB);
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

static void guest_hold(Guest *guest, uint64_t mib) {
        guest->s.has = ALL | SNAPSHOT_HAS_HELD;
        guest->s.held_bytes = mib * MIB;
}

/*
 * Free page reporting: 98 MiB are off the free lists while the host drops them, seen by one sample that came late. Nobody has
 * them, and it is no veto; what somebody has, is one in that very sample, whatever else is reported beside it.
 */
static void test_reported_pages(void **unused) {
        static const struct {
                const char *name;
                uint64_t used, held; /* MiB; 200 and 150 at the offer */
                bool knows;          /* what is held */
                bool veto;
        } table[] = {
                {"pages being reported", 298, 150, true, false},
                {"the most that can be", 328, 150, true, false},
                {"reported, and noise", 298, 160, true, false},
                {"a process of 98 MiB", 298, 248, true, true},
                {"a process of 30 MiB", 230, 180, true, true},
                {"reported, and a process", 328, 180, true, true},
                {"a process that took what another gave up", 298, 240, true, true},
                {"whose account is not known", 298, 150, false, true},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                Guest guest;

                guest_init(&guest, 1536, 200, 0);
                guest_hold(&guest, 150);
                if (!table[i].knows)
                        guest.s.has = ALL;
                assert_int_equal(guest_ask(&guest, 7, 1, 64), SHRINK_OFFERED);
                guest_set(&guest, 1516, 200, 0);
                assert_int_equal(guest_step(&guest, MSEC(20)), SHRINK_MOVED);
                guest_set(&guest, 1496, table[i].used, 0);
                guest.s.held_bytes = table[i].held * MIB;
                if ((guest_step(&guest, MSEC(652)) == SHRINK_VETO) != table[i].veto)
                        fail_msg("%s: verdict %d, evidence %s", table[i].name, (int) guest.plan.verdict,
                                 shrink_evidence_to_string(guest.plan.evidence));
                if (table[i].veto) {
                        assert_int_equal(guest.plan.evidence, SHRINK_EVIDENCE_GROWTH);
                        assert_int_equal(guest.plan.evidence_amount, (table[i].used - 200) * MIB);
                        continue;
                }
                guest_set(&guest, 1472, 200, 0);
                assert_int_equal(guest_step(&guest, MSEC(20)), SHRINK_CONFIRMED);
        }
}

/*
 * One lot after the other, for as long as it takes, is still nobody's; what stays away is somebody's whom the kernel does
 * not name.
 */
static void test_loose_growth_that_lasts(void **unused) {
        Guest guest;

        guest_init(&guest, 1536, 200, 0);
        guest_hold(&guest, 150);
        assert_int_equal(guest_ask(&guest, 7, 1, 64), SHRINK_OFFERED);
        for (unsigned i = 1; i < 100; i++) { /* two seconds; every fifth sample falls between two lots */
                guest_set(&guest, 1536, i % 5 ? 298 : 200, 0);
                assert_int_equal(guest_step(&guest, MSEC(20)), SHRINK_WAITING);
        }
        guest_set(&guest, 1536, 298, 0);
        for (unsigned i = 0; i < 20 - 4; i++)
                assert_int_equal(guest_step(&guest, MSEC(20)), SHRINK_WAITING);
        assert_int_equal(guest_step(&guest, MSEC(20)), SHRINK_VETO);
        assert_int_equal(guest.plan.evidence_amount, 98 * MIB);
}

/* Since the offer too, late in a long resize: a lot that is reported is no burst, a process is. */
static void test_reported_late(void **unused) {
        for (unsigned process = 0; process < 2; process++) {
                Guest guest;

                guest_init(&guest, 4096, 200, 0);
                guest_hold(&guest, 150);
                for (unsigned step = 1; step <= 16; step++) {
                        assert_int_equal(guest_ask(&guest, 7, step, 128), SHRINK_OFFERED);
                        guest_set(&guest, 4096 - 128 * (uint64_t) step, 200, 0);
                        assert_int_equal(guest_step(&guest, MSEC(20)), SHRINK_CONFIRMED);
                }
                assert_int_equal(guest_ask(&guest, 7, 17, 128), SHRINK_OFFERED);
                guest_set(&guest, 2048, 240, 0);
                guest.s.held_bytes += process * 40 * MIB;
                assert_int_equal(guest_step(&guest, MSEC(20)), process ? SHRINK_VETO : SHRINK_WAITING);
                if (process)
                        assert_int_equal(guest.plan.evidence, SHRINK_EVIDENCE_BURST);
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
                cmocka_unit_test(test_the_last_pages),
                cmocka_unit_test(test_block_on_its_way_out),
                cmocka_unit_test(test_blocks_taken_offline),
                cmocka_unit_test(test_reported_pages),
                cmocka_unit_test(test_loose_growth_that_lasts),
                cmocka_unit_test(test_reported_late),
                cmocka_unit_test(test_range),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
