/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The two ways back. Adopting: what has not come by the deadline is asked for no more, so that nothing
 * arrives late that nobody counts. Restoring: a veto, silence or urgency in a shrink returns the original
 * size (shrink.md S8): cancelling alone ("request what is there now") was measured as slow to stop, and it
 * gives nothing back.
 *
 * Both end by the hypervisor's yes alone: the guest that is waited for may be the one that is stuck.
 */

#include "host-bridge/policy/resize-internal.h"

#define RETRY_USEC  (200 * USEC_PER_MSEC)
#define RETRIES_MAX 5U

static bool restoring_original(const Resize *resize) {
        return resize->pending_result == RESULT_VETOED || resize->pending_result == RESULT_SILENT;
}

/* A DIMM that never came online is taken back once: to try again would cost the guest its movable blocks. */
static bool is_pulling(const Resize *resize) {
        return resize->step.actuator == ACTUATOR_DIMM && resize->step.to_bytes == 0;
}

static ResizeAction send(Resize *resize, uint64_t now_usec) {
        resize->phase = RESIZE_RESTORING;
        resize->restore_rejected = false;
        resize->progress_usec = now_usec;
        resize_spare_present(resize);
        return resize_command(resize, now_usec);
}

/* The step from what was last asked of one device back to what it had at the start. */
static PlanStep step_to_original(const Resize *resize, unsigned bit) {
        const MemoryModel *now = &resize->model, *original = &resize->original;
        unsigned device = (unsigned) __builtin_ctz(bit);

        if (bit >= RESIZE_DIMM_BIT) {
                device -= (unsigned) __builtin_ctz(RESIZE_DIMM_BIT);
                return (PlanStep){
                        .actuator = ACTUATOR_DIMM,
                        .device = device,
                        .to_bytes = original->dimm[device].size_bytes,
                };
        }
        if (bit == RESIZE_BALLOON_BIT)
                return (PlanStep){
                        .actuator = ACTUATOR_BALLOON,
                        .from_bytes = memory_model_balloon_bytes(now),
                        .to_bytes = memory_model_balloon_bytes(original),
                };
        return (PlanStep){
                .actuator = ACTUATOR_VIRTIO_MEM,
                .device = device,
                .from_bytes = now->virtio_mem[device].size_bytes,
                .to_bytes = u64_max(original->virtio_mem[device].size_bytes,
                                    original->virtio_mem[device].requested_bytes),
        };
}

/* A DIMM is last, by its bit: whether it could be pulled may take seconds to tell. */
static ResizeAction restore_next(Resize *resize, uint64_t now_usec) {
        if (resize->touched == 0)
                return resize_finish(resize, resize->pending_result, now_usec);
        resize->step = step_to_original(resize, resize->touched & (0U - resize->touched));
        return send(resize, now_usec);
}

static ResizeAction restore_first(Resize *resize, unsigned open, uint64_t now_usec) {
        if ((resize->touched & open) == 0 || resize->step.actuator == ACTUATOR_DIMM)
                return restore_next(resize, now_usec);
        resize->step = step_to_original(resize, open);
        return send(resize, now_usec);
}

ResizeAction resize_restore(Resize *resize, DecisionResult result, uint64_t now_usec) {
        bool in_flight = resize->phase != RESIZE_ASKING && resize->phase != RESIZE_PREPARING;
        ResizeAction action;

        resize->pending_result = result;
        resize->n_retries = 0;
        resize->closed_bytes = 0; /* all of it goes back */
        resize->owed_bytes = resize->step_late_bytes = 0;
        resize->adopted = (PlanStep){};
        resize_count_stall(resize);

        /* What is in flight is stopped first. */
        action = restore_first(resize, in_flight ? resize_hand_bit(&resize->step) : 0, now_usec);
        action.online = resize->prepared;
        return action;
}

/* Where the open step has come to: the better for the guest of the hypervisor's word and its own. */
static uint64_t reached_bytes(const Resize *resize) {
        const PlanStep *step = &resize->step;
        uint64_t confirmed = resize->step_confirmed_bytes;
        int64_t gained = resize->growing ? u64_delta(confirmed, 0) : u64_delta(0, confirmed);
        uint64_t block = resize_step_granule(resize);

        if (step->actuator == ACTUATOR_BALLOON)
                return u64_min(resize_step_value(resize), u64_shift(step->from_bytes, -gained));
        if (step->actuator == ACTUATOR_DIMM)
                return resize_step_value(resize);
        return u64_align_up(u64_max(resize_step_value(resize), u64_shift(step->from_bytes, gained)), block);
}

ResizeAction resize_adopt(Resize *resize, uint64_t now_usec) {
        PlanStep *step = &resize->step;
        uint64_t low = u64_min(step->from_bytes, step->to_bytes),
                 high = u64_max(step->from_bytes, step->to_bytes);
        uint64_t reached = u64_clamp(reached_bytes(resize), low, high);

        /* The larger word counts for what the guest keeps, the smaller for what it can claim in the end. */
        resize->adopted = *step;
        resize->pending_result = RESULT_TIMEOUT;
        resize->n_retries = 0;

        if (step->actuator == ACTUATOR_DIMM && resize->growing)
                return resize_take_back(resize, now_usec);
        /* All of it is there, but the guest does not say so (offline blocks): there is nothing to give up. */
        if (reached == step->to_bytes)
                return resize_finish(resize, resize->pending_result, now_usec);
        *step = (PlanStep){
                .actuator = step->actuator,
                .device = step->device,
                .from_bytes = step->to_bytes,
                .to_bytes = reached,
        };
        return send(resize, now_usec);
}

ResizeAction resize_restore_accepted(Resize *resize, uint64_t now_usec) {
        resize->n_retries = 0;
        if (is_pulling(resize)) { /* it is gone */
                resize->prepared = (Dimm){};
                resize->adopted = (PlanStep){};
        }
        if (!restoring_original(resize))
                return resize_finish(resize, resize->pending_result, now_usec);
        resize->touched &= ~resize_hand_bit(&resize->step);
        return restore_next(resize, now_usec);
}

ResizeAction resize_restore_rejected(Resize *resize, uint64_t now_usec) {
        if (is_pulling(resize))
                return resize_finish(resize, resize->pending_result, now_usec);
        resize->restore_rejected = true;
        resize->progress_usec = now_usec;
        return resize_wait();
}

uint64_t resize_restore_deadline_usec(const Resize *resize) {
        return u64_add(resize->progress_usec,
                       resize->restore_rejected ? RETRY_USEC : resize->config.confirm_timeout_usec);
}

ResizeAction resize_restore_tick(Resize *resize, uint64_t now_usec) {
        if (now_usec < resize_restore_deadline_usec(resize))
                return resize_wait();
        if (is_pulling(resize))
                return resize_finish(resize, resize->pending_result, now_usec);
        if (resize->n_retries >= RETRIES_MAX)
                return resize_finish(resize, RESULT_FAILED, now_usec);
        resize->n_retries++;
        if (!resize->restore_rejected)
                resize->n_unanswered = 0; /* those replies are lost; the next one is for the retry */
        return send(resize, now_usec);
}
