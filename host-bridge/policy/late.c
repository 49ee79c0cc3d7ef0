/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A resize has to end although its guest may be slow, or every other need of the VM would wait. What comes afterwards was
 * decided, and asked for, and is in use: without this it was in nobody's record.
 *
 * A guest could claim what it likes, so nothing is amended beyond what the hypervisor had given when the resize was closed, and
 * nothing twice. Each decision is recorded some 64 times at most, and for a minute. Rejected: to keep the resize open
 * meanwhile, and to read the guest's size in its reports, which another resize moves as well.
 */

#include "host-bridge/policy/late.h"

#define WRITE_LEAST_BYTES (2 * MIB)
#define WRITE_SHARE       64U

static uint64_t confirmed_bytes(const Late *late) {
        return i64_magnitude(late->decision.confirmed_bytes);
}

bool late_concerns(const LateList *list, const Resize *resize) {
        const Decision *decision = &resize->decision;
        uint64_t confirmed = i64_magnitude(decision->confirmed_bytes);

        return decision->n_steps > 0 &&
               (resize_reach_bytes(resize) > confirmed || (list->n > 0 && decision->kind == DECISION_GROW));
}

void late_make_room(LateList *list) {
        if (list->n == LATE_MAX)
                late_end(list, list->at[0].until_usec);
}

void late_begin(LateList *list, const Resize *resize, uint64_t now_usec) {
        uint64_t confirmed = i64_magnitude(resize->decision.confirmed_bytes);

        list->at[list->n++] = (Late){
                .decision = resize->decision,
                .step = resize->confirming_step,
                .before_bytes = resize->before_bytes,
                .closed_bytes = confirmed,
                .reach_bytes = u64_max(resize_reach_bytes(resize), confirmed),
                .whole_bytes = resize_whole_bytes(resize),
                .written_bytes = confirmed,
                .until_usec = u64_add(now_usec, LATE_LIFE_USEC),
        };
}

void late_new_step(LateList *list) {
        list->passed_bytes = 0;
}

/* Whether it is worth a record of its own: the last of it, or a good part. */
static bool is_news(const Late *late, uint64_t before, uint64_t now) {
        uint64_t part = u64_max(WRITE_LEAST_BYTES, (late->reach_bytes - late->closed_bytes) / WRITE_SHARE);

        return now == late->reach_bytes || (before < late->whole_bytes && now >= late->whole_bytes) ||
               now - late->written_bytes >= part;
}

static void amend(Late *late, uint64_t bytes, uint64_t now_usec) {
        Decision *decision = &late->decision;
        uint64_t before = confirmed_bytes(late), now = u64_min(bytes, late->reach_bytes);

        if (now <= before || now_usec >= late->until_usec)
                return;
        decision->confirmed_bytes = decision->kind == DECISION_GROW ? u64_delta(now, 0) : u64_delta(0, now);
        decision->late_bytes = now - late->closed_bytes;
        decision->late_usec = now_usec;
        if (decision->first_confirm_usec == 0)
                decision->first_confirm_usec = now_usec;
        if (decision->result == RESULT_TIMEOUT)
                decision->result = RESULT_PARTIAL;
        if (decision->result == RESULT_PARTIAL && now >= late->whole_bytes)
                decision->result = RESULT_DONE;
        late->due = late->due || is_news(late, before, now);
}

void late_take_spare(LateList *list, uint64_t spare_bytes, uint64_t now_usec) {
        uint64_t more = u64_sub(spare_bytes, list->passed_bytes);

        list->passed_bytes = u64_max(list->passed_bytes, spare_bytes);
        for (unsigned i = 0; i < list->n && more > 0; i++) {
                Late *late = &list->at[i];
                uint64_t before = confirmed_bytes(late);

                if (late->decision.kind != DECISION_GROW)
                        continue;
                amend(late, u64_add(before, more), now_usec);
                more -= confirmed_bytes(late) - before;
        }
}

void late_take(LateList *list, uint64_t id, unsigned step, int64_t delta_bytes, uint64_t now_usec) {
        for (unsigned i = 0; i < list->n; i++) {
                Late *late = &list->at[i];
                bool growing = late->decision.kind == DECISION_GROW, forth = growing == (delta_bytes > 0);
                uint64_t bytes = u64_add(late->before_bytes, i64_magnitude(delta_bytes));

                if (late->decision.id != id || !forth || (step != late->step && !(growing && step == 0)))
                        continue;
                amend(late, bytes, now_usec);
                if (growing)
                        late_take_spare(list, u64_sub(bytes, late->reach_bytes), now_usec);
                return;
        }
}

void late_end(LateList *list, uint64_t now_usec) {
        for (unsigned i = 0; i < list->n; i++) {
                Late *late = &list->at[i];

                if (now_usec < late->until_usec)
                        continue;
                late->until_usec = 0;
                late->due = late->due || confirmed_bytes(late) != late->written_bytes;
        }
}

const Late *late_next_due(LateList *list) {
        unsigned n = 0;

        for (unsigned i = 0; i < list->n; i++) {
                Late *late = &list->at[i];

                if (!late->due)
                        continue;
                late->due = false;
                late->fresh_bytes = confirmed_bytes(late) - late->written_bytes;
                late->written_bytes = confirmed_bytes(late);
                return late;
        }
        for (unsigned i = 0; i < list->n; i++)
                if (list->at[i].until_usec > 0)
                        list->at[n++] = list->at[i];
        list->n = n;
        return NULL;
}
