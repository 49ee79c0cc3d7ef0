/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Preloaded into earlyoom: its own sleep, which adapts to free memory, becomes ours, so that it takes as many
 * samples as the agent at the same pace; after the last it says what they cost and ends. It sleeps once per sample.
 *
 * BENCH="SAMPLES WARM PAUSE_USEC"; one line of JSON goes to stderr.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "allocations.h"
#include "measure.h"

static struct {
        uint64_t samples, warm, pause_usec, done;
        Measure begin;
        unsigned long allocations;
} pace;

static void finish(void) {
        unsigned long allocations = allocations_count() - pace.allocations;
        Measure end = measure_take();

        fprintf(stderr,
                "{\"samples\": %" PRIu64 ", \"cpu_nsec\": %" PRIu64
                ", \"allocations\": %lu, \"major_faults\": %" PRIu64 ", \"rss_end_kib\": %" PRIu64
                ", \"anon_end_kib\": %" PRIu64 "}\n",
                pace.samples, end.cpu_nsec - pace.begin.cpu_nsec, allocations,
                end.major_faults - pace.begin.major_faults, end.rss_kib, end.anon_kib);
        _exit(0);
}

int nanosleep(const struct timespec *wanted, struct timespec *ret_left) {
        struct timespec pause;

        if (pace.done == pace.warm) {
                pace.begin = measure_take();
                pace.allocations = allocations_count();
        } else if (pace.done == pace.warm + pace.samples)
                finish();
        pace.done++;

        pause = (struct timespec){.tv_nsec = (long) pace.pause_usec * 1000};
        return pace.pause_usec > 0 ? clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, ret_left) : 0;
}

__attribute__((constructor)) static void begin(void) {
        const char *text = getenv("BENCH");

        if (!text || sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64, &pace.samples, &pace.warm,
                            &pace.pause_usec) != 3)
                _exit(2);
}
