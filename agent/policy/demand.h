/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The estimator: how much memory the guest needs, how urgently, and why. Pure. The rules and their
 * constants are those measured in real guests: estimator.md rules 1-13 (named G1..G6 here as there),
 * with demand.c quoting the figure beside each constant.
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
        uint64_t used_bytes;              /* U */
        uint64_t swapped_bytes;           /* S' */
        uint64_t hot_bytes;               /* H */
        uint64_t reserve_bytes;           /* R */
        uint64_t demand_bytes;            /* D = U + S' + max(R, H), plus what a predicted fall will take */
        int64_t need_bytes;               /* D - usable; positive asks */
        uint64_t floor_bytes;             /* usable size below which no shrink is accepted */
        uint64_t time_to_exhaustion_usec; /* 0: not falling */
        uint64_t fall_bytes_per_sec;      /* r: smoothed growth of U */
        SampleTier tier;
        uint64_t next_sample_usec; /* interval until the next sample, 20 ms..1 s */
        bool rose;                 /* urgency rose with this sample: an alarm is due */
} Demand;

#define DEMAND_HISTORY_MAX 64U

/* What the estimator remembers. Embedded by the caller, zero-initialised; its fields are demand.c's own. */
typedef struct DemandState {
        bool primed; /* last is valid */
        Snapshot last;
        int64_t slope_bytes_per_sec; /* smoothed, signed */
        unsigned n_predict, n_level; /* samples in a row that met G1, G2 */
        uint64_t used_ok_bytes;      /* known territory: highest U that ended well */
        uint64_t used_ok_at_usec;
        uint64_t used_peak_bytes; /* of the rise going on */
        bool peak_clean;          /* no stall, swap-out or OOM since it began */
        Urgency urgency;
        Cause cause;
        uint64_t fired_at_usec;  /* when the present urgency was last confirmed */
        uint64_t hot_until_usec; /* tier hysteresis */
} DemandState;

/*
 * One step on one snapshot. Snapshots come in the order of their now_usec; a sample with an earlier or
 * equal time changes nothing but the returned levels. A snapshot without SNAPSHOT_HAS_MEMINFO gives the
 * last demand with urgency from PSI and OOM alone.
 */
Demand demand_step(const DemandConfig *config, DemandState *state, const Snapshot *now);

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
