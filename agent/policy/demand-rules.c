/* SPDX-License-Identifier: Apache-2.0 */

/*
 * When to ask: the conditions G1-G4, G6 and K of estimator.md, each a function of the view and of its own few fields
 * of the state; G5 is in demand-thrash.c. They ask for a size, never for a step, so asking twice asks for no more.
 *
 * No condition stands on PSI alone. PSI never fired before the OOM kill of a guest without swap (10 of 10 runs), and it
 * fires for kswapd's own running time, and for a container at its own limit, which no size of the VM helps.
 */

#include "agent/policy/demand-internal.h"

#include <stddef.h>

#include "common/units.h"

/* Ask ahead: growth during the actuator's delay and two seconds more (pressure-control.md b.3). */
#define AHEAD_USEC (2 * USEC_PER_SEC)

/* In known territory only what is closer than this (rule 2). */
#define KNOWN_HORIZON_USEC (400 * USEC_PER_MSEC)

/* Swap traffic that means something (rule 9). */
#define SWAP_BYTES_PER_SEC MIB

#define PAGE_LEAST_BYTES (4 * KIB)

typedef bool (*DemandRule)(DemandState *state, const DemandView *view, DemandFire *ret);

uint64_t demand_horizon_usec(const DemandConfig *config) {
        return u64_max(400 * USEC_PER_MSEC, u64_add(config->actuator_delay_usec, 350 * USEC_PER_MSEC));
}

static uint64_t growth_ahead(const DemandView *view, uint64_t rate) {
        return u64_scale(rate, u64_add(view->config->actuator_delay_usec, AHEAD_USEC), USEC_PER_SEC);
}

/* Time until U has grown by headroom; never 0, which is the wire's "not falling". */
static uint64_t time_until(uint64_t headroom, uint64_t rate) {
        return rate > 0 ? u64_max(u64_scale(headroom, USEC_PER_SEC, rate), 1) : USEC_INFINITY;
}

/* G1: A - floor/2 will be gone within tau. The only signal with a lead where there is no swap: 0.7-1.4 s. */
static bool rule_predict(DemandState *state, const DemandView *view, DemandFire *ret) {
        if (!view->memory_read)
                return false;

        bool known = view->used <= u64_percent(state->used_ok_bytes, 103);
        uint64_t headroom = known ? view->available : u64_sub(view->available, view->floor / 2);
        uint64_t horizon = known ? KNOWN_HORIZON_USEC : demand_horizon_usec(view->config);
        bool near = view->rate > view->usable / 50 && time_until(headroom, view->rate) < horizon;

        state->n_predict = near ? state->n_predict + 1 : 0;
        if (state->n_predict < 2)
                return false;

        *ret = (DemandFire){
                .urgency = URGENCY_CRITICAL,
                .cause = CAUSE_PREDICT,
                .ask_bytes = u64_add(view->base, growth_ahead(view, view->rate)),
        };
        return true;
}

/* G2: A < R/2. Never false in 35 runs, and the only signal for leaks, whose slope is too small for G1. */
static bool rule_level(DemandState *state, const DemandView *view, DemandFire *ret) {
        if (!view->memory_read)
                return false;

        state->n_level = view->available < view->reserve / 2 ? state->n_level + 1 : 0;
        if (state->n_level < 2)
                return false;

        *ret = (DemandFire){
                .urgency = URGENCY_HIGH,
                .cause = CAUSE_LEVEL,
                .ask_bytes = view->base,
        };
        return true;
}

/* G3: PSI's trigger, and something beside it that says that it is the guest's own memory. It confirms, it does not lead. */
static bool rule_stall(DemandState *state, const DemandView *view, DemandFire *ret) {
        bool scanned = view->second.pgscan > 0;
        bool swaps = scanned && view->second.pswpout > 0;
        bool hot = view->three.pgscan > 0 &&
                   view->three.activate_bytes > 3 * (demand_hot_bytes_per_sec(view) / 2);
        bool kernel = view->kernel_known && view->kernel < 2 * view->kernel_low;

        if (!view->triggered || !(view->available < view->reserve || swaps || hot || kernel))
                return false;

        *ret = (DemandFire){
                .urgency = URGENCY_HIGH,
                .cause = CAUSE_STALL,
                .ask_bytes = u64_max(view->base, u64_percent(view->usable, 110)),
        };
        return true;
}

/*
 * G4: swapping out while short, or while swapping in as well. Swap-out alone with A > R is cold memory making
 * room for files; swap-in alone is recovery.
 */
static bool rule_swap(DemandState *state, const DemandView *view, DemandFire *ret) {
        uint64_t page = u64_max(view->now.page_size_bytes, PAGE_LEAST_BYTES);
        uint64_t out = u64_mul(view->second.pswpout, page), in = u64_mul(view->ten.pswpin, page);

        if (out <= SWAP_BYTES_PER_SEC || view->second.pgscan == 0)
                return false;
        if (view->available >= view->reserve && in <= 10 * SWAP_BYTES_PER_SEC)
                return false;

        *ret = (DemandFire){
                .urgency = URGENCY_HIGH,
                .cause = CAUSE_SWAP,
                .ask_bytes = view->base,
        };
        return true;
}

/*
 * Stalls that a stream explains: with A > R and kernel zones known not to be short, direct reclaim found enough (estimator.md
 * section 0). A cgroup's OOM kill beside a stream made G6 ask before.
 */
static bool stalls_are_benign(const DemandView *view, uint64_t available) {
        bool kernel_short = view->kernel_known && view->kernel < 2 * view->kernel_low;

        return view->second.pgscan > 0 && available >= view->reserve &&
               (view->now.has & SNAPSHOT_HAS_ZONES) && !kernel_short;
}

/*
 * G6: the OOM killer ran for want of the guest's memory. A container's own OOM raises the same counter, with no stall
 * beside it.
 */
static bool rule_oom(DemandState *state, const DemandView *view, DemandFire *ret) {
        uint64_t available = u64_min(view->available, view->available_before);

        if (view->oom_kills == 0)
                return false;
        if (available >= view->reserve / 2 &&
            (view->second.allocstall == 0 || stalls_are_benign(view, available))) {
                state->contained_oom_kills = u64_add(state->contained_oom_kills, view->oom_kills);
                return false;
        }

        uint64_t more = u64_max(u64_percent(view->usable, 120), u64_add(view->usable, 100 * MIB));
        *ret = (DemandFire){
                .urgency = URGENCY_CRITICAL,
                .cause = CAUSE_OOM,
                .ask_bytes = u64_max(view->base, more),
        };
        return true;
}

/*
 * The memory that K asked for has come. Zones are read once a second, memory comes within tens of milliseconds: until
 * they are read again K is that of before, and asking by it took a grant per sample (16 in a ramp to 1.5 GiB). Given as
 * Movable K does not rise, and asking again would only eat the rest of it as memmap: held for a minute then.
 * Returns true if there is nothing to ask for now.
 */
static bool kernel_answered(DemandState *state, const DemandView *view) {
        if (state->kernel_asked_bytes > 0 && view->usable >= state->kernel_asked_bytes) {
                if (!view->zones_read)
                        return true;
                if (view->kernel < state->kernel_wanted_bytes)
                        state->kernel_held_usec = u64_add(view->now.now_usec, 60 * USEC_PER_SEC);
                state->kernel_asked_bytes = 0;
        }
        return view->now.now_usec < state->kernel_held_usec;
}

/* K, rule 7: kernel zones are short, or will be, though MemAvailable, PSI and swap see nothing. */
static bool rule_kernel_zone(DemandState *state, const DemandView *view, DemandFire *ret) {
        int64_t slope = state->kernel_slope_bytes_per_sec;
        uint64_t rate = slope < 0 ? (uint64_t) -slope : 0;
        uint64_t horizon = u64_max(USEC_PER_SEC, u64_mul(view->config->actuator_delay_usec, 3));

        if (!view->kernel_known || kernel_answered(state, view))
                return false;

        bool falling = state->kernel_falling_usec > 0 &&
                       view->now.now_usec - state->kernel_falling_usec >= USEC_PER_SEC;
        bool near = falling && time_until(u64_sub(view->kernel, 16 * MIB), rate) < horizon;
        if (view->kernel >= view->kernel_low && !near)
                return false;

        uint64_t lack = u64_sub(2 * view->kernel_low, view->kernel);
        uint64_t more = u64_max(128 * MIB, u64_add(lack, falling ? growth_ahead(view, rate) : 0));
        if (state->kernel_asked_bytes == 0 || view->zones_read) {
                state->kernel_asked_bytes = u64_add(view->usable, more);
                state->kernel_wanted_bytes = u64_add(view->kernel, more / 2);
        }
        *ret = (DemandFire){
                .urgency = near ? URGENCY_CRITICAL : URGENCY_HIGH,
                .cause = CAUSE_KERNEL_ZONE,
                .ask_bytes = state->kernel_asked_bytes,
                .kernel_zone = true,
        };
        return true;
}

/* D above the guest's size, and not just for a moment: no hurry, but it is what the guest would like to have. */
static bool rule_demand(DemandState *state, const DemandView *view, DemandFire *ret) {
        /* S' is no reason to ask by itself: a swap scar at rest needs nothing now (rule 11). */
        if (u64_sub(view->base, view->swapped) <= view->usable) {
                state->short_since_usec = 0;
                return false;
        }
        if (state->short_since_usec == 0)
                state->short_since_usec = view->now.now_usec;
        if (view->now.now_usec - state->short_since_usec < 2 * USEC_PER_SEC)
                return false;

        *ret = (DemandFire){
                .urgency = URGENCY_LOW,
                .cause = CAUSE_DEMAND,
                .ask_bytes = view->base,
        };
        return true;
}

unsigned demand_rules(DemandState *state, const DemandView *view, DemandFire *ret) {
        /* By what a person would want to read first, where two are equally urgent. */
        static const DemandRule rules[] = {
                rule_oom,   rule_predict, rule_kernel_zone,   rule_level,       rule_swap,
                rule_stall, rule_demand,  demand_rule_thrash, demand_rule_loop,
        };
        DemandFire best = {};
        unsigned fired = 0;

        for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
                DemandFire fire = {};

                /* All of them, always: each keeps its own count of samples. */
                if (!rules[i](state, view, &fire))
                        continue;
                fired |= 1U << fire.cause;
                uint64_t ask = u64_max(best.ask_bytes, fire.ask_bytes);
                bool kernel_zone = best.kernel_zone || fire.kernel_zone;
                if (fire.urgency > best.urgency)
                        best = fire;
                best.ask_bytes = u64_min(ask, MEMORY_BYTES_MAX);
                best.kernel_zone = kernel_zone;
        }
        *ret = best;
        return fired;
}
