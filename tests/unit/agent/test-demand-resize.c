/* SPDX-License-Identifier: Apache-2.0 */

/* What the estimator takes for growth: the workload's own, and not what a resize does to the counters. */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "common/macro.h"
#include "virtual-guest.h"

/* How a resize shows in a guest where nothing else happens. */
typedef struct Resize {
        const char *name;
        uint64_t step;  /* MiB that MemTotal or the balloon moves per sample */
        uint64_t every; /* ms */
        unsigned
                balloon; /* 0: MemTotal moves; 1: the balloon, hidden from MemTotal; 2: still counted in it */
        bool early;      /* U moves a sample before usable: memmap at a plug, isolated pages at an unplug */
} Resize;

static void resize_by(Guest *guest, const Resize *resize, bool grow, uint64_t own) {
        uint64_t bytes = resize->step * MIB, used = snapshot_used_bytes(&guest->s);
        uint64_t total = guest->s.total_bytes;

        used = grow ? used + own : used - own;
        if (resize->balloon == 2)
                guest->s.balloon_bytes =
                        u64_shift(guest->s.balloon_bytes, grow ? -(int64_t) bytes : (int64_t) bytes);
        else
                total = grow ? total + bytes : total - bytes;
        if (resize->early) {
                guest->s.available_bytes = u64_sub(guest->s.available_bytes, grow ? own : bytes);
                guest_step(guest, MSEC(20));
        }
        guest_set(guest, total, used);
        guest_step(guest, MSEC(resize->every));
        /* Not only no alarm: no growth. Where U moves before usable does, nobody can tell. */
        if (!resize->early)
                assert_int_equal(guest->demand.fall_bytes_per_sec, 0);
}

/* 512 MiB taken and given by every actuator, with no workload: nothing is asked for, and nothing told. */
static void test_own_resize(void **unused) {
        static const Resize table[] = {
                {"virtio-mem, sub-blocks", 2, 20, 0, false},
                {"virtio-mem, steps", 64, 50, 0, false},
                {"virtio-mem, blocks", 128, 50, 0, true},
                {"virtio-mem, at once", 512, 50, 0, false},
                {"balloon", 16, 20, 1, false},
                {"balloon, deflate on OOM", 16, 20, 2, false},
                {"balloon, deflate on OOM, at once", 512, 50, 2, false},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                for (unsigned rounds = 0; rounds < 4; rounds++) {
                        Guest guest;
                        bool balloon = table[i].balloon > 0;

                        guest_init(&guest, 1024 * MIB, 200 * MIB);
                        guest.s.balloon_in_total = table[i].balloon == 2;
                        for (unsigned done = 0; done < 512; done += table[i].step)
                                resize_by(&guest, &table[i], false,
                                          balloon ? 0 : table[i].step * MIB * 27 / 1000);
                        for (unsigned n = 0; n < rounds; n++)
                                guest_step(&guest, MSEC(100));
                        for (unsigned done = 0; done < 512; done += table[i].step)
                                resize_by(&guest, &table[i], true,
                                          balloon ? 0 : table[i].step * MIB * 27 / 1000);
                        if (guest.n_fired > 0 || guest.n_rose > 0)
                                fail_msg("%s: fired %u times", table[i].name, guest.n_fired);
                }
}

/* A workload that grows beside a resize is seen for what it is. */
static void test_growth_beside_resize(void **unused) {
        uint64_t total = 1536, used = 200;
        Guest guest;

        guest_init(&guest, total * MIB, used * MIB);
        for (unsigned i = 0; i < 20; i++) {
                total -= 16;
                used += 5;
                guest_set(&guest, total * MIB, used * MIB);
                guest_step(&guest, MSEC(50));
        }
        assert_in_range(guest.demand.fall_bytes_per_sec, 85 * MIB, 100 * MIB);
}

/* One jump is no ramp: the second sample does not confirm it. */
static void test_jump(void **unused) {
        Guest guest;

        guest_init(&guest, 1024 * MIB, 628 * MIB);
        guest_set(&guest, 1024 * MIB, 728 * MIB);
        for (unsigned i = 0; i < 100; i++)
                guest_step(&guest, MSEC(50));
        assert_int_equal(guest.n_fired, 0);
}

/* A block that is being removed: MemTotal counts it once more for some samples, MemAvailable does not (recorded, KiB). */
static void test_block_on_its_way_out(void **unused) {
        static const struct {
                uint64_t total, available;
        } samples[] = {
                {1994000, 1865432}, {1990940, 1862376}, {2117916, 1860672}, {2117916, 1860672},
                {2117916, 1860672}, {1984796, 1856232}, {1980000, 1851436},
        };
        Guest guest;

        guest_init(&guest, samples[0].total * KIB, (samples[0].total - samples[0].available) * KIB);
        for (size_t i = 0; i < ELEMENTSOF(samples); i++) {
                guest_set(&guest, samples[i].total * KIB, (samples[i].total - samples[i].available) * KIB);
                guest_step(&guest, MSEC(20));
                assert_true(guest.demand.fall_bytes_per_sec < 10 * MIB);
        }
        assert_int_equal(guest.n_fired, 0);
}

/* U goes up and down in a guest: quiet where it has been before, and not after a shrink has changed the place. */
static void test_known_territory(void **unused) {
        static const uint64_t shrink[] = {0, 32};

        for (size_t i = 0; i < ELEMENTSOF(shrink); i++) {
                uint64_t total = 1056;
                Guest guest;

                guest_init(&guest, total * MIB, 200 * MIB);
                for (unsigned cycle = 0; cycle < 2; cycle++) {
                        guest.n_fired = 0;
                        for (uint64_t used = 200; used <= 780; used += 20) {
                                guest_set(&guest, total * MIB, used * MIB);
                                guest_step(&guest, MSEC(50));
                        }
                        unsigned n_fired = guest.n_fired;

                        guest_set(&guest, total * MIB, 200 * MIB);
                        for (unsigned n = 0; n < 100; n++)
                                guest_step(&guest, MSEC(100));
                        total -= shrink[i];
                        guest_set(&guest, total * MIB, 200 * MIB);
                        guest_step(&guest, MSEC(100));
                        assert_int_equal(n_fired > 0, cycle == 0 || shrink[i] > 0);
                }
        }
}

/*
 * Free page reporting in a guest that shrinks: 128 MiB are off the free lists in two samples, nobody has them, and no more
 * is asked for than before. A process of as much is asked for, as is what stays away.
 */
static void test_reported_pages(void **unused) {
        enum { REPORTED, PROCESS, STAYS, UNKNOWN, WAYS };

        for (unsigned way = 0; way < WAYS; way++) {
                Guest guest;

                guest_init(&guest, 512 * MIB, 300 * MIB);
                guest.s.has |= way == UNKNOWN ? 0 : SNAPSHOT_HAS_HELD;
                guest.s.held_bytes = 250 * MIB;
                for (unsigned i = 0; i < 5; i++)
                        guest_step(&guest, MSEC(20));
                for (unsigned lot = 0; lot < 10; lot++) {
                        guest_set(&guest, 512 * MIB, 428 * MIB);
                        guest.s.held_bytes += lot == 0 && way == PROCESS ? 128 * MIB : 0;
                        guest_step(&guest, MSEC(20));
                        guest_step(&guest, MSEC(20));
                        if (way == REPORTED) {
                                assert_int_equal(guest.demand.used_bytes, 300 * MIB);
                                guest_set(&guest, 512 * MIB, 300 * MIB);
                        }
                        guest_step(&guest, MSEC(20));
                        if (way == STAYS && lot < 6)
                                assert_int_equal(guest.n_fired, 0);
                }
                assert_int_equal(guest.n_fired > 0, way != REPORTED);
                assert_int_equal(guest.n_rose > 0, way != REPORTED);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_own_resize),
                cmocka_unit_test(test_growth_beside_resize),
                cmocka_unit_test(test_jump),
                cmocka_unit_test(test_block_on_its_way_out),
                cmocka_unit_test(test_known_territory),
                cmocka_unit_test(test_reported_pages),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
