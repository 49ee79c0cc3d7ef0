/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Reclaim for a step is a probe: what it evicted is offered only when the workload has not asked for it back. Evidence is
 * the larger of refaulted bytes and the rebound of the file LRU: with MGLRU (6.1) the refault counter missed a hot set that
 * was evicted whole and read again whole, and PSI is 0 then too (shrink.md S16, 4.7). Nothing is undone on bad evidence:
 * the cache fills itself. The guest refuses, for longer each time, and has learnt how much of its cache is hot.
 *
 * The wait protects what is used again within it, 1 s. What comes back later, while the step is taken or before the next one
 * is asked, is judged then. virtio-mem drops clean pages in its range whether hot or cold, so up to the bytes taken may come
 * back for that reason alone (S9).
 *
 * Rejected: to wait 10 s per step, as for a probe without a host that waits. A resize of 512 MiB would take 80 s and the
 * host's memory be wanted by then; a hot set that is lost by one step is at most that step.
 */

#include "agent/policy/shrink-internal.h"

/* 1.1 times the period of re-use that is to be protected (4.7: cold set found to within a step). */
#define WAIT_USEC (1100 * USEC_PER_MSEC)

/* The answer has to be on its way before the host's deadline. */
#define ANSWER_USEC (100 * USEC_PER_MSEC)

/* Evidence older than this is of another time of the workload. */
#define STALE_USEC (30 * USEC_PER_SEC)

/* A tenth of what was evicted, and more than a log file and per-CPU batching of the counters make. [R] */
#define BACK_LEAST_BYTES (4 * MIB)
#define SWAP_LEAST_BYTES MIB

/* Own reclaim by the root file adds none (S17): what there is, is the workload's. */
#define STALL_USEC (10 * USEC_PER_MSEC)

/* Holds double with each bad probe in a row, up to 16 times. */
#define DOUBLINGS_MAX 4U

static uint64_t file_bytes(const Snapshot *s) {
        return u64_add(s->active_file_bytes, s->inactive_file_bytes);
}

/* Of a counter, what containers at their own limit did not do themselves; both ends have to know of them. */
static uint64_t net_bytes(uint64_t pages, uint64_t contained, const Snapshot *base, const Snapshot *now) {
        bool known = base->has & now->has & SNAPSHOT_HAS_CGROUPS && !now->contained_lost;

        return u64_mul(known ? u64_sub(pages, contained) : pages,
                       u64_clamp(now->page_size_bytes, 4 * KIB, MIB));
}

void shrink_probe_begin(ShrinkState *state, const Snapshot *now) {
        state->probe = (ShrinkProbe){.base = *now, .n_bad = state->probe.n_bad};
}

void shrink_probe_follow(ShrinkState *state, const Snapshot *now) {
        Snapshot *base = &state->probe.base;
        unsigned fresh = now->has & ~base->has;

        /* What the first sample had not read, is compared with the first that has. */
        if (fresh & SNAPSHOT_HAS_VMSTAT) {
                base->workingset_refault = now->workingset_refault;
                base->pswpin = now->pswpin;
        }
        if (fresh & SNAPSHOT_HAS_CGROUPS) {
                base->contained_refault = now->contained_refault;
                base->contained_pswpin = now->contained_pswpin;
        }
        if (fresh & SNAPSHOT_HAS_PSI)
                base->psi_some_usec = now->psi_some_usec;
        base->has |= fresh;
}

void shrink_probe_watch(ShrinkState *state, const Snapshot *now, uint64_t freed_bytes) {
        ShrinkProbe *probe = &state->probe;
        uint64_t latest_usec = u64_sub(state->ask.deadline_usec, ANSWER_USEC);

        probe->open = true;
        probe->freed_bytes = freed_bytes;
        probe->freed_usec = now->now_usec;
        probe->until_usec = u64_min(u64_add(now->now_usec, WAIT_USEC), latest_usec);
        probe->file_bytes = file_bytes(now);
        probe->usable_bytes = snapshot_usable_bytes(now);
}

bool shrink_probe_is_over(const ShrinkState *state, uint64_t now_usec) {
        return state->probe.open && now_usec >= state->probe.until_usec;
}

uint64_t shrink_probe_back_bytes(const ShrinkState *state, const Snapshot *now) {
        const ShrinkProbe *probe = &state->probe;
        const Snapshot *base = &probe->base;
        uint64_t contained = u64_sub(now->contained_refault, base->contained_refault);
        uint64_t refaulted =
                net_bytes(u64_sub(now->workingset_refault, base->workingset_refault), contained, base, now);
        uint64_t rebound = u64_sub(file_bytes(now), probe->file_bytes);
        uint64_t taken = u64_sub(probe->usable_bytes, snapshot_usable_bytes(now));

        if (!(base->has & SNAPSHOT_HAS_VMSTAT))
                refaulted = 0;
        return u64_sub(u64_max(refaulted, rebound),
                       state->ask.balloon ? 0 : u64_min(taken, probe->file_bytes));
}

/* Anon that was swapped out and is wanted at once: a hundredth of the step is enough, each page of it is a stall. */
static bool swaps_in(const ShrinkState *state, const Snapshot *now) {
        const Snapshot *base = &state->probe.base;
        uint64_t contained = u64_sub(now->contained_pswpin, base->contained_pswpin);
        uint64_t in = net_bytes(u64_sub(now->pswpin, base->pswpin), contained, base, now);

        return (base->has & SNAPSHOT_HAS_VMSTAT) &&
               in > u64_max(SWAP_LEAST_BYTES, state->probe.freed_bytes / 100);
}

bool shrink_probe_is_bad(const ShrinkState *state, const Snapshot *now) {
        const ShrinkProbe *probe = &state->probe;
        bool stalled = (probe->base.has & SNAPSHOT_HAS_PSI) &&
                       u64_sub(now->psi_some_usec, probe->base.psi_some_usec) > STALL_USEC;

        if (probe->freed_bytes == 0 || now->now_usec - probe->freed_usec > STALE_USEC)
                return false;
        return shrink_probe_back_bytes(state, now) > u64_max(BACK_LEAST_BYTES, probe->freed_bytes / 10) ||
               swaps_in(state, now) || (probe->open && stalled);
}

uint64_t shrink_probe_hold_usec(const ShrinkConfig *config, ShrinkState *state) {
        unsigned doublings = state->probe.n_bad < DOUBLINGS_MAX ? state->probe.n_bad : DOUBLINGS_MAX;

        state->probe.n_bad++;
        return u64_mul(config->hold_usec, UINT64_C(1) << doublings);
}
