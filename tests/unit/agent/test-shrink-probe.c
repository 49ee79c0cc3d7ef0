/* SPDX-License-Identifier: Apache-2.0 */

/* What was reclaimed for a step is watched before it is offered: who takes it back keeps it. */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "common/macro.h"
#include "shrink-guest.h"

#define PAGES(mib)      ((uint64_t) (mib) *MIB / 4096)
#define WITH_CONTAINERS (ALL | SNAPSHOT_HAS_CGROUPS)

typedef struct Back { /* in the second after the reclaim, MiB unless said */
        uint64_t refaulted, contained, rebound, swapped_in;
        uint64_t psi_usec;
} Back;

static void guest_back(Guest *guest, const Back *back) {
        guest->s.workingset_refault += PAGES(back->refaulted);
        guest->s.contained_refault += PAGES(back->contained);
        guest->s.inactive_file_bytes += back->rebound * MIB;
        guest->s.pswpin += PAGES(back->swapped_in);
        guest->s.psi_some_usec += back->psi_usec;
}

/* 1300 MiB of cache, 36 free; 64 asked, so 176 to be reclaimed. Leaves the guest after the reclaim. */
static void guest_reclaimed(Guest *guest, unsigned step) {
        assert_int_equal(guest_ask(guest, 7, step, 64), SHRINK_RECLAIM);
        guest_set(guest, 1536, 200, 1100);
        guest->s.inactive_file_bytes = 1100 * MIB;
        assert_int_equal(guest_step(guest, MSEC(200)), SHRINK_WAITING);
        guest->plan = shrink_freed(&config, &guest->state, &guest->s, &guest->demand, 36 * MIB);
        assert_int_equal(guest->plan.verdict, SHRINK_WAITING);
}

static void guest_start(Guest *guest) {
        guest_init(guest, 1536, 200, 1300);
        guest->s.inactive_file_bytes = 1300 * MIB;
        guest->s.has = WITH_CONTAINERS;
}

static void test_evidence(void **unused) {
        static const struct {
                const char *name;
                Back back;
                bool bad;
                uint64_t back_bytes; /* MiB */
        } table[] = {
                {"nothing", {}, false, 0},
                {"a log file", {.rebound = 3}, false, 0},
                {"a tenth of 200, and no more", {.refaulted = 20}, false, 0},
                {"more than a tenth of it refaults", {.refaulted = 21}, true, 21},
                {"MGLRU counts no refault", {.rebound = 60}, true, 60},
                {"the larger of both", {.refaulted = 50, .rebound = 60}, true, 60},
                {"a container at its own limit", {.refaulted = 100, .contained = 90}, false, 0},
                {"a container, and the rest", {.refaulted = 100, .contained = 70}, true, 30},
                {"swap in", {.swapped_in = 3}, true, 0},
                {"a little swap in", {.swapped_in = 2}, false, 0},
                {"a stall", {.psi_usec = 10001}, true, 0},
                {"noise", {.psi_usec = 10000}, false, 0},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                uint64_t n = 0;
                Guest guest;

                guest_start(&guest);
                guest_reclaimed(&guest, 1);
                guest_back(&guest, &table[i].back);
                for (; guest_step(&guest, MSEC(20)) == SHRINK_WAITING; n++)
                        assert_true(n < 60);
                assert_in_range(n, 53, 55); /* 1.1 s */
                bool bad = guest.plan.verdict == SHRINK_REFUSED;
                if (bad != table[i].bad || (bad && guest.plan.back_bytes != table[i].back_bytes * MIB))
                        fail_msg("%s: verdict %d, %d MiB back", table[i].name, (int) guest.plan.verdict,
                                 (int) (guest.plan.back_bytes / MIB));
                assert_int_equal(guest.plan.freed_bytes, 200 * MIB);
                if (bad) {
                        assert_int_equal(guest.plan.reason, REFUSAL_PRESSURE);
                        assert_int_equal(guest.plan.hold_usec, SEC(120));
                } else
                        assert_int_equal(guest.plan.offered_bytes, 64 * MIB);
        }
}

/* Each bad probe in a row holds twice as long, and a clean one forgives. */
static void test_back_off(void **unused) {
        static const unsigned hold_s[] = {120, 240, 480, 960, 1920, 1920};
        const Back bad = {.refaulted = 100};
        Guest guest;

        guest_start(&guest);
        for (size_t i = 0; i < ELEMENTSOF(hold_s); i++) {
                guest_set(&guest, 1536, 200, 1300);
                guest_reclaimed(&guest, 1);
                guest_back(&guest, &bad);
                while (guest_step(&guest, MSEC(100)) == SHRINK_WAITING)
                        ;
                assert_int_equal(guest.plan.hold_usec, SEC(hold_s[i]));
                assert_int_equal(guest_ask(&guest, 8, 1, 64), SHRINK_REFUSED);
                assert_int_equal(guest.plan.reason, REFUSAL_HELD);
                guest_step(&guest, SEC(hold_s[i]));
                shrink_reset(&guest.state); /* a new session is no new workload */
        }

        guest_set(&guest, 1536, 200, 1300);
        guest_reclaimed(&guest, 1);
        while (guest_step(&guest, MSEC(100)) == SHRINK_WAITING)
                ;
        assert_int_equal(guest.plan.verdict, SHRINK_OFFERED);
        assert_int_equal(guest.state.probe.n_bad, 0);
}

/* What is used every 4 s comes back while the step is taken; what virtio-mem itself dropped may come back as well. */
static void test_between_steps(void **unused) {
        static const struct {
                const char *name;
                uint64_t refaulted;
                unsigned after_s;
                bool balloon, bad;
        } table[] = {
                {"nothing", 0, 1, false, false},        {"what the device dropped", 64, 1, false, false},
                {"more than that", 90, 1, false, true}, {"a balloon drops nothing", 64, 1, true, true},
                {"long ago", 90, 60, false, false},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                Back back = {.refaulted = table[i].refaulted};
                Guest guest;

                guest_start(&guest);
                guest_reclaimed(&guest, 1);
                guest.state.ask.balloon = table[i].balloon;
                while (guest_step(&guest, MSEC(100)) == SHRINK_WAITING)
                        ;
                assert_int_equal(guest.plan.verdict, SHRINK_OFFERED);
                guest_set(&guest, 1472, 200, 1100);
                assert_int_equal(guest_step(&guest, MSEC(20)), SHRINK_CONFIRMED);
                guest_back(&guest, &back);
                guest_step(&guest, SEC(table[i].after_s));
                ShrinkVerdict verdict = guest_ask(&guest, 7, 2, 64);
                if ((verdict == SHRINK_REFUSED) != table[i].bad)
                        fail_msg("%s: verdict %d", table[i].name, (int) verdict);
        }
}

/* The same request while it is watched is no second one; and a guest in need waits for no end of it. */
static void test_meanwhile(void **unused) {
        Guest guest;

        guest_start(&guest);
        guest_reclaimed(&guest, 1);
        guest_step(&guest, MSEC(20));
        assert_int_equal(guest_ask(&guest, 7, 1, 64), SHRINK_WAITING);
        guest_set(&guest, 1536, 1500, 0);
        while (guest_step(&guest, MSEC(20)) == SHRINK_WAITING)
                ;
        assert_int_equal(guest.plan.verdict, SHRINK_REFUSED);
        assert_int_equal(guest.plan.reason, REFUSAL_PRESSURE);
        assert_in_range(guest.state.at_ask.now_usec + MSEC(600), guest.s.now_usec, UINT64_MAX);
}

/* A host in a hurry gets its answer in time, by what is known then. */
static void test_short_deadline(void **unused) {
        Guest guest;

        guest_start(&guest);
        ShrinkAsk ask = ask_of(&guest, 7, 1, 64 * MIB);
        ask.deadline_usec = guest.s.now_usec + MSEC(800);
        guest.plan = shrink_ask(&config, &guest.state, &ask, &guest.s, &guest.demand, true);
        guest_set(&guest, 1536, 200, 1100);
        guest_step(&guest, MSEC(200));
        assert_int_equal(guest_freed(&guest, 36 * MIB), SHRINK_OFFERED);
        assert_in_range(ask.deadline_usec - guest.s.now_usec, MSEC(80), MSEC(100));
}

/* H is what came back, never more than is cached, and what stayed away was not hot. */
static void test_learning(void **unused) {
        DemandState state = {.last = {.inactive_file_bytes = 500 * MIB}};

        demand_learn_probe(&state, 200 * MIB, 60 * MIB);
        assert_int_equal(state.hot_bytes, 60 * MIB);
        for (unsigned i = 0; i < 20; i++)
                demand_learn_probe(&state, 200 * MIB, 60 * MIB);
        assert_int_equal(state.hot_bytes, 500 * MIB);
        demand_learn_probe(&state, 200 * MIB, 0);
        assert_int_equal(state.hot_bytes, 300 * MIB);
        demand_learn_probe(&state, 400 * MIB, 0);
        assert_int_equal(state.hot_bytes, 0);
}

/* The kernel frees up to twice what it is asked for; there is no need for it. */
static void test_enough(void **unused) {
        Guest guest;

        guest_start(&guest);
        assert_int_equal(guest_ask(&guest, 7, 1, 64), SHRINK_RECLAIM);
        guest_set(&guest, 1536, 200, 1125);
        assert_false(shrink_has_freed(&guest.state, &guest.s, 36 * MIB));
        guest_set(&guest, 1536, 200, 1124);
        assert_true(shrink_has_freed(&guest.state, &guest.s, 36 * MIB));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_evidence),       cmocka_unit_test(test_back_off),
                cmocka_unit_test(test_between_steps),  cmocka_unit_test(test_meanwhile),
                cmocka_unit_test(test_short_deadline), cmocka_unit_test(test_learning),
                cmocka_unit_test(test_enough),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
