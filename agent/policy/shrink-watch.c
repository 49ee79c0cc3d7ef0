/* SPDX-License-Identifier: Apache-2.0 */

/*
 * An offered step on every sample: what has been taken, and whether the workload objects. While bytes are in flight it is
 * judged by U = usable - available, which a resize moves by 2.7 % of its bytes at most, and never by the fall of
 * MemAvailable, which is the shrink itself.
 *
 * Nor is all growth of U the workload's. Free page reporting takes up to 32 blocks of 2 or 4 MiB off the free lists at a time, two
 * seconds after they became free, and puts them back when the host has dropped them (page_reporting_cycle(), Linux 6.1). U is up to
 * 128 MiB higher meanwhile, for 1 to 11 ms with four busy loops beside QEMU (2 cores, TCG), and nobody has taken anything. A sample that
 * fell into that was a false veto, "growth of 98 MiB in 672 ms". So growth that nothing the kernel accounts for has a part in counts
 * only when it lasts; programs, tmpfs, slab, page tables and stacks are vetoed for at once.
 *
 * Rejected: to have every veto wait for a second sample. It would cost the guests with free page reporting, which are those
 * that do as they were told, 20 ms of the 100 that there are for a real one; and one pass reports many such lots in a row.
 *
 * Rejected: to judge a step when it is over. A load that grows at 300 MiB/s is through a margin of 64 MiB in 210 ms, of
 * which the host may need 100 to stop.
 */

#include "agent/policy/shrink-internal.h"

/* What a step may cost: offered free bytes cost 0 us of PSI, so anything beyond noise is real. */
#define STALL_USEC (10 * USEC_PER_MSEC)

/* What nobody holds for so long is gone: the most that a margin of 128 MiB leaves for a veto (shrink.md section 2). */
#define LOOSE_USEC (400 * USEC_PER_MSEC)

/* Least change of usable that is worth a confirmation of its own. */
#define MOVED_BYTES (8 * MIB)

static uint64_t distance(uint64_t a, uint64_t b) {
        return a > b ? a - b : b - a;
}

void shrink_follow_usable(ShrinkState *state, const Snapshot *now) {
        uint64_t usable = snapshot_usable_bytes(now);

        if (now->has & SNAPSHOT_HAS_HELD)
                state->least_held_bytes = u64_min(state->least_held_bytes, now->held_bytes);
        if (!(now->has & SNAPSHOT_HAS_MEMINFO) || usable == state->last_usable_bytes)
                return;
        state->last_usable_bytes = usable;
        state->settled_usec = now->now_usec;
        state->least_usable_bytes = u64_min(state->least_usable_bytes, usable);
}

uint64_t shrink_workload_bytes(const ShrinkState *state, const Snapshot *now) {
        uint64_t used =
                u64_sub(u64_min(snapshot_usable_bytes(now), state->least_usable_bytes), now->available_bytes);
        uint64_t most = u64_max(state->u0_bytes, state->used_at_offer_bytes);

        /* What is missing while a block goes offline is that block's, as far as it can be: the rest is the workload's. */
        return u64_max(u64_sub(used, now->offlining_bytes), u64_min(used, most));
}

/* U0 and the offer's U have to be exceeded by V and by what the resize itself may have moved (shrink.md section 3). */
static bool exceeds(uint64_t used, uint64_t base, uint64_t in_flight, uint64_t moved) {
        uint64_t veto = u64_max(16 * MIB, u64_percent(in_flight, 3));
        uint64_t own = u64_add(2 * MIB, u64_percent(moved, 3));

        return u64_sub(used, base) > u64_add(veto, own);
}

/*
 * used, less what of its growth over base nobody has: it is not free, and nothing that the kernel accounts for has grown by
 * it.
 */
static uint64_t had(uint64_t used, uint64_t base, const Snapshot *now, bool held_known, uint64_t held_base) {
        uint64_t grown = u64_sub(used, base);

        if (!held_known || !(now->has & SNAPSHOT_HAS_HELD))
                return used;
        return used - u64_sub(grown, u64_sub(now->held_bytes, held_base));
}

static bool exceeds_u0(const ShrinkState *state, const Snapshot *now, uint64_t used, uint64_t in_flight) {
        uint64_t moved = distance(snapshot_usable_bytes(now), state->first_usable_bytes);

        return exceeds(used, state->u0_bytes, in_flight, moved);
}

bool shrink_workload_grew(const ShrinkState *state, const Snapshot *now, uint64_t in_flight) {
        uint64_t used = had(shrink_workload_bytes(state, now), state->u0_bytes, now, state->held_known,
                            state->least_held_bytes);

        return exceeds_u0(state, now, used, in_flight);
}

/* Since the offer as well: in a long resize the allowance for its own bytes grows, and must not hide a burst. */
static bool exceeds_offer(const ShrinkState *state, uint64_t used) {
        return exceeds(used, state->used_at_offer_bytes, state->offered_bytes, state->offered_bytes);
}

static bool workload_burst(const ShrinkState *state, const Snapshot *now) {
        const Snapshot *base = &state->at_offer;

        return exceeds_offer(state, had(shrink_workload_bytes(state, now), state->used_at_offer_bytes, now,
                                        base->has & SNAPSHOT_HAS_HELD, base->held_bytes));
}

/* Whether U is too high, whoever has it, and has been for too long. */
static bool stays_loose(ShrinkState *state, const Snapshot *now) {
        uint64_t used = shrink_workload_bytes(state, now);

        if (!exceeds_u0(state, now, used, state->offered_bytes) && !exceeds_offer(state, used))
                state->loose_usec = 0;
        else if (state->loose_usec == 0)
                state->loose_usec = now->now_usec;
        return state->loose_usec > 0 && now->now_usec - state->loose_usec >= LOOSE_USEC;
}

void shrink_close_step(ShrinkState *state) {
        state->open = state->offered = state->probe.open = false;
        state->offered_bytes = state->reclaim_bytes = 0;
}

void shrink_close_resize(ShrinkState *state) {
        shrink_close_step(state);
        state->resize_id = 0;
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
static ShrinkEvidence must_stop(ShrinkState *state, const Snapshot *now, uint64_t *ret_amount) {
        const Snapshot *base = &state->at_offer;
        uint64_t used = shrink_workload_bytes(state, now);

        *ret_amount = u64_sub(now->psi_some_usec, base->psi_some_usec);
        if ((now->has & SNAPSHOT_HAS_PSI) && *ret_amount > STALL_USEC)
                return SHRINK_EVIDENCE_STALL;
        *ret_amount = u64_add(u64_sub(now->allocstall, base->allocstall),
                              u64_sub(now->pgscan_direct, base->pgscan_direct));
        if ((now->has & SNAPSHOT_HAS_VMSTAT) && *ret_amount > 0)
                return SHRINK_EVIDENCE_RECLAIM;
        if (!(now->has & SNAPSHOT_HAS_MEMINFO))
                return SHRINK_EVIDENCE_NONE;

        bool stays = stays_loose(state, now);
        *ret_amount = u64_sub(used, state->u0_bytes);
        if (shrink_workload_grew(state, now, state->offered_bytes) ||
            (stays && exceeds_u0(state, now, used, state->offered_bytes)))
                return SHRINK_EVIDENCE_GROWTH;
        *ret_amount = u64_sub(used, state->used_at_offer_bytes);
        return stays || workload_burst(state, now) ? SHRINK_EVIDENCE_BURST : SHRINK_EVIDENCE_NONE;
}

/* Sets the verdict that the bytes speak: the step is done, has moved, or nothing. */
static ShrinkVerdict judge_bytes(ShrinkState *state, const Snapshot *now) {
        uint64_t usable = snapshot_usable_bytes(now);
        uint64_t taken = u64_sub(state->usable_at_offer_bytes, usable);
        bool settled = state->settled_usec < now->now_usec;

        /*
         * Balloon pages come and go by a few: less than the smallest unit is nothing, if there is no more to come. Confirmed
         * as it came by, the last of a step would be in nobody's record.
         */
        if (taken >= state->offered_bytes ||
            (settled && u64_add(taken, SHRINK_UNIT_BYTES) > state->offered_bytes))
                return SHRINK_CONFIRMED;
        if (distance(usable, state->reported_usable_bytes) < MOVED_BYTES)
                return SHRINK_WAITING;
        state->reported_usable_bytes = usable;
        state->lapse_usec = u64_add(now->now_usec, SHRINK_WATCH_USEC);
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
                shrink_close_resize(state);
                return;
        }
        if (!(now->has & SNAPSHOT_HAS_MEMINFO))
                return;
        plan->verdict = judge_bytes(state, now);
        if (plan->verdict != SHRINK_CONFIRMED)
                return;
        if (state->ask.last)
                shrink_close_resize(state);
        else
                shrink_close_step(state);
}

ShrinkPlan shrink_watch(const ShrinkConfig *config, ShrinkState *state, const Snapshot *now,
                        const Demand *demand) {
        ShrinkPlan plan = {.verdict = SHRINK_IDLE};

        shrink_follow_usable(state, now);
        if (!state->open)
                return plan;
        shrink_probe_follow(state, now);
        /* A guest in need is not kept waiting for the end of the watch. */
        if (shrink_probe_is_over(state, now->now_usec) ||
            (state->probe.open && demand->urgency != URGENCY_NONE))
                return shrink_answer(config, state, now, demand);

        plan.verdict = SHRINK_WAITING;
        plan.delta_bytes = u64_delta(snapshot_usable_bytes(now), snapshot_usable_bytes(&state->at_ask));
        if (state->offered)
                watch_offer(config, state, now, &plan);
        if (state->open && now->now_usec >= state->lapse_usec) {
                plan.verdict = SHRINK_LAPSED;
                shrink_close_step(state);
        }
        return plan;
}
