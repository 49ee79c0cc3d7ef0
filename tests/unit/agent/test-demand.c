/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The estimator on virtual guests: what the recordings cannot show, because they were taken without memtide. Own resizes,
 * the life of an ask, missing signals, and inputs that no kernel would give.
 */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "common/macro.h"
#include "virtual-guest.h"

static void test_floor(void **unused) {
        static const uint64_t table[][2] = {
                {16, 16}, {128, 72}, {512, 168}, {2048, 360}, {8192, 744}, {32768, 1512}, {1280, 264},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                assert_int_equal(demand_floor_bytes(table[i][0] * MIB), table[i][1] * MIB);
        assert_true(demand_floor_bytes(UINT64_MAX) < UINT64_MAX);
}

static void test_plug_budget(void **unused) {
        static const struct {
                uint64_t available, kernel_free, kernel_file, kernel_managed, movable, page, expected;
        } table[] = {
                /* MiB, page in KiB */
                {116, 0, 0, 0, 0, 4, 6400},
                {116, 90, 0, 100, 0, 4, 6400}, /* no Movable: K mirrors A */
                {1000, 32, 0, 137, 1024, 4, 1024},
                {1000, 20, 20, 137, 1024, 4, 1024}, /* of 20 MiB of cache the zone keeps 8 */
                {1000, 20, 6, 137, 1024, 4, 448} /* or half */,
                {1000, 4, 0, 137, 1024, 4, 128}, /* never less than one block */
                {0, 0, 0, 0, 0, 4, 128},
                {20, 0, 0, 0, 0, 64, 4096}, /* 64 KiB pages need a sixteenth of the memmap */
                {1000, 32, 0, 137, 1024, 0, 1024},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                Snapshot s = {
                        .available_bytes = table[i].available * MIB,
                        .kernel_free_bytes = table[i].kernel_free * MIB,
                        .kernel_file_bytes = table[i].kernel_file * MIB,
                        .kernel_low_bytes = 8 * MIB,
                        .kernel_managed_bytes = table[i].kernel_managed * MIB,
                        .movable_managed_bytes = table[i].movable * MIB,
                        .page_size_bytes = table[i].page * KIB,
                };
                uint64_t budget = table[i].expected * MIB;

                assert_int_equal(demand_plug_budget_bytes(&s), budget);
                assert_int_equal(demand_check_growth(&s, budget, false), REFUSAL_NONE);
                assert_int_equal(demand_check_growth(&s, budget + 1, false), REFUSAL_MARGIN);
                assert_int_equal(demand_check_growth(&s, budget + 1, true), REFUSAL_NONE);
        }
}

/* A 512 MiB guest (404 of it usable) that grows at 100 MiB/s: asks in time, asks enough, and asks until it is served. */
static void test_ramp(void **unused) {
        uint64_t used = 60 * MIB, total = 404 * MIB;
        Guest guest;
        int64_t least = INT64_MAX;

        guest_init(&guest, total, used);
        while (guest.demand.urgency == URGENCY_NONE) {
                used += 5 * MIB;
                assert_true(used < total);
                guest_set(&guest, total, used);
                guest_step(&guest, MSEC(50));
        }
        assert_int_equal(guest.demand.urgency, URGENCY_CRITICAL);
        assert_int_equal(guest.demand.cause, CAUSE_PREDICT);
        assert_true(guest.demand.rose);
        /* A second of the ramp is left when it asks, and it asks for two more than the actuator takes. */
        assert_true(guest.s.available_bytes > 90 * MIB);
        assert_true(guest.demand.need_bytes >
                    (int64_t) (200 * MIB + guest.demand.reserve_bytes - guest.s.available_bytes));
        assert_in_range(guest.demand.time_to_exhaustion_usec, 1, MSEC(500));

        /* The ramp rests before the memory comes: the ask stands. */
        for (unsigned i = 0; i < 10; i++) {
                guest_step(&guest, MSEC(50));
                least = guest.demand.need_bytes < least ? guest.demand.need_bytes : least;
        }
        assert_true(least > 150 * (int64_t) MIB);

        /* It comes in blocks; with the last of them need is gone, in that very sample. */
        while (guest.demand.need_bytes > 0) {
                int64_t before = guest.demand.need_bytes;

                total += 128 * MIB;
                guest_set(&guest, total, used + (total - 404 * MIB) / 64);
                guest_step(&guest, MSEC(20));
                assert_true(guest.demand.need_bytes <= before - 120 * (int64_t) MIB);
        }
        assert_in_range(total, 500 * MIB, 1000 * MIB);

        /* Urgency falls by a level every 2 s, and then demand is the plain one. */
        for (unsigned i = 0; i < 65; i++)
                guest_step(&guest, MSEC(100));
        assert_int_equal(guest.demand.urgency, URGENCY_NONE);
        assert_int_equal(guest.demand.cause, CAUSE_NONE);
        assert_int_equal(guest.demand.demand_bytes, guest.demand.used_bytes + guest.demand.reserve_bytes);
}

/* Served after a delay, a ramp asks again and again, and tells so each time although urgency stays up. */
static void test_ramp_served(void **unused) {
        uint64_t used = 60 * MIB, total = 404 * MIB, due_usec = 0;
        Guest guest;

        guest_init(&guest, total, used);
        while (used < 3000 * MIB) {
                used += guest.demand.next_sample_usec * 100 * MIB / USEC_PER_SEC;
                if (due_usec > 0 && guest.s.now_usec >= due_usec) {
                        total = u64_align_up(u64_shift(total, guest.demand.need_bytes), 128 * MIB);
                        due_usec = 0;
                }
                assert_true(used < total);
                guest_set(&guest, total, used);
                guest_step(&guest, guest.demand.next_sample_usec);
                if (guest.demand.rose && guest.demand.need_bytes > 0 && due_usec == 0)
                        due_usec = guest.s.now_usec + MSEC(150);
        }
        assert_in_range(guest.n_rose, 4, 60);
        assert_true(total < 5000 * MIB);
}

/* Served by halves, urgency stays up: what is asked anew is told anew. */
static void test_ramp_half_served(void **unused) {
        uint64_t total = 1024, used = 200;
        Guest guest;

        guest_init(&guest, total * MIB, used * MIB);
        while (guest.n_rose == 0) {
                used += 20;
                guest_set(&guest, total * MIB, used * MIB);
                guest_step(&guest, MSEC(50));
        }
        total += (uint64_t) guest.demand.need_bytes / MIB / 2;
        for (unsigned i = 0; i < 30 && guest.n_rose < 2; i++) {
                used += 20;
                guest_set(&guest, total * MIB, used * MIB);
                guest_step(&guest, MSEC(50));
                assert_int_equal(guest.demand.urgency, URGENCY_CRITICAL);
        }
        assert_int_equal(guest.n_rose, 2);
}

/* The load goes away with its ask: what U loses, need loses. */
static void test_ask_follows_used(void **unused) {
        Guest guest;

        guest_init(&guest, 1024 * MIB, 200 * MIB);
        for (uint64_t used = 200; used < 1000; used += 15) {
                guest_set(&guest, 1024 * MIB, used * MIB);
                guest_step(&guest, MSEC(50));
        }
        assert_int_equal(guest.demand.urgency, URGENCY_CRITICAL);
        assert_true(guest.demand.need_bytes > 0);
        guest_set(&guest, 1024 * MIB, 100 * MIB);
        guest_step(&guest, MSEC(50));
        assert_true(guest.demand.need_bytes < 0);
}

/* One sample for a condition that needs no history. */
typedef struct Event {
        const char *name;
        uint64_t used; /* of 1024 MiB */
        bool triggered;
        unsigned pgscan, pswpout, activate, allocstall, oom_kill;
        uint64_t kernel_free; /* MiB, beside a Movable zone; 0: there is none */
        Urgency urgency;
        Cause cause;
} Event;

static void test_events(void **unused) {
        static const Event table[] = {
                {"PSI alone", 300, true, .urgency = URGENCY_NONE},
                {"PSI for kswapd's running time", 300, true, .pgscan = 9000, .urgency = URGENCY_NONE},
                {"PSI and swap-out of a container", 300, true, .pswpout = 900, .urgency = URGENCY_NONE},
                {"PSI and swap-out by scanning", 300, true, .pgscan = 9000, .pswpout = 9,
                 .urgency = URGENCY_HIGH, .cause = CAUSE_STALL},
                {"PSI and hot refaults by scanning", 300, true, .pgscan = 9000, .activate = 900,
                 .urgency = URGENCY_HIGH, .cause = CAUSE_STALL},
                {"PSI and hot refaults of a container", 300, true, .activate = 900, .urgency = URGENCY_NONE},
                {"PSI and few kernel pages", 300, true, .kernel_free = 60, .urgency = URGENCY_HIGH,
                 .cause = CAUSE_STALL},
                {"PSI and enough kernel pages", 300, true, .kernel_free = 90, .urgency = URGENCY_NONE},
                {"few kernel pages without PSI", 300, .kernel_free = 60, .urgency = URGENCY_NONE},
                {"too few kernel pages", 300, .kernel_free = 30, .urgency = URGENCY_HIGH,
                 .cause = CAUSE_KERNEL_ZONE},
                {"PSI while short", 850, true, .urgency = URGENCY_HIGH, .cause = CAUSE_STALL},
                {"swap-out of cold memory", 300, .pgscan = 9000, .pswpout = 900, .urgency = URGENCY_NONE},
                {"swap-out while short", 850, .pgscan = 9000, .pswpout = 900, .urgency = URGENCY_HIGH,
                 .cause = CAUSE_SWAP},
                {"direct stall alone", 300, .allocstall = 50, .urgency = URGENCY_NONE},
                {"OOM of a container", 300, .oom_kill = 1, .urgency = URGENCY_NONE},
                {"OOM of a container beside a stream", 300, .oom_kill = 1, .allocstall = 9, .pgscan = 9000,
                 .urgency = URGENCY_NONE},
                {"OOM while short beside a stream", 850, .oom_kill = 1, .allocstall = 9, .pgscan = 9000,
                 .urgency = URGENCY_CRITICAL, .cause = CAUSE_OOM},
                {"OOM with few kernel pages", 300, .oom_kill = 1, .allocstall = 9, .pgscan = 9000,
                 .kernel_free = 60, .urgency = URGENCY_CRITICAL, .cause = CAUSE_OOM},
                {"OOM with stalls", 300, .oom_kill = 1, .allocstall = 3, .urgency = URGENCY_CRITICAL,
                 .cause = CAUSE_OOM},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                const Event *e = &table[i];
                Guest guest;

                guest_init(&guest, 1024 * MIB, 850 * MIB);
                guest_set(&guest, 1024 * MIB, e->used * MIB);
                guest_step(&guest, MSEC(50));
                guest.s.psi_triggered = e->triggered;
                guest.s.pgscan_kswapd += e->pgscan;
                guest.s.pswpout += e->pswpout;
                guest.s.workingset_refault += e->activate;
                guest.s.workingset_activate += e->activate;
                guest.s.allocstall += e->allocstall;
                if (e->kernel_free > 0) {
                        guest.s.kernel_free_bytes = e->kernel_free * MIB;
                        guest.s.kernel_managed_bytes = 200 * MIB;
                        guest.s.movable_managed_bytes = 800 * MIB;
                }
                guest.s.oom_kill += e->oom_kill;
                guest_step(&guest, MSEC(50));
                if (guest.demand.urgency != e->urgency || guest.demand.cause != e->cause)
                        fail_msg("%s: urgency %s, cause %s", e->name, urgency_to_string(guest.demand.urgency),
                                 cause_to_string(guest.demand.cause));
                assert_int_equal(guest.demand.contained_oom_kills, e->cause == CAUSE_OOM ? 0 : e->oom_kill);
        }
}

/* The OOM killer frees memory before anyone looks: what was there in the sample before counts. */
static void test_oom_frees(void **unused) {
        Guest guest;

        guest_init(&guest, 1024 * MIB, 850 * MIB);
        guest_set(&guest, 1024 * MIB, 1000 * MIB);
        guest.s.has = SNAPSHOT_HAS_MEMINFO | SNAPSHOT_HAS_PSI;
        guest_step(&guest, MSEC(1000));
        guest.s.has = ALL;
        guest_set(&guest, 1024 * MIB, 100 * MIB);
        guest.s.oom_kill++;
        guest_step(&guest, MSEC(50));
        assert_int_equal(guest.demand.urgency, URGENCY_CRITICAL);
        assert_int_equal(guest.demand.cause, CAUSE_OOM);
        assert_int_equal(guest.demand.demand_bytes, 1024 * MIB * 12 / 10);
}

/* The trigger woke us, vmstat came one sample later: still one event. */
static void test_trigger_waits_for_vmstat(void **unused) {
        Guest guest;

        guest_init(&guest, 1024 * MIB, 300 * MIB);
        guest.s.has = SNAPSHOT_HAS_MEMINFO | SNAPSHOT_HAS_PSI;
        guest.s.psi_triggered = true;
        guest_step(&guest, MSEC(50));
        assert_int_equal(guest.demand.urgency, URGENCY_NONE);
        assert_int_equal(guest.demand.tier, SAMPLE_HOT);
        guest.s.has = ALL;
        guest.s.pgscan_kswapd += 9000;
        guest.s.pswpout += 9;
        guest_step(&guest, MSEC(50));
        assert_int_equal(guest.demand.cause, CAUSE_STALL);
        /* And it is over: an hour later the same counters, moved again without a trigger, mean nothing. */
        for (unsigned i = 0; i < 100; i++)
                guest_step(&guest, MSEC(100));
        assert_int_equal(guest.demand.urgency, URGENCY_NONE);
}

/* Counters that were not read for an hour are no rate of now. */
static void test_counter_gap(void **unused) {
        Guest guest;

        guest_init(&guest, 1024 * MIB, 850 * MIB);
        guest.s.has = SNAPSHOT_HAS_MEMINFO | SNAPSHOT_HAS_PSI;
        for (unsigned i = 0; i < 3600; i++)
                guest_step(&guest, USEC_PER_SEC);
        guest.s.has = ALL;
        guest.s.pgscan_kswapd += 1000000;
        guest.s.pswpout += 1000000;
        guest.s.workingset_activate += 1000000;
        guest.s.workingset_refault += 1000000;
        guest_step(&guest, MSEC(50));
        assert_int_equal(guest.demand.fired, 1U << CAUSE_DEMAND); /* A < R */
}

/* A leak of 1 MiB/s has no slope worth a prediction; the level sees it. */
static void test_leak(void **unused) {
        Guest guest;

        guest_init(&guest, 1024 * MIB, 600 * MIB);
        for (uint64_t used = 600; guest.demand.urgency < URGENCY_HIGH; used++) {
                assert_true(used < 1024);
                guest_set(&guest, 1024 * MIB, used * MIB);
                guest_step(&guest, USEC_PER_SEC);
        }
        assert_int_equal(guest.demand.cause, CAUSE_LEVEL);
        assert_true(guest.s.available_bytes > 100 * MIB);
}

static void test_tiers(void **unused) {
        static const struct {
                uint64_t total, used, usec_least, usec_most;
                SampleTier tier;
        } table[] = {
                /* MiB */
                {8192, 1000, MSEC(1000), MSEC(1000), SAMPLE_CALM},
                {404, 60, MSEC(100), MSEC(200), SAMPLE_CALM}, /* small, so looked after oftener */
                {8192, 6800, MSEC(200), MSEC(200), SAMPLE_WATCH},
                {8192, 7300, MSEC(50), MSEC(50), SAMPLE_HOT},
                {404, 330, MSEC(20), MSEC(20), SAMPLE_HOT},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                Guest guest = {
                        .s = {.now_usec = USEC_PER_SEC, .has = ALL, .page_size_bytes = 4096},
                };

                guest_set(&guest, table[i].total * MIB, table[i].used * MIB);
                guest_step(&guest, MSEC(1000));
                assert_int_equal(guest.demand.tier, table[i].tier);
                assert_in_range(guest.demand.next_sample_usec, table[i].usec_least, table[i].usec_most);
        }
}

/* A full cache is looked into (vmstat), yet no oftener. */
static void test_tier_full_cache(void **unused) {
        Guest guest;

        guest_init(&guest, 8192 * MIB, 1000 * MIB);
        guest.s.free_bytes = 100 * MIB;
        guest_step(&guest, MSEC(1000));
        assert_int_equal(guest.demand.tier, SAMPLE_WATCH);
        assert_int_equal(guest.demand.next_sample_usec, MSEC(1000));
}

static void test_time_goes_back(void **unused) {
        Guest guest;

        guest_init(&guest, 1024 * MIB, 300 * MIB);
        DemandState before = guest.state;
        Snapshot late = guest.s;

        guest_set(&guest, 1024 * MIB, 1020 * MIB);
        late = guest.s;
        for (unsigned i = 0; i < 3; i++) {
                late.now_usec -= i * 1000;
                Demand again = demand_step(&guest_config, &guest.state, &late);

                assert_false(again.rose);
                assert_int_equal(again.fired, 0);
                assert_int_equal(again.used_bytes, 300 * MIB);
        }
        assert_memory_equal(&before, &guest.state, sizeof(before));
}

/* Every subset of the signals: no demand out of thin air, and what is there still works. */
static void test_missing_signals(void **unused) {
        for (unsigned has = 0; has <= ALL; has++) {
                Guest guest = {
                        .s = {.now_usec = USEC_PER_SEC, .has = has, .page_size_bytes = 4096},
                };

                guest_set(&guest, 1024 * MIB, 300 * MIB);
                for (unsigned i = 0; i < 50; i++)
                        guest_step(&guest, MSEC(50));
                assert_int_equal(guest.n_fired, 0);
                assert_int_equal(guest.demand.used_bytes, has & SNAPSHOT_HAS_MEMINFO ? 300 * MIB : 0);

                guest.s.oom_kill++;
                guest.s.allocstall++;
                guest_step(&guest, MSEC(50));
                assert_int_equal(guest.demand.urgency,
                                 has & SNAPSHOT_HAS_VMSTAT ? URGENCY_CRITICAL : URGENCY_NONE);
                for (unsigned i = 0; i < 200; i++)
                        guest_step(&guest, MSEC(50));
                assert_int_equal(guest.demand.urgency, URGENCY_NONE);

                /* 20 MiB left */
                guest_set(&guest, 1024 * MIB, 1004 * MIB);
                guest_step(&guest, MSEC(50));
                guest_step(&guest, MSEC(50));
                assert_int_equal(guest.demand.urgency > URGENCY_NONE, (has & SNAPSHOT_HAS_MEMINFO) != 0);
        }
}

/* Kernel memory given as Movable does not raise K, and is not asked for for ever. */
static void test_kernel_zone_futile(void **unused) {
        uint64_t total = 1176 * MIB;
        unsigned n_given = 0;
        Guest guest;

        guest_init(&guest, total, 100 * MIB);
        guest.s.kernel_managed_bytes = 137 * MIB;
        guest.s.movable_managed_bytes = 1024 * MIB;
        guest.s.kernel_free_bytes = 20 * MIB;
        for (unsigned i = 0; i < 300; i++) {
                guest_step(&guest, MSEC(100));
                if (guest.demand.urgency == URGENCY_NONE || guest.demand.need_bytes <= 0)
                        continue;
                assert_true(guest.demand.kernel_zone);
                total += (uint64_t) guest.demand.need_bytes;
                guest_set(&guest, total, 100 * MIB);
                n_given++;
        }
        assert_int_equal(n_given, 1);
}

/* K falls from 230 MiB at 60 MiB/s: somebody uses it up, or the host takes it, and the zones with it. */
static void test_kernel_zone_taken_by_the_host(void **unused) {
        for (unsigned taken = 0; taken < 2; taken++) {
                uint64_t total = 512 * MIB;
                Urgency most = URGENCY_NONE;
                Guest guest;

                guest_init(&guest, total, 50 * MIB);
                guest.s.kernel_managed_bytes = 256 * MIB;
                guest.s.movable_managed_bytes = 256 * MIB;
                guest.s.kernel_free_bytes = 230 * MIB;
                for (unsigned i = 0; i < 40; i++) {
                        guest.s.kernel_free_bytes -= i >= 10 ? 6 * MIB : 0;
                        if (taken && i >= 10) {
                                guest.s.kernel_managed_bytes -= 6 * MIB;
                                total -= 6 * MIB;
                                guest_set(&guest, total, 50 * MIB);
                        }
                        guest_step(&guest, MSEC(100));
                        most = guest.demand.urgency > most ? guest.demand.urgency : most;
                }
                assert_int_equal(most, taken ? URGENCY_NONE : URGENCY_CRITICAL);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_floor),
                cmocka_unit_test(test_plug_budget),
                cmocka_unit_test(test_ramp),
                cmocka_unit_test(test_ramp_half_served),
                cmocka_unit_test(test_ramp_served),
                cmocka_unit_test(test_ask_follows_used),
                cmocka_unit_test(test_events),
                cmocka_unit_test(test_oom_frees),
                cmocka_unit_test(test_trigger_waits_for_vmstat),
                cmocka_unit_test(test_counter_gap),
                cmocka_unit_test(test_leak),
                cmocka_unit_test(test_tiers),
                cmocka_unit_test(test_tier_full_cache),
                cmocka_unit_test(test_time_goes_back),
                cmocka_unit_test(test_missing_signals),
                cmocka_unit_test(test_kernel_zone_futile),
                cmocka_unit_test(test_kernel_zone_taken_by_the_host),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
