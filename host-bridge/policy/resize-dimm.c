/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a DIMM needs besides: the guest takes all of its blocks offline before it is pulled, and answers for it. To
 * pull first and let the guest's kernel find out was rejected: an ejection cannot be stopped, and one that fails moves
 * movable blocks to a kernel zone, from where no later try gets them out (kernel-qemu.md 4.3).
 *
 * The other way round, a DIMM that was plugged and that the guest never brought online helps nobody and stands in the
 * host's budget: it is asked for offline, which costs nothing where it is so, and pulled. If any of it is online, it stays.
 *
 * A DIMM with one block that the kernel has taken for itself stays until the guest reboots: it is left out for a while, and
 * the next one is asked for.
 */

#include "host-bridge/policy/resize-internal.h"

/* The guest gives up at the deadline that it is told, rolls back, and says so. */
#define ROLLBACK_USEC (2 * USEC_PER_SEC)

ResizeAction resize_prepare(Resize *resize, uint64_t now_usec) {
        resize->prepared = resize->model.dimm[resize->step.device];
        resize->phase = RESIZE_PREPARING;
        resize->asked_usec = now_usec;
        return (ResizeAction){
                .kind = RESIZE_PREPARE,
                .step = resize->step,
                .step_number = resize->step_number,
                .bytes = resize->prepared.size_bytes,
                .offline = resize->prepared,
        };
}

ResizeAction resize_take_back(Resize *resize, uint64_t now_usec) {
        uint64_t there = resize_step_value(resize);

        if (there == 0 || resize->step_confirmed_bytes > 0)
                return resize_finish(resize, resize->pending_result, now_usec);
        resize->step = (PlanStep){
                .actuator = ACTUATOR_DIMM,
                .device = resize->step.device,
                .from_bytes = there,
        };
        return resize_prepare(resize, now_usec);
}

ResizeAction resize_take_prepared(Resize *resize, uint64_t now_usec) {
        if (resize->phase != RESIZE_PREPARING)
                return resize_wait();
        if (!resize->growing)
                return resize_begin_command(resize, now_usec);

        resize->phase = RESIZE_RESTORING;
        resize->restore_rejected = false;
        resize->progress_usec = now_usec;
        resize->step_confirmed_bytes = 0; /* what came online meanwhile is offline by the guest's own word */
        return resize_command(resize, now_usec);
}

static ResizeAction give_up(Resize *resize, DecisionResult result, uint64_t now_usec) {
        if (resize->growing)
                result = resize->pending_result;
        else if (resize->closed_bytes != 0)
                result = RESULT_PARTIAL;
        return resize_finish(resize, result, now_usec);
}

ResizeAction resize_take_unprepared(Resize *resize, const ResizeEvent *event) {
        if (resize->phase != RESIZE_PREPARING)
                return resize_wait();
        resize->prepared = (Dimm){}; /* it is as it was */
        if (resize->growing)
                return give_up(resize, RESULT_REFUSED, event->now_usec);
        resize->decision.refusal = event->tried ? REFUSAL_NOT_FREED : event->reason;
        if (event->tried) { /* another one may go */
                resize->model.dimm[resize->step.device].stuck = true;
                return resize_next_step(resize, event);
        }
        return give_up(resize, RESULT_REFUSED, event->now_usec);
}

uint64_t resize_prepare_deadline_usec(const Resize *resize) {
        return u64_add(resize->asked_usec, u64_add(resize->config.offline_timeout_usec, ROLLBACK_USEC));
}

ResizeAction resize_prepare_tick(Resize *resize, uint64_t now_usec) {
        return now_usec < resize_prepare_deadline_usec(resize) ? resize_wait()
                                                               : give_up(resize, RESULT_TIMEOUT, now_usec);
}
