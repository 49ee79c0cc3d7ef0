/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One step of the estimator: follow the signals, ask every condition, then decide. What is here is the answer's hysteresis:
 * how long urgency holds, how long an ask stands, and when to look again.
 *
 * An ask is a size, and it stands while urgency is up: need = ask - usable falls to zero the moment the memory is there,
 * and does not flicker with the slope before. It follows U down, so a load that goes away takes its ask along.
 *
 * Rejected: a timer that cancels asks. The pure core has no clock, and the kernel never says that pressure is over (PSI
 * reports beginnings only), so each level of urgency lapses by itself after 2 s without a sign (as in ChromeOS).
 */

#include "agent/policy/demand.h"

#include "agent/policy/demand-internal.h"
#include "common/units.h"

#define URGENCY_HOLD_USEC (2 * USEC_PER_SEC)
#define HOT_HOLD_USEC     (1 * USEC_PER_SEC)
#define WATCH_HOLD_USEC   (2 * USEC_PER_SEC)

#define CALM_USEC  (1000 * USEC_PER_MSEC)
#define WATCH_USEC (200 * USEC_PER_MSEC)
#define HOT_USEC   (50 * USEC_PER_MSEC)
#define LEAST_USEC (20 * USEC_PER_MSEC)

#define ZONES_SELDOM_USEC (10 * USEC_PER_SEC)

/* No guest allocates faster than this for long: 1 GiB/s, and look twice while it does. */
#define SPRINT_BYTES_PER_SEC (2 * GIB)

static void settle_urgency(DemandState *state, const DemandView *view, const DemandFire *fire) {
        uint64_t now_usec = view->now.now_usec;

        if (fire->urgency != URGENCY_NONE && fire->urgency >= state->urgency) {
                state->urgency = fire->urgency;
                state->cause = fire->cause;
                state->kernel_zone = fire->kernel_zone;
                state->fired_usec = now_usec;
                return;
        }
        if (state->urgency == URGENCY_NONE || now_usec - state->fired_usec < URGENCY_HOLD_USEC)
                return;

        state->urgency--;
        state->fired_usec = now_usec;
        if (state->urgency == URGENCY_NONE) {
                state->cause = CAUSE_NONE;
                state->kernel_zone = false;
        }
}

/* The size asked for. Returns true if a condition asks for notably more than was last told. */
static bool settle_ask(DemandState *state, const DemandView *view, const DemandFire *fire) {
        if (state->urgency == URGENCY_NONE) {
                state->ask_bytes = state->extra_bytes = state->told_bytes = 0;
                return false;
        }

        state->ask_bytes = u64_min(state->ask_bytes, u64_add(view->base, state->extra_bytes));
        if (fire->ask_bytes > state->ask_bytes) {
                state->ask_bytes = fire->ask_bytes;
                state->extra_bytes = u64_sub(fire->ask_bytes, view->base);
        }
        if (fire->urgency == URGENCY_NONE || state->ask_bytes <= view->usable)
                return false;

        /* A ramp that is not served fast enough tells more with every 1 % T, not with every sample. */
        uint64_t step = u64_max(16 * MIB, view->usable / 100);
        if (state->ask_bytes < u64_add(state->told_bytes, step))
                return false;
        state->told_bytes = state->ask_bytes;
        return true;
}

static SampleTier choose_tier(DemandState *state, const DemandView *view, bool fired) {
        uint64_t now_usec = view->now.now_usec;
        uint64_t fall = u64_sub(view->available_before, view->available);

        if (fired || view->now.psi_triggered || state->n_predict > 0 || state->n_level > 0 ||
            view->available < view->reserve)
                state->hot_until_usec = u64_add(now_usec, HOT_HOLD_USEC);
        if (view->available < u64_mul(view->reserve, 2) || fall > view->usable / 100 ||
            view->second.pgscan > 0)
                state->watch_until_usec = u64_add(now_usec, WATCH_HOLD_USEC);

        if (now_usec < state->hot_until_usec)
                return SAMPLE_HOT;
        if (now_usec < state->watch_until_usec)
                return SAMPLE_WATCH;
        /* Cache fills the guest, so it may be reclaimed, and thrash: vmstat alone can tell, once a second. */
        return view->now.free_bytes < view->reserve ? SAMPLE_WATCH : SAMPLE_CALM;
}

static uint64_t choose_interval(const DemandState *state, SampleTier tier, const DemandView *view) {
        static const uint64_t interval_usec[SAMPLE_TIER_MAX] = {
                [SAMPLE_CALM] = CALM_USEC,
                [SAMPLE_WATCH] = WATCH_USEC,
                [SAMPLE_HOT] = HOT_USEC,
        };
        /* Fast enough to see a sudden sprint before it is over, however small the guest. */
        uint64_t headroom = u64_sub(view->available, view->reserve / 2);
        uint64_t sprint = u64_scale(headroom, USEC_PER_SEC, SPRINT_BYTES_PER_SEC);

        if (tier == SAMPLE_WATCH && view->now.now_usec >= state->watch_until_usec)
                tier = SAMPLE_CALM;
        return u64_min(interval_usec[tier], u64_clamp(sprint, LEAST_USEC, CALM_USEC));
}

/* zoneinfo is the dearest file (3.6 meminfos), and without a Movable zone it only says what meminfo says. */
static uint64_t choose_zones_interval(const DemandView *view) {
        if (!view->kernel_known)
                return ZONES_SELDOM_USEC;
        return view->kernel < 2 * view->kernel_low ? WATCH_USEC : CALM_USEC;
}

static Demand compose(DemandState *state, const DemandView *view, unsigned fired, bool rose) {
        uint64_t demand = u64_max(view->base, state->ask_bytes);
        uint64_t ahead = u64_sub(view->available, view->floor / 2);
        /* Slower than 0.1 % T per second is noise: an hour or more, and the signals of the moment say nothing about that. */
        bool falling = view->rate > view->usable / 1000 && view->rate > 0;

        Demand d = {
                .urgency = state->urgency,
                .cause = state->cause,
                .kernel_zone = state->kernel_zone,
                .fired = fired,
                .used_bytes = view->used,
                .swapped_bytes = view->swapped,
                .hot_bytes = state->hot_bytes,
                .reserve_bytes = view->reserve,
                .demand_bytes = demand,
                .need_bytes = u64_delta(demand, view->usable),
                /* Not below D: a guest taken there would ask for it back (pressure-control.md, "does not oscillate"). */
                .floor_bytes = u64_max(view->config->floor_bytes, view->base),
                .time_to_exhaustion_usec =
                        falling ? u64_max(u64_scale(ahead, USEC_PER_SEC, view->rate), 1) : 0,
                .fall_bytes_per_sec = view->rate,
                .rate_high_bytes_per_sec = view->rate_high,
                .contained_oom_kills = state->contained_oom_kills,
                .walk_cgroups = view->walk_wanted,
                .rose = rose,
        };
        d.tier = choose_tier(state, view, fired != 0);
        d.zones_interval_usec = choose_zones_interval(view);
        d.next_sample_usec = u64_min(choose_interval(state, d.tier, view), d.zones_interval_usec);
        return d;
}

Demand demand_step(const DemandConfig *config, DemandState *state, const Snapshot *now) {
        DemandView view;
        DemandFire fire;
        Urgency before = state->urgency;

        if (state->last.has != 0 && now->now_usec <= state->last.now_usec) {
                state->answer.fired = 0;
                state->answer.rose = false;
                return state->answer;
        }

        demand_track(config, state, now, &view);
        unsigned fired = demand_rules(state, &view, &fire);
        view.base = demand_base_bytes(&view, state->hot_bytes); /* G5 may have raised H */
        settle_urgency(state, &view, &fire);
        bool grew = settle_ask(state, &view, &fire);

        state->walk_due = view.walk_wanted;
        state->answer = compose(state, &view, fired, state->urgency > before || grew);
        state->last = view.now;
        return state->answer;
}
