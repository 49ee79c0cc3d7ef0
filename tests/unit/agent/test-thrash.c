/* SPDX-License-Identifier: Apache-2.0 */

/* Hot cache and cold loops on a virtual guest, over the minutes that the recordings do not last. */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "virtual-guest.h"

/* A guest full of cache: total and used in MiB, and 40 MiB free. */
static void cache_set(Guest *guest, uint64_t total, uint64_t used) {
        guest_set(guest, total * MIB, used * MIB);
        guest->s.free_bytes = 40 * MIB;
        guest->s.active_file_bytes = 100 * MIB;
        guest->s.inactive_file_bytes = guest->s.available_bytes - 140 * MIB;
}

/* 200 ms of reading, MiB/s. */
static void cache_step(Guest *guest, unsigned refault, unsigned activate, unsigned scan) {
        guest->s.workingset_refault += refault * 256 / 5;
        guest->s.workingset_activate += activate * 256 / 5;
        guest->s.pgscan_kswapd += scan * 256 / 5;
        guest_step(guest, MSEC(200));
}

static void cache_init(Guest *guest) {
        guest_init(guest, 1024 * MIB, 150 * MIB);
        cache_set(guest, 1024, 150);
}

/*
 * Grants help no more once the hot set's own bound is passed: 1.5 times the active list, here 150 MiB, and one step. The
 * list is no bound under MGLRU: at most 25 % of T there, 256 MiB.
 */
static void test_cap(void **unused) {
        static const unsigned cap[] = {150, 256};

        for (unsigned lru_gen = 0; lru_gen < 2; lru_gen++) {
                uint64_t total = 1024;
                Guest guest;

                cache_init(&guest);
                guest.s.lru_gen = lru_gen;
                for (unsigned i = 0; i < 1000; i++) {
                        cache_step(&guest, 20, 5, 60);
                        if (guest.demand.urgency >= URGENCY_HIGH && guest.demand.need_bytes > 0) {
                                assert_int_equal(guest.demand.cause, CAUSE_THRASH);
                                total += (uint64_t) guest.demand.need_bytes / MIB;
                                cache_set(&guest, total, 150);
                        }
                }
                assert_in_range(total, 1024 + cap[lru_gen], 1024 + cap[lru_gen] + 110);
                assert_int_equal(guest.demand.urgency, URGENCY_NONE);
        }
}

/* MGLRU counts half as many activations for the same load, so half of them are enough there. */
static void test_lru_gen(void **unused) {
        static const struct {
                unsigned activate; /* quarters of MiB/s */
                bool lru_gen, fires;
        } table[] = {{6, false, false}, {10, false, true}, {3, true, false}, {6, true, true}};

        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                Guest guest;

                cache_init(&guest);
                guest.s.lru_gen = table[i].lru_gen;
                for (unsigned n = 0; n < 50; n++) {
                        guest.s.workingset_activate += table[i].activate * 64 / 5;
                        cache_step(&guest, 10, 0, 60);
                }
                assert_int_equal(guest.n_fired > 0, table[i].fires);
        }
}

/* Refaults right after a grant are of before it: 2 s without a verdict. */
static void test_settles(void **unused) {
        Guest guest;

        cache_init(&guest);
        while (guest.demand.urgency < URGENCY_HIGH)
                cache_step(&guest, 40, 10, 60);
        cache_set(&guest, 1100, 150);
        guest.n_fired = 0;
        for (unsigned i = 0; i < 9; i++)
                cache_step(&guest, 40, 10, 60);
        assert_int_equal(guest.n_fired, 0);
        for (unsigned i = 0; i < 3; i++)
                cache_step(&guest, 40, 10, 60);
        assert_true(guest.n_fired > 0);
}

/* The hot set counts as demand for 10 min after it was last missed, then is forgotten by and by. */
static void test_hot_decays(void **unused) {
        uint64_t hot, minutes = 0;
        Guest guest;

        cache_init(&guest);
        while (guest.demand.urgency < URGENCY_HIGH)
                cache_step(&guest, 20, 5, 60);
        hot = guest.demand.hot_bytes;
        assert_true(hot > 700 * MIB);
        for (unsigned i = 0; i < 9 * 300; i++)
                cache_step(&guest, 0, 0, 0);
        assert_int_equal(guest.demand.hot_bytes, hot);
        assert_true(guest.demand.floor_bytes >= hot);
        while (guest.demand.hot_bytes > hot / 2 && minutes++ < 60)
                for (unsigned i = 0; i < 300; i++)
                        cache_step(&guest, 0, 0, 0);
        assert_in_range(minutes, 10, 20);
}

/* A cold loop gets two trials in 10 min, of low urgency, whether they are granted or not; then two more. */
static void test_trials(void **unused) {
        for (unsigned granted = 0; granted < 2; granted++) {
                uint64_t total = 1024;
                unsigned n_asked = 0;
                bool asking = false;
                Guest guest;

                cache_init(&guest);
                for (unsigned i = 0; i < 20 * 300; i++) {
                        cache_step(&guest, 150, 0, 150);
                        assert_true(guest.demand.urgency <= URGENCY_LOW);
                        if (guest.demand.need_bytes > 0 && !asking) {
                                n_asked += guest.demand.rose;
                                if (granted)
                                        total += (uint64_t) guest.demand.need_bytes / MIB;
                                cache_set(&guest, total, 150);
                        }
                        asking = guest.demand.need_bytes > 0;
                }
                assert_in_range(n_asked, granted ? 4 : 2, 4);
                assert_int_equal(guest.demand.hot_bytes, 0);
        }
}

/* Warm refaults are no loop, and a stream, whatever its rate, is nothing at all. */
static void test_neither(void **unused) {
        static const unsigned table[][3] = {
                {0, 0, 500},   /* stream */
                {150, 1, 150}, /* neither cold nor hot */
                {150, 0, 0},   /* a container's loop at its own limit */
                {20, 5, 0},    /* a container's hot set */
        };

        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                Guest guest;

                cache_init(&guest);
                for (unsigned n = 0; n < 300; n++)
                        cache_step(&guest, table[i][0], table[i][1], table[i][2]);
                assert_int_equal(guest.n_fired, 0);
        }
}

/* A slow disk bounds the rate of refaults; then its own stalls are the sign. */
static void test_slow_disk(void **unused) {
        for (unsigned waits = 0; waits < 2; waits++) {
                Guest guest;

                cache_init(&guest);
                for (unsigned n = 0; n < 50; n++) {
                        guest.s.psi_io_some_usec += waits * MSEC(100);
                        cache_step(&guest, 9, 1, 10);
                }
                assert_int_equal(guest.n_fired > 0, waits);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_cap),        cmocka_unit_test(test_settles),
                cmocka_unit_test(test_hot_decays), cmocka_unit_test(test_trials),
                cmocka_unit_test(test_neither),    cmocka_unit_test(test_slow_disk),
                cmocka_unit_test(test_lru_gen),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
