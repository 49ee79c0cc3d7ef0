/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The start is the last sample *before* the notice: the host plugs right after it has written it, and an
 * agent that was slow to wake would find part of the memory there already and count it as missing.
 *
 * Confirmed is what became usable and not what was plugged: memory that is plugged and offline, or that the
 * balloon keeps, is no gain. usable moves by whole sub-blocks; the workload does not move it.
 *
 * The host ends a wave that is slow, and sends the next one while the rest of it still comes. Memory does not say whose it is:
 * a watch that closed with as much as its own wave's would leave so much unconfirmed for good. So it stays open for a
 * while, for what the waves before lacked; the host knows whose that is.
 */

#include "agent/grow-watch.h"

#include <assert.h>

#include "common/units.h"

/* A host that asks for hours of attention is not waited for: nobody plugs that slowly. */
#define GROW_WATCH_MOST_USEC (600 * USEC_PER_SEC)

/* A wave that is whole waits no longer than this for what others lacked: it may have been there before they began. */
#define GROW_LACKING_USEC (5 * USEC_PER_SEC)

/* A notice that comes later than this was held back by the host's budget: no delay of an actuator. */
#define GROW_ANSWER_USEC (2 * USEC_PER_SEC)

void grow_watch_open(GrowWatch *watch, const MessageGrowNotice *notice, const Snapshot *before,
                     uint64_t now_usec, uint64_t asked_usec) {
        bool answers = asked_usec > 0 && asked_usec <= now_usec && now_usec - asked_usec <= GROW_ANSWER_USEC;
        uint64_t usable, lacking = 0;

        assert(watch);
        assert(notice);
        assert(before);

        usable = snapshot_usable_bytes(before);
        if (watch->open)
                lacking = u64_sub(u64_add(watch->bytes, watch->lacking_bytes),
                                  u64_sub(usable, watch->usable_bytes));
        *watch = (GrowWatch){
                .open = true,
                .id = notice->id,
                .bytes = notice->bytes,
                .lacking_bytes = lacking,
                .deadline_usec = u64_min(notice->deadline_usec, u64_add(now_usec, GROW_WATCH_MOST_USEC)),
                .noticed_usec = now_usec,
                .begun_usec = answers ? asked_usec : now_usec,
                .usable_bytes = usable,
                .psi_some_usec = before->psi_some_usec,
                .told_usable_bytes = usable,
        };
}

GrowStep grow_watch_step(GrowWatch *watch, const Snapshot *now) {
        uint64_t usable, gained;
        bool complete, over, whole;
        GrowStep step = {};

        assert(watch);
        assert(now);

        if (!watch->open || !(now->has & SNAPSHOT_HAS_MEMINFO))
                return step;

        usable = snapshot_usable_bytes(now);
        gained = u64_sub(usable, watch->usable_bytes);
        whole = gained >= watch->bytes;
        complete = gained >= u64_add(watch->bytes, watch->lacking_bytes);
        over = now->now_usec >= watch->deadline_usec;
        if (usable == watch->told_usable_bytes && !over)
                return step;

        step = (GrowStep){
                .confirm = true,
                .first = !watch->moved && usable > watch->usable_bytes,
                .whole = whole,
                .delta_bytes = u64_delta(usable, watch->usable_bytes),
                .latency_usec = u64_sub(now->now_usec, watch->noticed_usec),
                .delay_usec = u64_sub(now->now_usec, watch->begun_usec),
                .stall_usec = u64_sub(now->psi_some_usec, watch->psi_some_usec),
        };
        watch->moved = watch->moved || step.first;
        watch->told_usable_bytes = usable;
        if (whole)
                watch->deadline_usec =
                        u64_min(watch->deadline_usec, u64_add(now->now_usec, GROW_LACKING_USEC));
        watch->open = !complete && !over;
        return step;
}
