/* SPDX-License-Identifier: Apache-2.0 */

/* Growth as a script of samples: what is confirmed, when, and when the watch ends. */

#include "agent/grow-watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/macro.h"
#include "common/units.h"

#define START_USEC (100 * USEC_PER_SEC)

typedef struct Sample {
        uint64_t after_msec;
        int64_t total_mib; /* beside the start's; negative: no meminfo in this sample */
        bool confirm, first, open;
        int64_t delta_mib;
} Sample;

static const struct {
        const char *name;
        uint64_t bytes;
        Sample samples[6];
        size_t n_samples;
} scripts[] = {
        {"whole at once", 256 * MIB, {{50, 0, false, false, true, 0}, {100, 256, true, true, false, 256}}, 2},
        {"in two parts",
         256 * MIB,
         {{50, 128, true, true, true, 128}, {90, 256, true, false, false, 256}},
         2},
        {"said once", 256 * MIB, {{50, 128, true, true, true, 128}, {90, 128, false, false, true, 0}}, 2},
        {"more than promised", 64 * MIB, {{50, 128, true, true, false, 128}}, 1},
        {"never", 64 * MIB, {{999, 0, false, false, true, 0}, {1000, 0, true, false, false, 0}}, 2},
        {"part by the deadline",
         64 * MIB,
         {{50, 32, true, true, true, 32}, {1001, 32, true, false, false, 32}},
         2},
        {"away and back",
         64 * MIB,
         {{50, 32, true, true, true, 32}, {60, 0, true, false, true, 0}, {70, 64, true, false, false, 64}},
         3},
        {"blind at the deadline",
         64 * MIB,
         {{1000, -1, false, false, true, 0}, {1050, 0, true, false, false, 0}},
         2},
        {"closed is closed",
         64 * MIB,
         {{50, 64, true, true, false, 64}, {60, 128, false, false, false, 0}},
         2},
};

static Snapshot sample_at(uint64_t after_msec, int64_t total_mib) {
        return (Snapshot){
                .now_usec = START_USEC + after_msec * USEC_PER_MSEC,
                .has = total_mib < 0 ? 0 : SNAPSHOT_HAS_MEMINFO,
                .total_bytes = 512 * MIB + (total_mib < 0 ? 0 : (uint64_t) total_mib * MIB),
                .psi_some_usec = 1000 + after_msec,
        };
}

static void test_scripts(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(scripts); i++) {
                MessageGrowNotice notice = {
                        .id = 5,
                        .bytes = scripts[i].bytes,
                        .deadline_usec = START_USEC + USEC_PER_SEC,
                };
                Snapshot before = sample_at(0, 0);
                GrowWatch watch = {};

                grow_watch_open(&watch, &notice, &before, START_USEC, 0);
                for (size_t j = 0; j < scripts[i].n_samples; j++) {
                        const Sample *want = &scripts[i].samples[j];
                        Snapshot now = sample_at(want->after_msec, want->total_mib);
                        GrowStep step = grow_watch_step(&watch, &now);

                        if (step.confirm != want->confirm || step.first != want->first ||
                            watch.open != want->open || step.delta_bytes != want->delta_mib * (int64_t) MIB)
                                fail_msg("%s: sample %zu", scripts[i].name, j);
                        if (step.confirm) {
                                assert_int_equal(step.latency_usec, want->after_msec * USEC_PER_MSEC);
                                assert_int_equal(step.stall_usec, want->after_msec);
                        }
                }
        }
}

/* 60 of 128 MiB have come when the host sends another wave: the other 68 come among its own, and after. */
static void test_what_the_wave_before_lacked(void **state) {
        MessageGrowNotice notice = {.id = 5, .bytes = 128 * MIB, .deadline_usec = UINT64_MAX};
        Snapshot sample = sample_at(0, 0);
        GrowWatch watch = {};
        GrowStep step;

        grow_watch_open(&watch, &notice, &sample, START_USEC, 0);
        sample = sample_at(50, 60);
        assert_false(grow_watch_step(&watch, &sample).whole);
        notice = (MessageGrowNotice){.id = 6, .bytes = 64 * MIB, .deadline_usec = UINT64_MAX};
        grow_watch_open(&watch, &notice, &sample, sample.now_usec, 0);

        sample = sample_at(100, 60 + 64);
        step = grow_watch_step(&watch, &sample);
        assert_int_equal(step.delta_bytes, 64 * MIB);
        assert_true(step.whole && watch.open);
        sample = sample_at(4000, 60 + 64 + 68);
        step = grow_watch_step(&watch, &sample);
        assert_int_equal(step.delta_bytes, (64 + 68) * MIB);
        assert_false(watch.open);

        grow_watch_open(&watch, &notice, &sample, sample.now_usec, 0); /* which lacked nothing */
        sample = sample_at(4050, 192 + 64);
        (void) grow_watch_step(&watch, &sample);
        assert_false(watch.open);
}

/* It was there before the first wave began: nobody waits for it for a minute. */
static void test_what_is_lacked_is_not_awaited_for_long(void **state) {
        MessageGrowNotice notice = {.id = 5, .bytes = 128 * MIB, .deadline_usec = UINT64_MAX};
        Snapshot sample = sample_at(0, 0);
        GrowWatch watch = {};

        grow_watch_open(&watch, &notice, &sample, START_USEC, 0);
        sample = sample_at(50, 60);
        (void) grow_watch_step(&watch, &sample);
        grow_watch_open(&watch, &notice, &sample, sample.now_usec, 0);
        sample = sample_at(100, 60 + 128);
        assert_true(grow_watch_step(&watch, &sample).whole);
        sample = sample_at(5099, 60 + 128);
        assert_false(grow_watch_step(&watch, &sample).confirm);
        sample = sample_at(5100, 60 + 128);
        assert_true(grow_watch_step(&watch, &sample).confirm);
        assert_false(watch.open);
}

static void test_a_balloon_counts_by_what_is_usable(void **state) {
        MessageGrowNotice notice = {.id = 5, .bytes = 64 * MIB, .deadline_usec = UINT64_MAX, .balloon = true};
        Snapshot before = sample_at(0, 0), now = sample_at(50, 0);
        GrowWatch watch = {};
        GrowStep step;

        before.balloon_in_total = now.balloon_in_total = true;
        before.balloon_bytes = 256 * MIB;
        now.balloon_bytes = 192 * MIB;
        grow_watch_open(&watch, &notice, &before, START_USEC, 0);
        assert_true(watch.deadline_usec <
                    START_USEC + 3600 * USEC_PER_SEC); /* no host is waited for that long */
        step = grow_watch_step(&watch, &now);
        assert_int_equal(step.delta_bytes, 64 * MIB);
        assert_false(watch.open);
}

/* The estimator plans with the whole of it: the host's part counts, but not that it had nothing to give. */
static void test_delay(void **state) {
        static const struct {
                uint64_t asked_before_msec; /* 0: nobody asked */
                uint64_t delay_msec;
        } table[] = {{0, 50}, {80, 130}, {2000, 2050}, {2001, 50}};

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                MessageGrowNotice notice = {.id = 5, .bytes = 64 * MIB, .deadline_usec = UINT64_MAX};
                uint64_t before_usec = table[i].asked_before_msec * USEC_PER_MSEC;
                Snapshot before = sample_at(0, 0), now = sample_at(50, 64);
                GrowWatch watch = {};
                GrowStep step;

                grow_watch_open(&watch, &notice, &before, START_USEC,
                                before_usec > 0 ? START_USEC - before_usec : 0);
                step = grow_watch_step(&watch, &now);
                assert_true(step.first);
                assert_int_equal(step.latency_usec, 50 * USEC_PER_MSEC);
                assert_int_equal(step.delay_usec, table[i].delay_msec * USEC_PER_MSEC);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_scripts),
                cmocka_unit_test(test_what_the_wave_before_lacked),
                cmocka_unit_test(test_what_is_lacked_is_not_awaited_for_long),
                cmocka_unit_test(test_delay),
                cmocka_unit_test(test_a_balloon_counts_by_what_is_usable),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
