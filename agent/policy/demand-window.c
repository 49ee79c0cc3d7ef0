/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Differences of the kernel's counters over a span that ends now. Counters are read from the tier WATCH on, so
 * samples may lack them: a difference is taken between readings that have them, and not over a gap.
 *
 * A ring of readings 200 ms apart rather than smoothed rates: the conditions are worded over 1, 3 and 10 s (so
 * they were measured), and one burst must leave a window as sharply as it came in.
 */

#include "agent/policy/demand-internal.h"

#include <stddef.h>

#include "common/units.h"

/* 200 ms, less a timer's lateness. */
#define MARK_INTERVAL_USEC (190 * USEC_PER_MSEC)

static DemandMark mark_of(const DemandState *state, const Snapshot *s) {
        return (DemandMark){
                .at_usec = s->now_usec,
                .pgscan = u64_add(s->pgscan_kswapd, s->pgscan_direct),
                .allocstall = s->allocstall,
                .psi_io_some_usec = s->psi_io_some_usec,
                .root = demand_flows(s),
                .net = state->net,
        };
}

/* The mark before which i younger ones were made. */
static const DemandMark *mark_at(const DemandState *state, unsigned i) {
        return &state->marks[(state->next_mark + DEMAND_MARKS_MAX - 1 - i) % DEMAND_MARKS_MAX];
}

static void push_mark(DemandState *state, const Snapshot *now) {
        if (state->n_marks > 0 && now->now_usec - mark_at(state, 0)->at_usec < MARK_INTERVAL_USEC)
                return;

        state->marks[state->next_mark] = mark_of(state, now);
        state->next_mark = (state->next_mark + 1) % DEMAND_MARKS_MAX;
        if (state->n_marks < DEMAND_MARKS_MAX)
                state->n_marks++;
}

static uint64_t difference(const DemandFlows *from, const DemandFlows *to, DemandFlow flow) {
        return u64_sub(to->pages[flow], from->pages[flow]);
}

static DemandWindow window(const DemandState *state, const Snapshot *now, uint64_t span_usec) {
        const DemandMark *from = NULL;

        /* The youngest mark that is old enough; where history is shorter, the oldest there is. */
        for (unsigned i = 0; i < state->n_marks; i++) {
                uint64_t age = now->now_usec - mark_at(state, i)->at_usec;

                /* Counters are not read when all is calm. Over a gap a difference is no rate of now. */
                if (age > 2 * span_usec)
                        break;
                from = mark_at(state, i);
                if (age >= span_usec)
                        break;
        }
        if (!from || from->at_usec == now->now_usec)
                return (DemandWindow){};

        DemandMark to = mark_of(state, now);
        uint64_t page = u64_clamp(now->page_size_bytes, 4 * KIB, MIB);
        uint64_t refault = difference(&from->net, &to.net, DEMAND_REFAULT);
        return (DemandWindow){
                .span_usec = now->now_usec - from->at_usec,
                .pgscan = u64_sub(to.pgscan, from->pgscan),
                .allocstall = u64_sub(to.allocstall, from->allocstall),
                .psi_io_some_usec = u64_sub(to.psi_io_some_usec, from->psi_io_some_usec),
                .root_refault_bytes = u64_mul(difference(&from->root, &to.root, DEMAND_REFAULT), page),
                .root_pswpout = difference(&from->root, &to.root, DEMAND_PSWPOUT),
                .refault_bytes = u64_mul(refault, page),
                /* Each is counted as a refault first; kernels do not say of every cgroup how many there were. */
                .activate_bytes =
                        u64_mul(u64_min(difference(&from->net, &to.net, DEMAND_ACTIVATE), refault), page),
                .pswpin = difference(&from->net, &to.net, DEMAND_PSWPIN),
                .pswpout = difference(&from->net, &to.net, DEMAND_PSWPOUT),
        };
}

/* What containers do is not known yet: no condition is to stand on it. */
static void forget_flows(DemandWindow *w) {
        w->refault_bytes = w->activate_bytes = w->pswpin = w->pswpout = 0;
}

void demand_track_counters(DemandState *state, const Snapshot *sample, DemandView *view) {
        const Snapshot *now = &view->now, *last = &state->last;

        view->triggered = now->psi_triggered || state->trigger_pending;
        state->trigger_pending = view->triggered;
        if (!(sample->has & SNAPSHOT_HAS_VMSTAT))
                return;

        uint64_t swapped_out = state->net.pages[DEMAND_PSWPOUT];
        view->second = window(state, now, USEC_PER_SEC);
        view->three = window(state, now, 3 * USEC_PER_SEC);
        bool known = demand_track_net(state, sample, view);

        if (last->has & SNAPSHOT_HAS_VMSTAT) {
                view->oom_kills = u64_sub(now->oom_kill, last->oom_kill);
                view->swapped_out = state->net.pages[DEMAND_PSWPOUT] > swapped_out;
        }
        view->second = window(state, now, USEC_PER_SEC);
        view->three = window(state, now, 3 * USEC_PER_SEC);
        view->ten = window(state, now, 10 * USEC_PER_SEC);
        if (!known) {
                forget_flows(&view->second);
                forget_flows(&view->three);
                forget_flows(&view->ten);
        } else
                state->trigger_pending = false;
        push_mark(state, now);
}
