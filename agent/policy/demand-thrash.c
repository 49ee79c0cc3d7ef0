/* SPDX-License-Identifier: Apache-2.0 */

/*
 * File cache that is read again and again (G5): the guest thrashes with MemAvailable above 80 % and PSI below 1 %. The one
 * counter that knows is workingset_activate: the kernel counts there only pages that would have been hits with at most
 * an active list more of memory. Refaults alone cannot tell a hot set from a loop (q is flat until the loop fits), and
 * a stream has neither.
 *
 * Figures are MiB/s over 3 s windows: activate > 2 with scan > 0 met 94 % of needing windows and none of 110 others.
 * A container that thrashes at its own limit raises the root's counters too: all flows here are net of those (demand-net.c).
 */

#include "agent/policy/demand-internal.h"

#include "common/units.h"

/* After a resize the first refaults are its own (shrink.md S9), and an unabsorbed grant proves nothing. */
#define SETTLE_USEC (2 * USEC_PER_SEC)

/* An episode without a fire for this long is over; the next has a new cap. */
#define EPISODE_USEC (600 * USEC_PER_SEC)

#define TRIALS_MAX         2U
#define TRIAL_LASTS_USEC   (10 * USEC_PER_SEC)
#define TRIALS_PERIOD_USEC (600 * USEC_PER_SEC)

static bool settled(const DemandState *state, const DemandView *view) {
        return state->resized_usec == 0 || view->now.now_usec - state->resized_usec >= SETTLE_USEC;
}

/* Active(file) bounds the hot cache from below; under MGLRU it does not (1-30 MiB), and a quarter of T stands in. */
static void begin_episode(DemandState *state, const DemandView *view) {
        uint64_t active = view->now.active_file_bytes;

        state->thrash_from_bytes = view->usable;
        state->thrash_cap_bytes = view->now.lru_gen ? view->usable / 4 : u64_add(active, active / 2);
}

uint64_t demand_hot_bytes_per_sec(const DemandView *view) {
        /* MGLRU counts half as many activations for the same load. Above 2 GiB of cache 0.1 % of it per second. [R] */
        return u64_max(view->now.lru_gen ? MIB : 2 * MIB, view->file / 1000);
}

/* H holds for 10 min without hot refaults, then falls by 5 % per minute (rule 4). */
static void decay_hot(DemandState *state, const DemandView *view) {
        uint64_t now_usec = view->now.now_usec;

        if (state->hot_bytes == 0)
                return;
        if (view->three.span_usec > 0 && view->three.activate_bytes > 0 && view->three.pgscan > 0)
                state->hot_usec = now_usec;
        if (now_usec - state->hot_usec < EPISODE_USEC)
                return;
        state->hot_bytes -= state->hot_bytes / 20;
        state->hot_usec = u64_add(state->hot_usec, 60 * USEC_PER_SEC);
        if (state->hot_bytes < 16 * MIB)
                state->hot_bytes = 0;
}

void demand_learn_probe(DemandState *state, uint64_t freed_bytes, uint64_t back_bytes) {
        const Snapshot *last = &state->last;
        uint64_t cached = u64_add(last->active_file_bytes, last->inactive_file_bytes);

        if (back_bytes == 0) {
                state->hot_bytes = u64_sub(state->hot_bytes, freed_bytes);
                return;
        }
        state->hot_bytes = u64_max(state->hot_bytes, u64_min(u64_add(state->hot_bytes, back_bytes), cached));
        state->hot_usec = last->now_usec;
}

static bool is_hot(const DemandView *view) {
        const DemandWindow *w = &view->three;
        uint64_t threshold = demand_hot_bytes_per_sec(view);
        /* A slow disk bounds the rate, and then it is the disk that waits. */
        bool slow_disk = w->psi_io_some_usec > w->span_usec / 5;

        if (w->span_usec == 0 || w->pgscan == 0)
                return false;
        if (slow_disk && w->activate_bytes > 3 * (MIB / 2))
                return true;
        return w->activate_bytes > 3 * threshold && view->second.activate_bytes > threshold / 2;
}

bool demand_rule_thrash(DemandState *state, const DemandView *view, DemandFire *ret) {
        uint64_t now_usec = view->now.now_usec;

        decay_hot(state, view);
        if (!settled(state, view) || !is_hot(view))
                return false;
        if (state->thrash_usec == 0 || now_usec - state->thrash_usec > EPISODE_USEC)
                begin_episode(state, view);
        state->thrash_usec = now_usec;
        if (u64_sub(view->usable, state->thrash_from_bytes) > state->thrash_cap_bytes)
                return false;

        uint64_t step = u64_clamp(view->three.refault_bytes, 64 * MIB, u64_max(64 * MIB, view->usable / 10));
        uint64_t hot = u64_sub(u64_add(view->file, step), view->now.free_bytes);

        state->hot_bytes = u64_min(u64_max(state->hot_bytes, hot), view->usable);
        state->hot_usec = now_usec;
        *ret = (DemandFire){
                .urgency = URGENCY_HIGH,
                .cause = CAUSE_THRASH,
                .ask_bytes = u64_add(view->usable, step),
        };
        return true;
}

/* A trial is over when memory came or nobody gave any. */
static bool trial_goes_on(const DemandState *state, const DemandView *view) {
        return state->trial_usec > 0 && view->usable <= state->trial_usable_bytes &&
               view->now.now_usec - state->trial_usec < TRIAL_LASTS_USEC;
}

/* G5q: a loop over cold cache. Whether it would fit no counter says: at most two grants, of low urgency, to find out. */
bool demand_rule_loop(DemandState *state, const DemandView *view, DemandFire *ret) {
        const DemandWindow *w = &view->three;
        uint64_t now_usec = view->now.now_usec;
        uint64_t threshold = u64_max(4 * MIB, view->file / 50);

        /* That nothing is hot is only proven by a whole window; the counters are batched per CPU, 0.5 MiB at most. */
        if (w->span_usec < 3 * USEC_PER_SEC || w->pgscan == 0 || w->activate_bytes > MIB / 2 ||
            w->refault_bytes <= 3 * threshold)
                return false;

        if (!trial_goes_on(state, view)) {
                if (state->trials_from_usec == 0 || now_usec - state->trials_from_usec > TRIALS_PERIOD_USEC) {
                        state->trials_from_usec = now_usec;
                        state->n_trials = 0;
                }
                if (state->n_trials >= TRIALS_MAX)
                        return false;
                state->n_trials++;
                state->trial_usec = now_usec;
                state->trial_usable_bytes = view->usable;
        }
        *ret = (DemandFire){
                .urgency = URGENCY_LOW,
                .cause = CAUSE_THRASH,
                .ask_bytes = u64_add(view->usable, view->usable / 10),
        };
        return true;
}
