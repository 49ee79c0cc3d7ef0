/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the parts of the estimator pass to each other: demand-track.c and demand-window.c follow the signals,
 * demand-size.c says how much, demand-rules.c and demand-thrash.c say when, demand.c decides. No other file includes this.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/policy/demand.h"

/* Differences of the counters over (about) a span that ends now. */
typedef struct DemandWindow {
        uint64_t span_usec; /* 0: not known */
        uint64_t pgscan, allocstall, psi_io_some_usec;
        uint64_t root_refault_bytes, root_pswpout;               /* whoever it was */
        uint64_t refault_bytes, activate_bytes, pswpin, pswpout; /* not by containers at their own limit */
} DemandWindow;

/* One sample with all that follows from it. Memory in bytes, T = usable. */
typedef struct DemandView {
        const DemandConfig *config;
        Snapshot now;                 /* held to what is possible; fields not read now as last read */
        uint64_t interval_usec;       /* since meminfo was last read */
        bool memory_read, zones_read; /* with this sample */

        uint64_t usable, available, used, swapped, file;
        int64_t resized;           /* usable, since the last sample */
        uint64_t available_before; /* in the last sample: the OOM killer frees before we look */
        uint64_t rate, rate_high;  /* r, r95, bytes/s */
        uint64_t floor, reserve;   /* floor(T), R */
        uint64_t base;             /* D = U + S' + max(R, H), before any prediction */
        bool triggered;            /* PSI's, not judged yet */
        uint64_t oom_kills;        /* since the last sample */
        bool swapped_out;          /* since the last sample */
        bool walk_wanted;          /* what containers do may make the difference */
        DemandWindow second, three, ten;

        bool kernel_known; /* there is a Movable zone, and K is known */
        uint64_t kernel, kernel_low;
} DemandView;

/* What one condition asks for. */
typedef struct DemandFire {
        Urgency urgency;
        Cause cause;
        uint64_t ask_bytes; /* usable size wanted */
        bool kernel_zone;
} DemandFire;

/* Fills the view from the sample and brings the state's memory of the signals up to date. */
void demand_track(const DemandConfig *config, DemandState *state, const Snapshot *sample, DemandView *ret);

/*
 * The part of it that is about pages that nobody has: they are available, for a while. merged: the sample, held to what is
 * possible.
 */
void demand_forgive_loose(DemandState *state, const Snapshot *sample, Snapshot *merged);

/* The part of it that is about counters: the view's windows and what came since the last reading. */
void demand_track_counters(DemandState *state, const Snapshot *sample, DemandView *view);

DemandFlows demand_flows(const Snapshot *s);

/*
 * The part of that which is about containers (demand-net.c). Called with a sample that has vmstat, and with what the root
 * did in the last second; brings state->net up to date. Returns false if what of it is containers' is not known yet:
 * the next sample is to walk, and no condition may stand on flows before.
 */
bool demand_track_net(DemandState *state, const Snapshot *sample, DemandView *view);

/* The threshold of hot refaults per second, theta_a of rule 5. */
uint64_t demand_hot_bytes_per_sec(const DemandView *view);

/* R of the view's T, U and r95. */
uint64_t demand_reserve_bytes(const DemandView *view);

/* D without prediction for hot cache H. */
uint64_t demand_base_bytes(const DemandView *view, uint64_t hot_bytes);

/* K of estimator.md rule 7, and the level below which it is low. */
uint64_t demand_kernel_bytes(const Snapshot *now);
uint64_t demand_kernel_low_bytes(const Snapshot *now);

/* Evaluates every condition. Returns bits 1 << Cause of those met; *ret is the most urgent, asking for the most. */
unsigned demand_rules(DemandState *state, const DemandView *view, DemandFire *ret);

/* The conditions over time: hot cache and trial grants (demand-thrash.c). */
bool demand_rule_thrash(DemandState *state, const DemandView *view, DemandFire *ret);
bool demand_rule_loop(DemandState *state, const DemandView *view, DemandFire *ret);

/* tau of G1: how far ahead a predicted exhaustion is acted upon. */
uint64_t demand_horizon_usec(const DemandConfig *config);
