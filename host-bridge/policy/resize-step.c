/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The open step of a resize. It is planned from the hypervisor's latest word, bounded by what has been
 * asked already (so that no rounding adds up beyond the grant), and closed when the hypervisor has taken the
 * command, the guest has confirmed the bytes and a reading does not contradict it, in any order.
 *
 * The hypervisor's events come at most once a second (kernel-qemu.md 9.1), steps several times as fast: a closed
 * step is therefore written into the local copy of the model. Waiting for a fresh reading instead would make
 * the slowest event of all the pace of a shrink.
 */

#include "host-bridge/policy/resize-internal.h"

#define PAGE_BYTES (4 * KIB)

/* MemTotal moves by exactly what is plugged; this is for a guest that samples in the middle of a block. */
#define TOLERANCE_BYTES (2 * MIB)

/* Less than this share of a step is no progress: one byte a time would keep a resize open for ever. */
#define PROGRESS_SHARE 64U

/*
 * A guest settles for 0.5 s after its memory has moved (shrink.md S7); one that was just shrunk is asked again soon, and
 * not after the hold of a refusal.
 */
#define REASK_USEC (600 * USEC_PER_MSEC)
#define REASKS_MAX 3U

/* No step begins after this: what is still wanted is decided anew, with fresh figures. */
#define RESIZE_LIFETIME_USEC (10 * 60 * USEC_PER_SEC)

uint64_t resize_step_granule(const Resize *resize) {
        return resize->step.actuator == ACTUATOR_VIRTIO_MEM
                       ? resize->model.virtio_mem[resize->step.device].block_bytes
                       : PAGE_BYTES;
}

static int64_t signed_bytes(const Resize *resize, uint64_t bytes) {
        return resize->growing ? u64_delta(bytes, 0) : u64_delta(0, bytes);
}

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

/* No further step: what was asked for against what was wanted, and what came of it; less than a block aside. */
static DecisionResult result_at_end(const Resize *resize) {
        const Decision *decision = &resize->decision;
        uint64_t slack = u64_max(memory_model_block_bytes(&resize->model), TOLERANCE_BYTES);
        uint64_t confirmed =
                u64_add(resize_magnitude(resize->closed_bytes), u64_mul(TOLERANCE_BYTES, decision->n_steps));

        if (decision->n_steps == 0)
                return RESULT_FAILED;
        if (resize->closed_bytes == 0)
                return RESULT_TIMEOUT;
        return u64_sub(decision->wanted_bytes, decision->requested_bytes) < slack &&
                               confirmed >= decision->requested_bytes
                       ? RESULT_DONE
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

static ResizeAction begin_command(Resize *resize, uint64_t remaining, uint64_t now_usec) {
        Decision *decision = &resize->decision;
        uint64_t bytes = resize_step_bytes(resize);
        ResizeAction action;

        decision->requested_bytes = u64_add(decision->requested_bytes, bytes);
        decision->actuator = resize->step.actuator;
        decision->n_steps++;
        if (decision->request_usec == 0)
                decision->request_usec = now_usec;
        resize->phase = RESIZE_COMMANDED;
        resize->progress_usec = resize->heard_usec = now_usec;

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
        return resize->growing ? begin_command(resize, remaining, event->now_usec)
                               : ask(resize, remaining, event->now_usec);
}

/* The open step, made no larger than bytes and begun at what the hypervisor says now. */
static void trim_step(Resize *resize, uint64_t bytes) {
        PlanStep *step = &resize->step;
        uint64_t take =
                u64_align_down(u64_min(bytes, resize_step_bytes(resize)), resize_step_granule(resize));

        if (step->actuator == ACTUATOR_BALLOON) {
                step->from_bytes = memory_model_balloon_bytes(&resize->model);
                step->to_bytes = u64_add(step->from_bytes, take);
        } else {
                step->from_bytes = resize->model.virtio_mem[step->device].size_bytes;
                step->to_bytes = u64_sub(step->from_bytes, take);
        }
}

ResizeAction resize_take_offer(Resize *resize, const ResizeEvent *event) {
        uint64_t remaining = remaining_bytes(resize);

        if (resize->phase != RESIZE_ASKING || event->step != resize->step_number)
                return resize_wait();

        resize->reask_usec = 0;
        trim_step(resize, u64_min(event->bytes, remaining));
        if (resize_step_bytes(resize) > 0) {
                resize->n_reasks = 0;
                return begin_command(resize, remaining, event->now_usec);
        }
        if (event->reason == REFUSAL_UNSETTLED && resize->n_reasks < REASKS_MAX) {
                resize->n_reasks++;
                resize->reask_usec = u64_add(event->now_usec, REASK_USEC);
                return resize_wait();
        }

        resize->decision.refusal = event->reason;
        return resize_finish(resize, resize->closed_bytes != 0 ? RESULT_PARTIAL : RESULT_REFUSED,
                             event->now_usec);
}

void resize_spare_present(Resize *resize) {
        PlanStep *step = &resize->step;

        if (step->actuator == ACTUATOR_BALLOON)
                step->to_bytes = u64_min(step->to_bytes, memory_model_balloon_bytes(&resize->model));
        else
                step->to_bytes = u64_max(step->to_bytes, resize->model.virtio_mem[step->device].size_bytes);
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

ResizeAction resize_command(Resize *resize, uint64_t now_usec) {
        resize->n_unanswered++;
        resize->kicked_usec = now_usec;
        resize->touched |= 1U << (resize->step.actuator == ACTUATOR_BALLOON ? MEMORY_MODEL_DEVICES_MAX
                                                                            : resize->step.device);
        return (ResizeAction){
                .kind = RESIZE_COMMAND,
                .step = resize->step,
                .step_number = resize->step_number,
                .bytes = resize_step_bytes(resize),
        };
}

/* What a step may be short of and still count as whole. */
static uint64_t tolerance_bytes(const Resize *resize) {
        return u64_min(TOLERANCE_BYTES, resize_step_bytes(resize) / 2);
}

bool resize_step_is_confirmed(const Resize *resize) {
        return u64_add(resize->step_confirmed_bytes, tolerance_bytes(resize)) >= resize_step_bytes(resize);
}

uint64_t resize_step_moved_bytes(const Resize *resize) {
        const PlanStep *step = &resize->step;
        PlanStep so_far = *step;

        so_far.to_bytes = step->actuator == ACTUATOR_BALLOON
                                  ? memory_model_balloon_bytes(&resize->model)
                                  : resize->model.virtio_mem[step->device].size_bytes;
        return resize->growing == (plan_step_delta_bytes(&so_far) > 0)
                       ? resize_magnitude(plan_step_delta_bytes(&so_far))
                       : 0;
}

bool resize_step_is_fulfilled(const Resize *resize) {
        return u64_add(resize_step_moved_bytes(resize), tolerance_bytes(resize)) >= resize_step_bytes(resize);
}

/* The guest has it, and it can have it: a guest that confirms what nobody gave would set the pace of our commands. */
static ResizeAction close_if_whole(Resize *resize, const ResizeEvent *event) {
        return resize->phase == RESIZE_CONFIRMING && resize_step_is_confirmed(resize) &&
                               resize_step_is_fulfilled(resize)
                       ? resize_close_step(resize, event)
                       : resize_wait();
}

ResizeAction resize_take_accepted(Resize *resize, const ResizeEvent *event) {
        /* A kick's reply in CONFIRMING says nothing new. */
        if (resize->phase != RESIZE_COMMANDED)
                return resize_wait();

        if (resize->decision.accepted_usec == 0)
                resize->decision.accepted_usec = event->now_usec;
        resize->phase = RESIZE_CONFIRMING;
        resize->progress_usec = event->now_usec;
        return close_if_whole(resize, event);
}

ResizeAction resize_take_confirm(Resize *resize, const ResizeEvent *event) {
        bool forth = resize->growing ? event->delta_bytes > 0 : event->delta_bytes < 0;
        uint64_t bytes = u64_min(forth ? resize_magnitude(event->delta_bytes) : 0, resize_step_bytes(resize));
        uint64_t progress = u64_max(TOLERANCE_BYTES, resize_step_bytes(resize) / PROGRESS_SHARE);

        if ((resize->phase != RESIZE_COMMANDED && resize->phase != RESIZE_CONFIRMING) ||
            (event->step != resize->step_number && !(resize->growing && event->step == 0)))
                return resize_wait();

        if (bytes > 0 && resize->decision.first_confirm_usec == 0)
                resize->decision.first_confirm_usec = event->now_usec;
        resize->step_stall_usec = u64_max(resize->step_stall_usec, event->stall_usec);
        resize->step_confirmed_bytes = u64_max(resize->step_confirmed_bytes, bytes);
        resize->decision.confirmed_bytes =
                resize->closed_bytes + signed_bytes(resize, resize->step_confirmed_bytes);
        if (resize->step_confirmed_bytes >= resize->progress_bytes + progress) {
                resize->progress_bytes = resize->step_confirmed_bytes;
                resize->progress_usec = event->now_usec;
        }
        return close_if_whole(resize, event);
}

/* Moves the local model forward to the end of step; a reading that is further already stays. */
static void advance_model(MemoryModel *model, const PlanStep *step, bool growing) {
        uint64_t ram = u64_add(model->boot_bytes, model->dimm_bytes), actual = u64_sub(ram, step->to_bytes);

        if (step->actuator == ACTUATOR_BALLOON) {
                model->balloon_actual_bytes = growing ? u64_max(model->balloon_actual_bytes, actual)
                                                      : u64_min(model->balloon_actual_bytes, actual);
        } else if (step->actuator == ACTUATOR_VIRTIO_MEM) {
                VirtioMem *device = &model->virtio_mem[step->device];

                device->size_bytes = growing ? u64_max(device->size_bytes, step->to_bytes)
                                             : u64_min(device->size_bytes, step->to_bytes);
                device->requested_bytes = growing ? u64_max(device->requested_bytes, step->to_bytes)
                                                  : u64_min(device->requested_bytes, step->to_bytes);
        }
}

ResizeAction resize_take_model(Resize *resize, const ResizeEvent *event) {
        resize->model = *event->model;
        /* A reading that had begun before the step was closed may end after it. */
        advance_model(&resize->model, &resize->closed_step, resize->growing);
        return close_if_whole(resize, event);
}

void resize_count_stall(Resize *resize) {
        resize->decision.guest_stall_usec =
                u64_add(resize->decision.guest_stall_usec, resize->step_stall_usec);
        resize->step_stall_usec = 0;
}

ResizeAction resize_close_step(Resize *resize, const ResizeEvent *event) {
        resize->closed_bytes += signed_bytes(resize, resize->step_confirmed_bytes);
        resize_count_stall(resize);
        resize->closed_step = resize->step;
        advance_model(&resize->model, &resize->step, resize->growing);
        return resize_next_step(resize, event);
}
