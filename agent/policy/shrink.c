/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the guest gives, and when it stops the host. Rules S1-S8 and S14-S17 of shrink.md; figures [M] from there.
 *
 * The floor is arithmetic, before anything moves: PSI is none (an infeasible shrink drove a guest without swap to 0-3 MiB
 * available with 8-32 ms of PSI, and the next allocation kills). Only free bytes are offered, because taking those costs
 * no stall at all, where a driver that has to reclaim stalls the guest for up to 8 s per 512 MiB.
 * While bytes are in flight the workload is judged by U = usable - available, which a resize moves by 2.7 % of its bytes
 * at most, and never by the fall of MemAvailable, which is the shrink itself.
 *
 * Rejected: letting a refusal hold for every reason. What the arithmetic refuses now may be right in a second; only a
 * veto and a reclaim in vain cost the guest something, so only after these it does not try again at once.
 */

#include "agent/policy/shrink.h"

#include "common/units.h"

/* U0 is taken when the last resize is over this long: too early it gave false vetoes in 4 of 146 trials. */
#define SETTLE_USEC (500 * USEC_PER_MSEC)

/* How late the host's stop may come, beyond the sample that shows the reason (D of S5). */
#define VETO_DELAY_USEC (100 * USEC_PER_MSEC)

/* What a step may cost: offered free bytes cost 0 us of PSI, so anything beyond noise is real. */
#define STALL_USEC (10 * USEC_PER_MSEC)

/* Least change of usable that is worth a confirmation of its own. */
#define MOVED_BYTES (8 * MIB)

/*
 * What is offered is watched for as long as the host may still take it, which is longer than its own patience
 * without progress: 5 s (host-bridge/policy/resize.c).
 */
#define WATCH_USEC (6 * USEC_PER_SEC)

/* What an actuator cannot take anyway: virtio-mem's sub-block, with room for stray balloon pages. */
#define OFFER_UNIT_BYTES (2 * MIB)

/* How long the host had better wait where the guest itself would not insist. */
#define ADVICE_USEC (10 * USEC_PER_SEC)

const char *shrink_evidence_to_string(ShrinkEvidence evidence) {
        static const char *const names[SHRINK_EVIDENCE_MAX] = {
                [SHRINK_EVIDENCE_NONE] = "none",       [SHRINK_EVIDENCE_STALL] = "stall",
                [SHRINK_EVIDENCE_RECLAIM] = "reclaim", [SHRINK_EVIDENCE_GROWTH] = "growth",
                [SHRINK_EVIDENCE_BURST] = "burst",
        };

        return (unsigned) evidence < SHRINK_EVIDENCE_MAX ? names[evidence] : "none";
}

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

static uint64_t distance(uint64_t a, uint64_t b) {
        return a > b ? a - b : b - a;
}

/* U0 and the offer's U have to be exceeded by V and by what the resize itself may have moved (shrink.md section 3). */
static bool exceeds(uint64_t used, uint64_t base, uint64_t in_flight, uint64_t moved) {
        uint64_t veto = u64_max(16 * MIB, u64_percent(in_flight, 3));
        uint64_t own = u64_add(2 * MIB, u64_percent(moved, 3));

        return u64_sub(used, base) > u64_add(veto, own);
}

static bool workload_grew(const ShrinkState *state, const Snapshot *now, uint64_t in_flight) {
        uint64_t moved = distance(snapshot_usable_bytes(now), state->first_usable_bytes);

        return exceeds(snapshot_used_bytes(now), state->u0_bytes, in_flight, moved);
}

static void follow_usable(ShrinkState *state, const Snapshot *now) {
        uint64_t usable = snapshot_usable_bytes(now);

        if (!(now->has & SNAPSHOT_HAS_MEMINFO) || usable == state->last_usable_bytes)
                return;
        state->last_usable_bytes = usable;
        state->settled_usec = now->now_usec;
}

static void close_step(ShrinkState *state) {
        state->open = state->offered = false;
        state->offered_bytes = state->reclaim_bytes = 0;
}

static void close_resize(ShrinkState *state) {
        close_step(state);
        state->resize_id = 0;
}

static ShrinkPlan refuse(ShrinkState *state, RefusalReason reason, uint64_t acceptable, uint64_t hold_usec) {
        close_step(state);
        return (ShrinkPlan){
                .verdict = SHRINK_REFUSED,
                .reason = reason,
                .acceptable_bytes = acceptable,
                .hold_usec = hold_usec,
        };
}

static ShrinkPlan refuse_and_hold(const ShrinkConfig *config, ShrinkState *state, RefusalReason reason,
                                  const Snapshot *now, uint64_t acceptable) {
        close_resize(state);
        state->held_until_usec = u64_add(now->now_usec, config->hold_usec);
        return refuse(state, reason, acceptable, config->hold_usec);
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
        state->reported_usable_bytes = snapshot_usable_bytes(now);
        state->lapse_usec = u64_add(now->now_usec, WATCH_USEC);
        return offered(state, acceptable);
}

/* Free bytes beyond the margin, whole units; all that is asked if there is as much. */
static uint64_t offerable(const ShrinkState *state, const Snapshot *now, uint64_t margin) {
        uint64_t spare = u64_sub(now->free_bytes, margin);

        return spare >= state->ask.bytes ? state->ask.bytes : u64_align_down(spare, OFFER_UNIT_BYTES);
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

/* Whether the guest can do without the bytes. Within a resize, growth since it began counts as pressure. */
static RefusalReason check_room(const ShrinkState *state, const Snapshot *now, const Demand *demand,
                                uint64_t margin) {
        uint64_t left = u64_sub(snapshot_usable_bytes(now), state->ask.bytes);

        if (demand->urgency != URGENCY_NONE || workload_grew(state, now, state->ask.bytes))
                return REFUSAL_PRESSURE;
        if (left < demand->floor_bytes)
                return REFUSAL_FLOOR;
        if (u64_sub(now->available_bytes, state->ask.bytes) < margin)
                return REFUSAL_MARGIN;
        return REFUSAL_NONE;
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
        state->first_usable_bytes = snapshot_usable_bytes(now);
        state->u0_bytes = snapshot_used_bytes(now);
        return 0;
}

ShrinkPlan shrink_ask(const ShrinkConfig *config, ShrinkState *state, const ShrinkAsk *ask,
                      const Snapshot *now, const Demand *demand, bool can_reclaim) {
        uint64_t margin = margin_of(config, now, demand);
        uint64_t acceptable = acceptable_of(now, demand, margin);

        follow_usable(state, now);
        /* The same request again: the same answer, as long as it is in flight. */
        if (state->offered && state->ask.id == ask->id && state->ask.step == ask->step) {
                state->lapse_usec = u64_add(now->now_usec, WATCH_USEC);
                return offered(state, acceptable);
        }

        RefusalReason reason = check_ask(state, ask, now);
        if (reason != REFUSAL_NONE)
                return refuse(state, reason, acceptable, u64_sub(state->held_until_usec, now->now_usec));
        uint64_t wait_usec = begin_resize(state, ask->id, now);
        if (wait_usec > 0)
                return refuse(state, REFUSAL_UNSETTLED, acceptable, wait_usec);

        close_step(state);
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
                return refuse_and_hold(config, state, REFUSAL_NOT_FREED, now, acceptable);

        state->reclaim_bytes = u64_sub(u64_add(ask->bytes, margin), now->free_bytes);
        return (ShrinkPlan){
                .verdict = SHRINK_RECLAIM,
                .reclaim_bytes = state->reclaim_bytes,
                .acceptable_bytes = acceptable,
        };
}

ShrinkPlan shrink_offer(const ShrinkConfig *config, ShrinkState *state, const Snapshot *now,
                        const Demand *demand, uint64_t free_before_bytes) {
        uint64_t margin = margin_of(config, now, demand);
        uint64_t acceptable = acceptable_of(now, demand, margin);

        follow_usable(state, now);
        if (!state->open || state->offered || now->now_usec >= state->ask.deadline_usec)
                return refuse(state, REFUSAL_EXPIRED, acceptable, 0);

        RefusalReason reason = check_room(state, now, demand, margin);
        if (reason != REFUSAL_NONE)
                return refuse(state, reason, acceptable, u64_min(ADVICE_USEC, config->hold_usec));

        /* memory.reclaim is the oracle (S3): half of what was asked is the least that says that there is more. */
        uint64_t bytes = offerable(state, now, margin);
        bool in_vain = u64_sub(now->free_bytes, free_before_bytes) < state->reclaim_bytes / 2;
        if (bytes == 0 || (in_vain && bytes < state->ask.bytes))
                return refuse_and_hold(config, state, REFUSAL_NOT_FREED, now, acceptable);
        return offer(state, now, bytes, acceptable);
}

/*
 * Counters are compared with those of the offer. Where that sample had not read them, with the first that does: what they
 * did before is not the step's doing.
 */
static void rebase(ShrinkState *state, const Snapshot *now) {
        Snapshot *base = &state->at_offer;
        unsigned fresh = now->has & ~base->has;

        if (fresh & SNAPSHOT_HAS_PSI)
                base->psi_some_usec = now->psi_some_usec;
        if (fresh & SNAPSHOT_HAS_VMSTAT) {
                base->allocstall = now->allocstall;
                base->pgscan_direct = now->pgscan_direct;
        }
        base->has |= fresh;
}

/* Whether the host is to be stopped, and by what. */
static ShrinkEvidence must_stop(const ShrinkState *state, const Snapshot *now, uint64_t *ret_amount) {
        const Snapshot *base = &state->at_offer;
        uint64_t used = snapshot_used_bytes(now), used_at_offer = snapshot_used_bytes(base);

        *ret_amount = u64_sub(now->psi_some_usec, base->psi_some_usec);
        if ((now->has & SNAPSHOT_HAS_PSI) && *ret_amount > STALL_USEC)
                return SHRINK_EVIDENCE_STALL;
        *ret_amount = u64_add(u64_sub(now->allocstall, base->allocstall),
                              u64_sub(now->pgscan_direct, base->pgscan_direct));
        if ((now->has & SNAPSHOT_HAS_VMSTAT) && *ret_amount > 0)
                return SHRINK_EVIDENCE_RECLAIM;
        if (!(now->has & SNAPSHOT_HAS_MEMINFO))
                return SHRINK_EVIDENCE_NONE;
        *ret_amount = u64_sub(used, state->u0_bytes);
        if (workload_grew(state, now, state->offered_bytes))
                return SHRINK_EVIDENCE_GROWTH;
        /* Since the offer as well: in a long resize the allowance for its own bytes grows, and must not hide a burst. */
        *ret_amount = u64_sub(used, used_at_offer);
        return exceeds(used, used_at_offer, state->offered_bytes, state->offered_bytes)
                       ? SHRINK_EVIDENCE_BURST
                       : SHRINK_EVIDENCE_NONE;
}

/* Sets the verdict that the bytes speak: the step is done, has moved, or nothing. */
static ShrinkVerdict judge_bytes(ShrinkState *state, const Snapshot *now) {
        uint64_t usable = snapshot_usable_bytes(now);
        uint64_t taken = u64_sub(snapshot_usable_bytes(&state->at_offer), usable);

        /* Balloon pages come and go by a few: less than the smallest unit is nothing. */
        if (u64_add(taken, OFFER_UNIT_BYTES) > state->offered_bytes)
                return SHRINK_CONFIRMED;
        if (distance(usable, state->reported_usable_bytes) < MOVED_BYTES)
                return SHRINK_WAITING;
        state->reported_usable_bytes = usable;
        state->lapse_usec = u64_add(now->now_usec, WATCH_USEC);
        return SHRINK_MOVED;
}

/* The offered step on one sample. */
static void watch_offer(const ShrinkConfig *config, ShrinkState *state, const Snapshot *now,
                        ShrinkPlan *plan) {
        rebase(state, now);
        plan->latency_usec = u64_sub(now->now_usec, state->at_offer.now_usec);
        plan->stall_usec = u64_sub(now->psi_some_usec, state->at_offer.psi_some_usec);
        plan->evidence = must_stop(state, now, &plan->evidence_amount);
        if (plan->evidence != SHRINK_EVIDENCE_NONE) {
                plan->verdict = SHRINK_VETO;
                plan->reason = REFUSAL_PRESSURE;
                plan->hold_usec = config->hold_usec;
                state->held_until_usec = u64_add(now->now_usec, config->hold_usec);
                close_resize(state);
                return;
        }
        if (!(now->has & SNAPSHOT_HAS_MEMINFO))
                return;
        plan->verdict = judge_bytes(state, now);
        if (plan->verdict != SHRINK_CONFIRMED)
                return;
        if (state->ask.last)
                close_resize(state);
        else
                close_step(state);
}

ShrinkPlan shrink_watch(const ShrinkConfig *config, ShrinkState *state, const Snapshot *now) {
        ShrinkPlan plan = {.verdict = SHRINK_IDLE};

        follow_usable(state, now);
        if (!state->open)
                return plan;

        plan.verdict = SHRINK_WAITING;
        plan.delta_bytes = u64_delta(snapshot_usable_bytes(now), snapshot_usable_bytes(&state->at_ask));
        if (state->offered)
                watch_offer(config, state, now, &plan);
        if (state->open && now->now_usec >= state->lapse_usec) {
                plan.verdict = SHRINK_LAPSED;
                close_step(state);
        }
        return plan;
}

void shrink_reset(ShrinkState *state) {
        uint64_t held_until_usec = state->held_until_usec, settled_usec = state->settled_usec;
        uint64_t last_usable_bytes = state->last_usable_bytes;

        /* What the guest has learnt about itself does not go with the session. */
        *state = (ShrinkState){
                .held_until_usec = held_until_usec,
                .settled_usec = settled_usec,
                .last_usable_bytes = last_usable_bytes,
        };
}
