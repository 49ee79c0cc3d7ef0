/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the guest gives, and on which terms. Rules S1-S9 and S14-S17 of shrink.md; figures [M] from there.
 *
 * The floor is arithmetic, before anything moves: PSI is none (an infeasible shrink drove a guest without swap to 0-3 MiB
 * available with 8-32 ms of PSI, and the next allocation kills). Only free bytes are offered, because taking those costs
 * no stall at all, where a driver that has to reclaim stalls the guest for up to 8 s per 512 MiB. Whether what was
 * reclaimed was needed is in shrink-probe.c, what happens from the offer on in shrink-watch.c.
 *
 * Rejected: letting a refusal hold for every reason. What the arithmetic refuses now may be right in a second; only a
 * veto and a reclaim in vain or of what is hot cost the guest something, so only after these it does not try again at once.
 */

#include "agent/policy/shrink.h"

#include "agent/policy/shrink-internal.h"
#include "common/units.h"

/* U0 is taken when the last resize is over this long: too early it gave false vetoes in 4 of 146 trials. */
#define SETTLE_USEC (500 * USEC_PER_MSEC)

/* How late the host's stop may come, beyond the sample that shows the reason (D of S5). */
#define VETO_DELAY_USEC (100 * USEC_PER_MSEC)

/* How long the host had better wait where the guest itself would not insist. */
#define ADVICE_USEC (10 * USEC_PER_SEC)

/* S5: available, and free, after the last step. */
static uint64_t margin_of(const ShrinkConfig *config, const Snapshot *now, const Demand *demand) {
        uint64_t floor = demand_floor_bytes(snapshot_usable_bytes(now)) / 2;
        uint64_t burst = u64_add(u64_scale(demand->rate_high_bytes_per_sec,
                                           VETO_DELAY_USEC + 150 * USEC_PER_MSEC, USEC_PER_SEC),
                                 32 * MIB);

        return u64_max(config->margin_bytes, u64_max(floor, burst));
}

static uint64_t acceptable_of(const Snapshot *now, const Demand *demand, uint64_t margin) {
        return u64_max(demand->floor_bytes, u64_add(snapshot_used_bytes(now), margin));
}

static ShrinkPlan refuse(ShrinkState *state, RefusalReason reason, uint64_t acceptable, uint64_t hold_usec) {
        shrink_close_step(state);
        return (ShrinkPlan){
                .verdict = SHRINK_REFUSED,
                .reason = reason,
                .acceptable_bytes = acceptable,
                .hold_usec = hold_usec,
        };
}

static ShrinkPlan refuse_and_hold(ShrinkState *state, RefusalReason reason, const Snapshot *now,
                                  uint64_t acceptable, uint64_t hold_usec) {
        shrink_close_resize(state);
        state->held_until_usec = u64_add(now->now_usec, hold_usec);
        return refuse(state, reason, acceptable, hold_usec);
}

/* What was reclaimed was needed. */
static ShrinkPlan refuse_hot(const ShrinkConfig *config, ShrinkState *state, const Snapshot *now,
                             uint64_t acceptable) {
        uint64_t back = shrink_probe_back_bytes(state, now), freed = state->probe.freed_bytes;
        ShrinkPlan plan = refuse_and_hold(state, REFUSAL_PRESSURE, now, acceptable,
                                          shrink_probe_hold_usec(config, state));

        state->probe.freed_bytes = 0;
        plan.freed_bytes = freed;
        plan.back_bytes = back;
        return plan;
}

static ShrinkPlan offered(const ShrinkState *state, uint64_t acceptable) {
        return (ShrinkPlan){
                .verdict = SHRINK_OFFERED,
                .offered_bytes = state->offered_bytes,
                .acceptable_bytes = acceptable,
        };
}

static ShrinkPlan offer(ShrinkState *state, const Snapshot *now, uint64_t bytes, uint64_t acceptable) {
        state->offered = true;
        state->offered_bytes = bytes;
        state->at_offer = *now;
        state->usable_at_offer_bytes = state->least_usable_bytes;
        state->used_at_offer_bytes = shrink_workload_bytes(state, now);
        state->reported_usable_bytes = snapshot_usable_bytes(now);
        state->lapse_usec = u64_add(now->now_usec, SHRINK_WATCH_USEC);
        state->loose_usec = 0;
        return offered(state, acceptable);
}

/* Free bytes beyond the margin, whole units; all that is asked if there is as much. */
static uint64_t offerable(const ShrinkState *state, const Snapshot *now, uint64_t margin) {
        uint64_t spare = u64_sub(now->free_bytes, margin);

        return spare >= state->ask.bytes ? state->ask.bytes : u64_align_down(spare, SHRINK_UNIT_BYTES);
}

/* What is wrong with asking at all, whatever memory looks like. */
static RefusalReason check_ask(const ShrinkState *state, const ShrinkAsk *ask, const Snapshot *now) {
        if (now->total_bytes == 0)
                return REFUSAL_UNSUPPORTED;
        if (ask->id == 0 || ask->bytes == 0 || ask->bytes >= snapshot_usable_bytes(now))
                return REFUSAL_INVALID;
        if (ask->deadline_usec <= now->now_usec)
                return REFUSAL_EXPIRED;
        if (now->now_usec < state->held_until_usec)
                return REFUSAL_HELD;
        return REFUSAL_NONE;
}

/* Whether the guest can do without the bytes. */
static RefusalReason check_bytes(uint64_t bytes, const Snapshot *now, const Demand *demand, uint64_t margin) {
        /* What was read some time ago is no ground to give memory away on. */
        if (!(now->has & SNAPSHOT_HAS_MEMINFO))
                return REFUSAL_UNSUPPORTED;
        if (demand->urgency != URGENCY_NONE)
                return REFUSAL_PRESSURE;
        if (u64_sub(snapshot_usable_bytes(now), bytes) < demand->floor_bytes)
                return REFUSAL_FLOOR;
        if (u64_sub(now->available_bytes, bytes) < margin)
                return REFUSAL_MARGIN;
        return REFUSAL_NONE;
}

/* The same within a resize, where growth since it began counts as pressure. */
static RefusalReason check_room(const ShrinkState *state, const Snapshot *now, const Demand *demand,
                                uint64_t margin) {
        if (shrink_workload_grew(state, now, state->ask.bytes))
                return REFUSAL_PRESSURE;
        return check_bytes(state->ask.bytes, now, demand, margin);
}

/* Takes U0 for a resize that is new. Returns how long the last one still has to settle; 0: U0 is there. */
static uint64_t begin_resize(ShrinkState *state, uint64_t id, const Snapshot *now) {
        uint64_t quiet_usec = now->now_usec - state->settled_usec;

        if (id == state->resize_id)
                return 0;
        state->resize_id = 0;
        if (quiet_usec < SETTLE_USEC)
                return SETTLE_USEC - quiet_usec;
        state->resize_id = id;
        state->first_usable_bytes = state->least_usable_bytes = snapshot_usable_bytes(now);
        state->u0_bytes = snapshot_used_bytes(now);
        state->held_known = now->has & SNAPSHOT_HAS_HELD;
        state->least_held_bytes = now->held_bytes;
        return 0;
}

ShrinkPlan shrink_ask(const ShrinkConfig *config, ShrinkState *state, const ShrinkAsk *ask,
                      const Snapshot *now, const Demand *demand, bool can_reclaim) {
        uint64_t margin = margin_of(config, now, demand);
        uint64_t acceptable = acceptable_of(now, demand, margin);

        shrink_follow_usable(state, now);
        /* The same request again: the same answer, as long as it is in flight. */
        bool again = state->ask.id == ask->id && state->ask.step == ask->step;
        if (again && state->offered) {
                state->lapse_usec = u64_add(now->now_usec, SHRINK_WATCH_USEC);
                return offered(state, acceptable);
        }
        if (again && state->probe.open)
                return (ShrinkPlan){.verdict = SHRINK_WAITING};

        RefusalReason reason = check_ask(state, ask, now);
        if (reason != REFUSAL_NONE)
                return refuse(state, reason, acceptable, u64_sub(state->held_until_usec, now->now_usec));
        uint64_t wait_usec = begin_resize(state, ask->id, now);
        if (wait_usec > 0)
                return refuse(state, REFUSAL_UNSETTLED, acceptable, wait_usec);

        shrink_close_step(state);
        if (shrink_probe_is_bad(state, now))
                return refuse_hot(config, state, now, acceptable);
        state->ask = *ask;
        state->lapse_usec = ask->deadline_usec;
        state->at_ask = *now;
        reason = check_room(state, now, demand, margin);
        if (reason != REFUSAL_NONE)
                return refuse(state, reason, acceptable, u64_min(ADVICE_USEC, config->hold_usec));

        state->open = true;
        uint64_t bytes = offerable(state, now, margin);
        /* Without memory.reclaim a part is better than nothing; with it, the rest is made free first. */
        if (bytes == ask->bytes || (!can_reclaim && bytes >= ask->bytes / 2 && bytes > 0))
                return offer(state, now, bytes, acceptable);
        if (!can_reclaim)
                return refuse_and_hold(state, REFUSAL_NOT_FREED, now, acceptable, config->hold_usec);

        shrink_probe_begin(state, now);
        state->reclaim_bytes = u64_sub(u64_add(ask->bytes, margin), now->free_bytes);
        return (ShrinkPlan){
                .verdict = SHRINK_RECLAIM,
                .reclaim_bytes = state->reclaim_bytes,
                .acceptable_bytes = acceptable,
        };
}

bool shrink_has_freed(const ShrinkState *state, const Snapshot *now, uint64_t free_before_bytes) {
        return u64_sub(now->free_bytes, free_before_bytes) >= state->reclaim_bytes;
}

ShrinkPlan shrink_freed(const ShrinkConfig *config, ShrinkState *state, const Snapshot *now,
                        const Demand *demand, uint64_t free_before_bytes) {
        uint64_t margin = margin_of(config, now, demand), freed = u64_sub(now->free_bytes, free_before_bytes);
        uint64_t acceptable = acceptable_of(now, demand, margin);

        shrink_follow_usable(state, now);
        if (!state->open || state->offered || now->now_usec >= state->ask.deadline_usec)
                return refuse(state, REFUSAL_EXPIRED, acceptable, 0);

        RefusalReason reason = check_room(state, now, demand, margin);
        if (reason != REFUSAL_NONE)
                return refuse(state, reason, acceptable, u64_min(ADVICE_USEC, config->hold_usec));

        /* memory.reclaim is the oracle (S3): half of what was asked is the least that says that there is more. */
        uint64_t bytes = offerable(state, now, margin);
        bool in_vain = freed < state->reclaim_bytes / 2;
        if (bytes == 0 || (in_vain && bytes < state->ask.bytes))
                return refuse_and_hold(state, REFUSAL_NOT_FREED, now, acceptable, config->hold_usec);

        shrink_probe_watch(state, now, freed);
        return (ShrinkPlan){.verdict = SHRINK_WAITING};
}

ShrinkPlan shrink_answer(const ShrinkConfig *config, ShrinkState *state, const Snapshot *now,
                         const Demand *demand) {
        uint64_t margin = margin_of(config, now, demand), freed = state->probe.freed_bytes;
        uint64_t acceptable = acceptable_of(now, demand, margin);
        ShrinkPlan plan;

        if (shrink_probe_is_bad(state, now))
                return refuse_hot(config, state, now, acceptable);
        state->probe.open = false;
        state->probe.n_bad = 0;

        RefusalReason reason = check_room(state, now, demand, margin);
        uint64_t bytes = offerable(state, now, margin);
        if (reason != REFUSAL_NONE)
                plan = refuse(state, reason, acceptable, u64_min(ADVICE_USEC, config->hold_usec));
        else if (bytes == 0) /* taken by the workload, and not read back: it has grown */
                plan = refuse(state, REFUSAL_NOT_FREED, acceptable, u64_min(ADVICE_USEC, config->hold_usec));
        else
                plan = offer(state, now, bytes, acceptable);
        plan.freed_bytes = freed;
        return plan;
}

RefusalReason shrink_check_range(const ShrinkConfig *config, ShrinkState *state, uint64_t id, uint64_t bytes,
                                 const Snapshot *now, const Demand *demand) {
        uint64_t margin = margin_of(config, now, demand);

        shrink_follow_usable(state, now);
        if (now->total_bytes == 0)
                return REFUSAL_UNSUPPORTED;
        if (now->now_usec < state->held_until_usec)
                return REFUSAL_HELD;
        /* In the middle of another conversation, or of the reclaim of its own. */
        if (state->open && (state->ask.id != id || !state->offered))
                return REFUSAL_UNSETTLED;
        if (!state->open && now->now_usec - state->settled_usec < SETTLE_USEC)
                return REFUSAL_UNSETTLED;
        if (state->open && shrink_workload_grew(state, now, bytes))
                return REFUSAL_PRESSURE;
        return check_bytes(bytes, now, demand, margin);
}

void shrink_range_failed(ShrinkState *state, uint64_t id) {
        if (state->open && state->offered && state->ask.id == id)
                shrink_close_resize(state);
}

void shrink_reset(ShrinkState *state) {
        uint64_t held_until_usec = state->held_until_usec, settled_usec = state->settled_usec;
        uint64_t last_usable_bytes = state->last_usable_bytes;
        unsigned n_bad = state->probe.n_bad;

        /* What the guest has learnt about itself does not go with the session. */
        *state = (ShrinkState){
                .held_until_usec = held_until_usec,
                .settled_usec = settled_usec,
                .last_usable_bytes = last_usable_bytes,
                .probe = {.n_bad = n_bad},
        };
}
