/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The estimator against fourteen real guests whose fate is known. Each recording is replayed twice: at the recorded 50 ms
 * with every counter in every row, and as the agent would have looked, at the intervals and with the files that the
 * estimator itself asks for. Every row of tests/fixtures/recordings/README.md is a row here.
 *
 * The replay prints when each condition first held. "asks" is an urgency of high or critical by the time given; a cause that
 * is neither expected nor tolerated must never hold.
 */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "agent/policy/demand.h"
#include "common/macro.h"
#include "recording.h"

#define BIT(cause) (1U << (cause))
#define MSEC(ms)   ((uint64_t) (ms) *USEC_PER_MSEC)

static const char *arg_folder;

typedef struct Expect {
        Cause cause;
        unsigned from_ms, by_ms; /* the first time that it holds; 0: never */
} Expect;

typedef struct Row {
        const char *name;
        Expect must[2];
        unsigned tolerated;             /* causes that may hold as well */
        unsigned silent_ms;             /* from then on no cause may hold; 0: no such time */
        bool quiet;                     /* urgency never becomes high */
        uint64_t size_least, size_most; /* the largest U + S' seen lies between these, MiB; 0: not checked */
        unsigned floor_until_ms;
        uint64_t floor_least; /* from silent_ms to floor_until_ms no shrink is accepted below this, MiB */
        const char *limit;    /* why the row is not what the README wants */
} Row;

static const Row rows[] = {
        {
                .name = "01-anon-ramp-200-noswap",
                .must = {{CAUSE_PREDICT, 5500, 6700}},
                .tolerated = BIT(CAUSE_LEVEL) | BIT(CAUSE_STALL) | BIT(CAUSE_OOM) | BIT(CAUSE_DEMAND),
        },
        {
                .name = "02-anon-ramp-200-fullcache",
                .must = {{CAUSE_PREDICT, 11000, 12600}},
                .tolerated = BIT(CAUSE_LEVEL) | BIT(CAUSE_STALL) | BIT(CAUSE_OOM) | BIT(CAUSE_DEMAND),
        },
        {
                .name = "03-leak-2mib",
                .must = {{CAUSE_LEVEL, 5000, 30000}},
                .tolerated = BIT(CAUSE_PREDICT) | BIT(CAUSE_STALL) | BIT(CAUSE_OOM) | BIT(CAUSE_DEMAND),
        },
        {
                .name = "04-sawtooth-fits", .silent_ms = 1, /* README tolerates one in the first cycle */
        },
        {
                .name = "05-fork-storm-over",
                .must = {{CAUSE_PREDICT, 10760, 12500}},
                .tolerated = BIT(CAUSE_LEVEL) | BIT(CAUSE_STALL) | BIT(CAUSE_OOM) | BIT(CAUSE_DEMAND),
        },
        {
                .name = "06-zipf-1.2x-grants",
                .must = {{CAUSE_THRASH, 7000, 10000}},
                .tolerated = BIT(CAUSE_DEMAND),
                .silent_ms = 24010,
        },
        {
                .name = "07-rescan-2x-grants",
                .must = {{CAUSE_THRASH, 12000, 24200}},
                .quiet = true,
        },
        {.name = "08-stream-10x", .silent_ms = 1},
        {.name = "09-hotset-plus-stream", .tolerated = BIT(CAUSE_STALL)},
        {
                .name = "10-container-thrash-plus-stream",
                .silent_ms = 1,
        },
        {.name = "11-container-swap", .silent_ms = 1},
        {
                .name = "12-swap-scar-disk",
                .must = {{CAUSE_PREDICT, 5800, 6800}, {CAUSE_SWAP, 6900, 7300}},
                .tolerated = BIT(CAUSE_LEVEL) | BIT(CAUSE_STALL) | BIT(CAUSE_DEMAND),
                .silent_ms = 10850,
                .floor_until_ms = 24000, /* the load ends */
                .floor_least = 465,
        },
        {
                .name = "13-zram-burst",
                .must = {{CAUSE_PREDICT, 3180, 7200}, {CAUSE_SWAP, 7400, 7800}},
                .size_least = 900,
                .size_most = 1000,
                .tolerated = BIT(CAUSE_THRASH) | BIT(CAUSE_LEVEL) | BIT(CAUSE_STALL) | BIT(CAUSE_DEMAND),
        },
        {
                .name = "14-kernel-zone-pagetables",
                .must = {{CAUSE_KERNEL_ZONE, 3620, 9200}},
                .tolerated = BIT(CAUSE_OOM) | BIT(CAUSE_STALL),
        },
};

typedef struct Replay {
        uint64_t first_usec[CAUSE_MAX]; /* 0: never */
        uint64_t last_usec[CAUSE_MAX];
        unsigned n_asks, n_samples;
        int64_t need_most;
        uint64_t size_most, floor_least;
} Replay;

/* What the agent would have read in the sample that is due. */
static unsigned files_of(const Demand *demand, bool triggered, uint64_t now_usec, uint64_t *zones_usec) {
        unsigned has = SNAPSHOT_HAS_MEMINFO | SNAPSHOT_HAS_PSI;

        if (demand->walk_cgroups)
                has |= SNAPSHOT_HAS_VMSTAT | SNAPSHOT_HAS_CGROUPS;
        if (demand->tier >= SAMPLE_WATCH || triggered)
                has |= SNAPSHOT_HAS_VMSTAT;
        if (now_usec - *zones_usec >= MSEC(1000)) {
                has |= SNAPSHOT_HAS_ZONES;
                *zones_usec = now_usec;
        }
        return has;
}

static void replay(const Row *row, bool decimated, Replay *ret) {
        uint64_t silent_usec = MSEC(row->silent_ms);
        const DemandConfig config = {.actuator_delay_usec = MSEC(150)};
        DemandState state = {};
        Demand demand = {};
        Recording recording;
        Snapshot sample;
        uint64_t due_usec = 0, zones_usec = 0;
        Urgency before = URGENCY_NONE;

        *ret = (Replay){.floor_least = UINT64_MAX};
        recording_open(&recording, arg_folder, row->name);
        while (recording_next(&recording, &sample)) {
                if (decimated) {
                        /* A row comes every 50 ms, give or take: one that is due within half of that is the one. */
                        if (sample.now_usec + MSEC(25) < due_usec && !sample.psi_triggered)
                                continue;
                        sample.has = files_of(&demand, sample.psi_triggered, sample.now_usec, &zones_usec);
                }
                demand = demand_step(&config, &state, &sample);
                due_usec = sample.now_usec + demand.next_sample_usec;
                ret->n_samples++;
                for (unsigned cause = 0; cause < CAUSE_MAX; cause++)
                        if (demand.fired & BIT(cause)) {
                                ret->last_usec[cause] = sample.now_usec;
                                if (ret->first_usec[cause] == 0)
                                        ret->first_usec[cause] = sample.now_usec;
                        }
                if (demand.urgency >= URGENCY_HIGH && before < URGENCY_HIGH)
                        ret->n_asks++;
                before = demand.urgency;
                if (demand.need_bytes > ret->need_most)
                        ret->need_most = demand.need_bytes;
                ret->size_most = u64_max(ret->size_most, demand.used_bytes + demand.swapped_bytes);
                if (sample.now_usec > silent_usec && sample.now_usec < MSEC(row->floor_until_ms))
                        ret->floor_least = u64_min(ret->floor_least, demand.floor_bytes);
        }
        recording_close(&recording);
}

static void print_row(const char *name, bool decimated, const Replay *r) {
        char line[512];
        int n = snprintf(line, sizeof(line), "%-32s %s %4u samples:", name, decimated ? "tiers" : "50 ms",
                         r->n_samples);

        for (unsigned cause = 0; cause < CAUSE_MAX; cause++)
                if (r->first_usec[cause] > 0)
                        n += snprintf(line + n, sizeof(line) - (size_t) n, " %s %.2f-%.2f",
                                      cause_to_string(cause), (double) r->first_usec[cause] / 1e6,
                                      (double) r->last_usec[cause] / 1e6);
        printf("%s; %u asks, need %lld MiB\n", line, r->n_asks, (long long) (r->need_most / (int64_t) MIB));
}

static unsigned expected_causes(const Row *row) {
        unsigned causes = row->tolerated;

        for (size_t i = 0; i < ELEMENTSOF(row->must); i++)
                causes |= row->must[i].by_ms > 0 ? BIT(row->must[i].cause) : 0;
        return causes;
}

/* Counts what is wrong, so that one run shows all of it. */
static unsigned judge(const Row *row, const Replay *r) {
        unsigned n_wrong = 0, causes = expected_causes(row);

        for (size_t i = 0; i < ELEMENTSOF(row->must); i++) {
                const Expect *e = &row->must[i];
                uint64_t at = r->first_usec[e->cause];

                if (e->by_ms > 0 && (at < MSEC(e->from_ms) || at > MSEC(e->by_ms))) {
                        printf("  WRONG: %s first at %.2f, wanted in %.2f-%.2f\n", cause_to_string(e->cause),
                               (double) at / 1e6, e->from_ms / 1e3, e->by_ms / 1e3);
                        n_wrong++;
                }
        }
        for (unsigned cause = 0; cause < CAUSE_MAX; cause++) {
                if (r->first_usec[cause] > 0 && !(causes & BIT(cause))) {
                        printf("  WRONG: %s holds and should not\n", cause_to_string(cause));
                        n_wrong++;
                }
                if (row->silent_ms > 0 && r->last_usec[cause] > MSEC(row->silent_ms)) {
                        printf("  WRONG: %s holds after %.2f\n", cause_to_string(cause),
                               row->silent_ms / 1e3);
                        n_wrong++;
                }
        }
        if (row->quiet && r->n_asks > 0) {
                printf("  WRONG: urgency is high\n");
                n_wrong++;
        }
        if (row->size_most > 0 &&
            (r->size_most < row->size_least * MIB || r->size_most > row->size_most * MIB)) {
                printf("  WRONG: U + S' reaches %llu MiB\n", (unsigned long long) (r->size_most / MIB));
                n_wrong++;
        }
        if (r->floor_least < row->floor_least * MIB) {
                printf("  WRONG: a shrink to %llu MiB is accepted\n",
                       (unsigned long long) (r->floor_least / MIB));
                n_wrong++;
        }
        if (row->limit)
                printf("  known limit: %s\n", row->limit);
        return n_wrong;
}

static void test_recordings(void **unused) {
        unsigned n_wrong = 0;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                for (unsigned decimated = 0; decimated < 2; decimated++) {
                        Replay r;

                        replay(&rows[i], decimated, &r);
                        print_row(rows[i].name, decimated, &r);
                        n_wrong += judge(&rows[i], &r);
                }
        assert_int_equal(n_wrong, 0);
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_recordings),
        };

        if (argc < 2) {
                fprintf(stderr, "usage: %s FOLDER-OF-CSV-FILES\n", argv[0]);
                return 2;
        }
        arg_folder = argv[1];
        return cmocka_run_group_tests(tests, NULL, NULL);
}
