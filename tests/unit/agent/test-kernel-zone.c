/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Kernel zones that are short, on a virtual guest whose zones are read once a second while memory comes within tens of
 * milliseconds: asked for once, not once per sample; not again where it was given as Movable.
 */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "virtual-guest.h"

#define BLOCK (128 * MIB)

/* Plenty available, all of it Movable; the kernel has free left. */
static void start_short(Guest *guest, uint64_t kernel_free) {
        guest_init(guest, GIB, 400 * MIB);
        guest->s.kernel_managed_bytes = 400 * MIB;
        guest->s.movable_managed_bytes = 624 * MIB;
        guest->s.kernel_free_bytes = kernel_free;
        guest_step(guest, MSEC(50));
}

/* One sample; zones are read with it or not. */
static void sample(Guest *guest, bool zones) {
        guest->s.has = zones ? ALL : ALL & ~(unsigned) SNAPSHOT_HAS_ZONES;
        guest_step(guest, MSEC(50));
}

static void grant(Guest *guest, uint64_t bytes) {
        guest_set(guest, guest->s.total_bytes + bytes, guest->s.total_bytes - guest->s.available_bytes);
}

static bool fires(const Guest *guest) {
        return guest->demand.fired & 1U << CAUSE_KERNEL_ZONE;
}

static void test_the_ask_stands_still(void **unused) {
        Guest guest;

        start_short(&guest, 20 * MIB);
        assert_true(fires(&guest));
        assert_true(guest.demand.kernel_zone);
        for (unsigned i = 0; i < 10; i++) {
                int64_t need = guest.demand.need_bytes;

                sample(&guest, false);
                assert_true(fires(&guest));
                assert_true(guest.demand.need_bytes <= need);
        }
}

static void test_no_second_ask_before_zones_are_read(void **unused) {
        Guest guest;

        start_short(&guest, 20 * MIB);
        grant(&guest, u64_align_up((uint64_t) guest.demand.need_bytes, BLOCK));
        for (unsigned i = 0; i < 20; i++) {
                sample(&guest, false);
                assert_false(fires(&guest));
                assert_true(guest.demand.need_bytes <= 0);
        }
}

static void test_served_as_kernel_memory(void **unused) {
        Guest guest;

        start_short(&guest, 20 * MIB);
        uint64_t bytes = u64_align_up((uint64_t) guest.demand.need_bytes, BLOCK);

        grant(&guest, bytes);
        guest.s.kernel_free_bytes += bytes;
        guest.s.kernel_managed_bytes += bytes;
        sample(&guest, true);
        assert_false(fires(&guest));

        /* And it may ask again when that is gone too. */
        guest.s.kernel_free_bytes = 20 * MIB;
        sample(&guest, true);
        assert_true(fires(&guest));
}

static void test_held_where_given_as_movable(void **unused) {
        Guest guest;

        start_short(&guest, 20 * MIB);
        grant(&guest, u64_align_up((uint64_t) guest.demand.need_bytes, BLOCK));
        for (unsigned i = 0; i < 1000; i++) { /* 50 s */
                sample(&guest, i % 20 == 0);
                assert_false(fires(&guest));
        }
        for (unsigned i = 0; i < 400 && !fires(&guest); i++)
                sample(&guest, true);
        assert_true(fires(&guest));
}

/* zoneinfo is dear: once per second where there is a Movable zone, five times where K nears the limit, else seldom. */
static void test_how_often(void **unused) {
        static const struct {
                uint64_t free, movable; /* MiB */
                unsigned usec;
        } table[] = {
                {500, 1024, 1000000},
                {60, 1024, 200000},
                {60, 0, 10000000},
        };

        for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                Guest guest;

                start_short(&guest, table[i].free * MIB);
                guest.s.movable_managed_bytes = table[i].movable * MIB;
                sample(&guest, true);
                assert_int_equal(guest.demand.zones_interval_usec, table[i].usec);
                assert_true(guest.demand.next_sample_usec <= table[i].usec);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_ask_stands_still),
                cmocka_unit_test(test_no_second_ask_before_zones_are_read),
                cmocka_unit_test(test_served_as_kernel_memory),
                cmocka_unit_test(test_held_where_given_as_movable),
                cmocka_unit_test(test_how_often),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
