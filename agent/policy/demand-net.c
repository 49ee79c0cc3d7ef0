/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The root's counters, net of containers (estimator.md rule 6). A cgroup that reclaims at its own memory.max or
 * memory.high refaults, activates and swaps in the root's counters too, and no size of the VM helps it. It leaves
 * the global scan alone; beside a stream outside there is a scan, and only the cgroup's own counters tell (measured: net
 * refaults of 27 pages where the root has 60 994).
 *
 * A walk over the cgroups is dear, so it is asked for when it can make a difference, once a second: with a scan, and
 * refaults or swap-out beside it. Where there are cgroups with a limit, the flows stand still between two such walks: what is
 * containers' of the last 200 ms is not known, and one that has just begun to thrash was nothing to the last walk. It
 * makes the conditions up to a second slower there (hot thrash of windows of 3 s).
 *
 * Where the guest is short (A < R) it is not walked. The need is plain then, opening a folder may itself have to wait for
 * memory, and an ask too many is the better mistake.
 *
 * A caller that can not walk is taken for a guest without containers: rates are gross, as they were.
 */

#include "agent/policy/demand-internal.h"

#include "common/units.h"

#define WALK_INTERVAL_USEC (1 * USEC_PER_SEC)
/* A walk speaks for this long: the interval, one sample of 200 ms more, and timers that come late. */
#define WALK_FRESH_USEC (1500 * USEC_PER_MSEC)
/* Counters of two walks further apart say nothing about the seconds that conditions are about. */
#define WALK_GAP_USEC (2500 * USEC_PER_MSEC)

/* Rule 6 (b). */
#define REFAULT_BYTES_PER_SEC MIB

DemandFlows demand_flows(const Snapshot *s) {
        return (DemandFlows){
                .pages =
                        {
                                [DEMAND_REFAULT] = s->workingset_refault,
                                [DEMAND_ACTIVATE] = s->workingset_activate,
                                [DEMAND_PSWPIN] = s->pswpin,
                                [DEMAND_PSWPOUT] = s->pswpout,
                        },
        };
}

static DemandFlows contained_of(const Snapshot *s) {
        return (DemandFlows){
                .pages =
                        {
                                [DEMAND_REFAULT] = s->contained_refault,
                                [DEMAND_ACTIVATE] = s->contained_activate,
                                [DEMAND_PSWPIN] = s->contained_pswpin,
                                [DEMAND_PSWPOUT] = s->contained_pswpout,
                        },
        };
}

static void exclude_all_since(DemandState *state, const DemandFlows *root, const DemandFlows *net) {
        for (unsigned i = 0; i < DEMAND_FLOW_MAX; i++)
                state->excluded.pages[i] = u64_sub(root->pages[i], net->pages[i]);
}

/* What was counted net before this walk may have been a container's: none of it counts. */
static void forget_before(DemandState *state, const DemandFlows *root) {
        exclude_all_since(state, root, &state->net);
        for (unsigned i = 0; i < DEMAND_MARKS_MAX; i++)
                state->marks[i].net = state->net;
}

static void settle(DemandState *state, const DemandFlows *root) {
        for (unsigned i = 0; i < DEMAND_FLOW_MAX; i++)
                state->net.pages[i] = u64_sub(root->pages[i], state->excluded.pages[i]);
}

static void take_walk(DemandState *state, const Snapshot *now, const DemandFlows *root) {
        DemandFlows contained = contained_of(now);
        bool gap = state->walk_usec == 0 || now->now_usec - state->walk_usec > WALK_GAP_USEC;

        if (gap && now->n_contained > 0)
                forget_before(state, root);
        else if (!gap && now->contained_lost)
                exclude_all_since(state, root, &state->net_at_walk);
        else if (!gap)
                for (unsigned i = 0; i < DEMAND_FLOW_MAX; i++)
                        state->excluded.pages[i] =
                                u64_add(state->excluded.pages[i],
                                        u64_sub(contained.pages[i], state->contained.pages[i]));
        settle(state, root);
        state->contained = contained;
        state->n_contained = now->n_contained;
        state->n_limited = now->n_limited;
        state->net_at_walk = state->net;
        state->walk_usec = now->now_usec;
}

static bool makes_a_difference(const DemandView *view) {
        const DemandWindow *w = &view->second;

        /* The scan of 3 s ago still counts for G5. */
        if (w->span_usec == 0 || view->three.pgscan == 0 || view->available < view->reserve)
                return false;
        return w->root_pswpout > 0 ||
               u64_scale(w->root_refault_bytes, USEC_PER_SEC, w->span_usec) > REFAULT_BYTES_PER_SEC;
}

bool demand_track_net(DemandState *state, const Snapshot *sample, DemandView *view) {
        const Snapshot *now = &view->now;
        DemandFlows root = demand_flows(now);
        bool wanted = makes_a_difference(view);

        if (sample->has & SNAPSHOT_HAS_CGROUPS) {
                take_walk(state, now, &root);
                state->walks_fail = false;
        } else if (state->walk_due) {
                state->walks_fail = true;
                state->walk_usec = now->now_usec;
        }

        uint64_t age = state->walk_usec == 0 ? USEC_INFINITY : now->now_usec - state->walk_usec;
        bool fresh = age < WALK_FRESH_USEC;
        /* By the time of the next sample, which is 50 ms or more away while there is a scan. */
        view->walk_wanted = wanted && u64_add(age, 50 * USEC_PER_MSEC) >= WALK_INTERVAL_USEC;

        if (state->walks_fail || (fresh && state->n_limited == 0)) {
                settle(state, &root);
                return true;
        }
        if (wanted)
                return fresh;
        if (!fresh || state->n_contained == 0 || view->available < view->reserve)
                settle(state, &root);
        return true;
}
