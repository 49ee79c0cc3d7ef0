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

static DemandMark mark_of(const Snapshot *s) {
        return (DemandMark){
                .at_usec = s->now_usec,
                .pgscan = u64_add(s->pgscan_kswapd, s->pgscan_direct),
                .allocstall = s->allocstall,
                .pswpin = s->pswpin,
                .pswpout = s->pswpout,
                .refault = s->workingset_refault,
                .activate = s->workingset_activate,
                .psi_io_some_usec = s->psi_io_some_usec,
        };
}

/* The mark before which i younger ones were made. */
static const DemandMark *mark_at(const DemandState *state, unsigned i) {
        return &state->marks[(state->next_mark + DEMAND_MARKS_MAX - 1 - i) % DEMAND_MARKS_MAX];
}

static void push_mark(DemandState *state, const Snapshot *now) {
        if (state->n_marks > 0 && now->now_usec - mark_at(state, 0)->at_usec < MARK_INTERVAL_USEC)
                return;

        state->marks[state->next_mark] = mark_of(now);
        state->next_mark = (state->next_mark + 1) % DEMAND_MARKS_MAX;
        if (state->n_marks < DEMAND_MARKS_MAX)
                state->n_marks++;
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

        DemandMark to = mark_of(now);
        uint64_t page = u64_clamp(now->page_size_bytes, 4 * KIB, MIB);
        return (DemandWindow){
                .span_usec = now->now_usec - from->at_usec,
                .pgscan = u64_sub(to.pgscan, from->pgscan),
                .allocstall = u64_sub(to.allocstall, from->allocstall),
                .pswpin = u64_sub(to.pswpin, from->pswpin),
                .pswpout = u64_sub(to.pswpout, from->pswpout),
                .refault_bytes = u64_mul(u64_sub(to.refault, from->refault), page),
                .activate_bytes = u64_mul(u64_sub(to.activate, from->activate), page),
                .psi_io_some_usec = u64_sub(to.psi_io_some_usec, from->psi_io_some_usec),
        };
}

void demand_track_counters(DemandState *state, const Snapshot *sample, DemandView *view) {
        const Snapshot *now = &view->now, *last = &state->last;

        view->triggered = now->psi_triggered || state->trigger_pending;
        state->trigger_pending = view->triggered && !(sample->has & SNAPSHOT_HAS_VMSTAT);
        if (!(sample->has & SNAPSHOT_HAS_VMSTAT))
                return;

        if (last->has & SNAPSHOT_HAS_VMSTAT) {
                view->oom_kills = u64_sub(now->oom_kill, last->oom_kill);
                view->swapped_out = now->pswpout > last->pswpout;
        }
        view->second = window(state, now, USEC_PER_SEC);
        view->three = window(state, now, 3 * USEC_PER_SEC);
        view->ten = window(state, now, 10 * USEC_PER_SEC);
        push_mark(state, now);
}
