/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The estimator: how much memory the guest needs, how urgently, and why. Pure. The rules and their
 * constants are those measured in real guests: estimator.md rules 1-13 (named G1..G6 here as there),
 * with demand*.c quoting the figure beside each constant.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/policy/snapshot.h"
#include "common/vocabulary.h"

typedef struct DemandConfig {
        uint64_t actuator_delay_usec; /* L: request to usable memory, 1 ms..10 s */
        uint64_t floor_bytes;         /* the guest's own floor by configuration; 0 = by the curve only */
} DemandConfig;

/* How often to look again (estimator.md rule 13). */
typedef enum SampleTier {
        SAMPLE_CALM,  /* 1 s */
        SAMPLE_WATCH, /* 200 ms */
        SAMPLE_HOT,   /* 50 ms */
        SAMPLE_TIER_MAX,
} SampleTier;

typedef struct Demand {
        Urgency urgency;
        Cause cause;
        bool kernel_zone;
        unsigned fired;         /* bits 1 << Cause: conditions met by this very sample, before hysteresis */
        uint64_t used_bytes;    /* U */
        uint64_t swapped_bytes; /* S' */
        uint64_t hot_bytes;     /* H */
        uint64_t reserve_bytes; /* R */
        uint64_t demand_bytes;  /* D = U + S' + max(R, H); while a condition holds, what it asked for */
        int64_t need_bytes;     /* D - usable; positive asks */
        uint64_t floor_bytes;   /* usable size below which no shrink is accepted */
        uint64_t time_to_exhaustion_usec; /* 0: not falling */
        uint64_t fall_bytes_per_sec;      /* r: smoothed growth of U */
        uint64_t
                rate_high_bytes_per_sec; /* r95: of the time that U grew, 5 % saw a higher r; 10 min half-life */
        SampleTier tier;   /* what the next sample is to read: meminfo and PSI, from WATCH on vmstat */
        bool walk_cgroups; /* and SNAPSHOT_HAS_CGROUPS, with vmstat: what the containers do is to be known */
        uint64_t next_sample_usec; /* interval until the next sample, 20 ms..1 s */
        uint64_t
                zones_interval_usec; /* SNAPSHOT_HAS_ZONES is to be read this often: 200 ms, 1 s, or 10 s without a Movable zone */
        uint64_t contained_oom_kills; /* so far: of containers, at their own limit */
        bool rose;                    /* an alarm is due: urgency rose, or the ask grew, with this sample */
} Demand;

#define DEMAND_MARKS_MAX   64U /* 200 ms apart: 12.8 s */
#define DEMAND_BUCKETS_MAX 64U /* quarter octaves of 1 MiB/s: up to 64 GiB/s */

/* Counters of vmstat that a container at its own limit raises as well; in pages. */
typedef enum DemandFlow {
        DEMAND_REFAULT,
        DEMAND_ACTIVATE,
        DEMAND_PSWPIN,
        DEMAND_PSWPOUT,
        DEMAND_FLOW_MAX,
} DemandFlow;

typedef struct DemandFlows {
        uint64_t pages[DEMAND_FLOW_MAX];
} DemandFlows;

/* The counters of one moment, to take differences from. */
typedef struct DemandMark {
        uint64_t at_usec;
        uint64_t pgscan, allocstall, psi_io_some_usec;
        DemandFlows root, net; /* as vmstat has them; without those of containers */
} DemandMark;

/* What is off the free lists and nobody has (demand-loose.c), and what it is reckoned from: the last sample, if that knew. */
typedef struct DemandLoose {
        uint64_t bytes, since_usec;
        bool known;
        uint64_t used_bytes, held_bytes, usable_bytes;
} DemandLoose;

/* What the estimator remembers. Embedded by the caller, zero-initialised; its fields are demand*.c's own. */
typedef struct DemandState {
        Snapshot last;        /* each field as last read; last.has: what has ever been read */
        Demand answer;        /* the last one */
        bool trigger_pending; /* a PSI trigger that no vmstat has been seen beside yet */

        DemandLoose loose;

        /* growth of U */
        uint64_t memory_usec;        /* meminfo was last read */
        int64_t slope_bytes_per_sec; /* smoothed, signed */
        uint64_t phantom_bytes;      /* lately counted in usable and not available: a block on its way out */
        uint64_t phantom_usec;       /* when they came */
        uint64_t rate_usec[DEMAND_BUCKETS_MAX]; /* time spent at each rate */
        uint64_t rate_halved_usec;
        unsigned n_predict, n_level; /* samples in a row that met G1, G2 */
        uint64_t short_since_usec;   /* D has exceeded usable since; 0 = it does not */
        uint64_t resized_usec;       /* usable last moved; 0 = never */

        /* known territory */
        uint64_t used_ok_bytes; /* highest U that ended well */
        uint64_t used_ok_usec;
        uint64_t used_peak_bytes; /* of the rise going on */
        bool peak_spoilt;         /* a stall, a swap-out or the OOM killer since it began */

        DemandMark marks[DEMAND_MARKS_MAX]; /* a ring; since the last resize */
        unsigned n_marks, next_mark;

        /* what containers do at their own limit */
        DemandFlows net,
                excluded; /* vmstat's flows, less what is excluded from them; net of the last settling */
        DemandFlows net_at_walk, contained;
        uint64_t walk_usec;              /* of the last walk; 0 = never */
        unsigned n_contained, n_limited; /* found by it */
        bool walk_due;                   /* this sample was to walk */
        bool walks_fail;                 /* the last one that was did not */
        uint64_t contained_oom_kills;

        /* hot cache */
        uint64_t hot_bytes, hot_usec;          /* H, and when hot refaults were last seen */
        uint64_t thrash_usec;                  /* G5's last fire; 0 = never */
        uint64_t thrash_from_bytes;            /* usable when G5 first fired */
        uint64_t thrash_cap_bytes;             /* what it may gain from there */
        uint64_t trial_usec, trials_from_usec; /* G5q: the trial going on, and the first of this 10 min */
        uint64_t trial_usable_bytes;
        unsigned n_trials;

        /* kernel zones */
        uint64_t kernel_bytes, kernel_managed_bytes, kernel_usec; /* K, of what, when it was read */
        int64_t kernel_slope_bytes_per_sec;
        uint64_t kernel_falling_usec; /* K has been used up fast since; 0 = it is not */
        uint64_t kernel_asked_bytes, kernel_wanted_bytes,
                kernel_held_usec; /* by K: usable asked for, K hoped for */

        /* the answer's hysteresis */
        Urgency urgency;
        Cause cause;
        bool kernel_zone;
        uint64_t fired_usec;  /* when the present urgency was last confirmed */
        uint64_t ask_bytes;   /* usable size that the conditions asked for; 0 = none */
        uint64_t extra_bytes; /* of it, beyond D */
        uint64_t told_bytes;  /* the ask of the last alarm */
        uint64_t hot_until_usec, watch_until_usec;
} DemandState;

/*
 * One step on one snapshot. Snapshots come in the order of their now_usec; a sample with an earlier or
 * equal time changes nothing but the returned levels. A snapshot without SNAPSHOT_HAS_MEMINFO gives the
 * last demand with urgency from PSI and OOM alone.
 */
Demand demand_step(const DemandConfig *config, DemandState *state, const Snapshot *now);

/*
 * Memory was reclaimed on purpose, and watched: of freed_bytes, back_bytes were wanted back. H rises by those, up to what is
 * cached; where none were, H was too high by what went (estimator.md rule 4).
 */
void demand_learn_probe(DemandState *state, uint64_t freed_bytes, uint64_t back_bytes);

/*
 * floor(T) of hv_balloon: 16->16, 128->72, 512->168, 2048->360, 8192->744, 32768->1512 MiB, linear between
 * (Linux 6.1 drivers/hv/hv_balloon.c, compute_balloon_floor()). Bytes in, bytes out.
 */
uint64_t demand_floor_bytes(uint64_t total_bytes);

/*
 * The largest wave of memory that the guest can take now without its own memmap (1.6 %, allocated
 * from kernel zones at add time) eating what is left: bytes, a multiple of nothing.
 */
uint64_t demand_plug_budget_bytes(const Snapshot *now);

/*
 * What the guest says to so many bytes more, out of the balloon or as new memory: REFUSAL_NONE, or REFUSAL_MARGIN for new
 * memory beyond the budget.
 */
RefusalReason demand_check_growth(const Snapshot *now, uint64_t bytes, bool balloon);
