/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How a step begins: planned from the hypervisor's latest word, bounded by what has been asked already (so
 * that no rounding adds up beyond the grant) and once more by policy, then commanded, or for a shrink asked
 * of the guest first and cut to what it offers.
 */

#include "host-bridge/policy/resize-internal.h"

/* A guest settles for 0.5 s after its memory has moved (shrink.md S7): asked too early, it is asked again. */
#define REASK_USEC (600 * USEC_PER_MSEC)
#define REASKS_MAX 3U

/* No step begins after this: what is still wanted is decided anew, with fresh figures. */
#define RESIZE_LIFETIME_USEC (10 * 60 * USEC_PER_SEC)

/* What may still be asked for: of the grant, and within the policy's bounds whatever the grant said. */
static uint64_t remaining_bytes(const Resize *resize) {
        const Decision *decision = &resize->decision;
        uint64_t size = memory_model_size_bytes(&resize->model), room = UINT64_MAX;

        if (!resize->growing)
                room = u64_sub(size, decision->inputs.min_bytes);
        else if (decision->inputs.max_bytes > 0)
                room = u64_sub(decision->inputs.max_bytes, size);
        return u64_min(u64_sub(decision->wanted_bytes, decision->requested_bytes), room);
}

bool resize_asked_all(const Resize *resize) {
        const Decision *decision = &resize->decision;
        uint64_t slack = u64_max(memory_model_block_bytes(&resize->model), RESIZE_TOLERANCE_BYTES);

        return u64_sub(decision->wanted_bytes, decision->requested_bytes) < slack;
}

/* No further step: what was asked for against what was wanted, and what came of it; less than a block aside. */
static DecisionResult result_at_end(const Resize *resize) {
        const Decision *decision = &resize->decision;
        uint64_t confirmed = u64_add(i64_magnitude(resize->closed_bytes), resize->slack_bytes);

        if (decision->n_steps == 0)
                return decision->refusal == REFUSAL_NONE ? RESULT_FAILED : RESULT_REFUSED;
        if (resize->closed_bytes == 0)
                return RESULT_TIMEOUT;
        return resize_asked_all(resize) && confirmed >= decision->requested_bytes ? RESULT_DONE
                                                                                  : RESULT_PARTIAL;
}

static ResizeAction ask(Resize *resize, uint64_t remaining, uint64_t now_usec) {
        uint64_t bytes = resize_step_bytes(resize);

        resize->phase = RESIZE_ASKING;
        resize->asked_usec = now_usec;
        resize->reask_usec = 0;
        return (ResizeAction){
                .kind = RESIZE_ASK,
                .step = resize->step,
                .step_number = resize->step_number,
                .bytes = bytes,
                .remaining_bytes = remaining,
                .last = bytes >= remaining,
        };
}

ResizeAction resize_begin_command(Resize *resize, uint64_t now_usec) {
        Decision *decision = &resize->decision;
        uint64_t bytes = resize_step_bytes(resize), remaining = remaining_bytes(resize);
        ResizeAction action;

        resize->slack_bytes = u64_add(resize->slack_bytes, resize->step.actuator == ACTUATOR_DIMM
                                                                   ? bytes / RESIZE_DIMM_TOLERANCE_SHARE
                                                                   : RESIZE_TOLERANCE_BYTES);
        decision->requested_bytes = u64_add(decision->requested_bytes, bytes);
        resize->before_bytes = i64_magnitude(resize->closed_bytes);
        resize->confirming_step = resize->step_number;
        decision->actuator = resize->step.actuator;
        decision->n_steps++;
        if (decision->request_usec == 0)
                decision->request_usec = now_usec;
        resize->phase = RESIZE_COMMANDED;
        resize->progress_usec = resize->heard_usec = now_usec;
        resize_pace_begin(resize, now_usec);

        action = resize_command(resize, now_usec);
        action.notice = resize->growing;
        action.bytes = bytes;
        action.remaining_bytes = remaining;
        action.last = bytes >= remaining;
        return action;
}

ResizeAction resize_next_step(Resize *resize, const ResizeEvent *event) {
        uint64_t remaining = remaining_bytes(resize);

        resize->step = resize->growing ? planner_grow(&resize->model, remaining, event->plug_budget_bytes)
                                       : planner_shrink(&resize->model, remaining, resize->guest_block_bytes,
                                                        event->available_bytes);
        if (resize->step.actuator == ACTUATOR_NONE ||
            event->now_usec >= u64_add(resize->begun_usec, RESIZE_LIFETIME_USEC))
                return resize_finish(resize, result_at_end(resize), event->now_usec);

        resize->step_number++;
        resize->step_confirmed_bytes = resize->progress_bytes = resize->step_stall_usec = 0;
        resize->step_late_bytes = 0;
        resize->pace_usec = 0;
        resize_begin_blocks(resize, event);
        return resize->growing ? resize_begin_command(resize, event->now_usec)
                               : ask(resize, remaining, event->now_usec);
}

/* The open step, made no larger than bytes and begun at what the hypervisor says now. */
static void trim_step(Resize *resize, uint64_t bytes) {
        PlanStep *step = &resize->step;
        uint64_t take =
                u64_align_down(u64_min(bytes, resize_step_bytes(resize)), resize_step_granule(resize));

        step->from_bytes = resize_step_value(resize);
        step->to_bytes = step->actuator == ACTUATOR_BALLOON ? u64_add(step->from_bytes, take)
                                                            : u64_sub(step->from_bytes, take);
}

ResizeAction resize_take_offer(Resize *resize, const ResizeEvent *event) {
        if (resize->phase != RESIZE_ASKING || event->step != resize->step_number)
                return resize_wait();

        resize->reask_usec = 0;
        trim_step(resize, u64_min(event->bytes, remaining_bytes(resize)));
        if (resize_step_bytes(resize) > 0) {
                resize->n_reasks = 0;
                return resize->step.actuator == ACTUATOR_DIMM ? resize_prepare(resize, event->now_usec)
                                                              : resize_begin_command(resize, event->now_usec);
        }
        if (event->reason == REFUSAL_UNSETTLED && resize->n_reasks < REASKS_MAX) {
                resize->n_reasks++;
                resize->reask_usec = u64_add(event->now_usec, REASK_USEC);
                return resize_wait();
        }

        /* An offer of a part of a DIMM is of no use, though it is no refusal in the guest's eyes. */
        resize->decision.refusal = event->reason == REFUSAL_NONE ? REFUSAL_NOT_FREED : event->reason;
        return resize_finish(resize, resize->closed_bytes != 0 ? RESULT_PARTIAL : RESULT_REFUSED,
                             event->now_usec);
}

uint64_t resize_ask_deadline_usec(const Resize *resize) {
        return resize->reask_usec > 0 ? resize->reask_usec
                                      : u64_add(resize->asked_usec, resize->config.offer_timeout_usec);
}

ResizeAction resize_ask_tick(Resize *resize, const ResizeEvent *event) {
        if (event->now_usec < resize_ask_deadline_usec(resize))
                return resize_wait();
        if (resize->reask_usec > 0)
                return resize_next_step(resize, event);
        return resize_finish(resize, resize->closed_bytes != 0 ? RESULT_PARTIAL : RESULT_TIMEOUT,
                             event->now_usec);
}
