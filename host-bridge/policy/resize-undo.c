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
#define BALLOON_BIT (1U << MEMORY_MODEL_DEVICES_MAX)

static bool restoring_original(const Resize *resize) {
        return resize->pending_result == RESULT_VETOED || resize->pending_result == RESULT_SILENT;
}

static unsigned step_bit(const PlanStep *step) {
        return step->actuator == ACTUATOR_BALLOON ? BALLOON_BIT : 1U << step->device;
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

        if (bit == BALLOON_BIT)
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

static ResizeAction restore_next(Resize *resize, uint64_t now_usec) {
        if (resize->touched == 0)
                return resize_finish(resize, resize->pending_result, now_usec);
        resize->step = step_to_original(resize, resize->touched & (0U - resize->touched));
        return send(resize, now_usec);
}

ResizeAction resize_restore(Resize *resize, DecisionResult result, uint64_t now_usec) {
        unsigned open = resize->phase == RESIZE_ASKING ? 0 : step_bit(&resize->step);

        resize->pending_result = result;
        resize->n_retries = 0;
        resize->closed_bytes = 0; /* all of it goes back */
        resize_count_stall(resize);

        /* What is in flight is stopped first. */
        if ((resize->touched & open) == 0)
                return restore_next(resize, now_usec);
        resize->step = step_to_original(resize, open);
        return send(resize, now_usec);
}

/* Where the open step has come to: the better for the guest of the hypervisor's word and its own. */
static uint64_t reached_bytes(const Resize *resize) {
        const PlanStep *step = &resize->step;
        uint64_t confirmed = resize->step_confirmed_bytes;
        int64_t gained = resize->growing ? u64_delta(confirmed, 0) : u64_delta(0, confirmed);
        uint64_t block = resize_step_granule(resize);

        if (step->actuator == ACTUATOR_BALLOON)
                return u64_min(memory_model_balloon_bytes(&resize->model),
                               u64_shift(step->from_bytes, -gained));
        return u64_align_up(u64_max(resize->model.virtio_mem[step->device].size_bytes,
                                    u64_shift(step->from_bytes, gained)),
                            block);
}

ResizeAction resize_adopt(Resize *resize, uint64_t now_usec) {
        PlanStep *step = &resize->step;
        uint64_t low = u64_min(step->from_bytes, step->to_bytes),
                 high = u64_max(step->from_bytes, step->to_bytes);
        uint64_t reached = u64_clamp(reached_bytes(resize), low, high);
        /* The larger word counts for what the guest keeps, the smaller for what it can claim. */
        uint64_t claimed = u64_min(resize->step_confirmed_bytes, resize_step_moved_bytes(resize));

        resize->closed_bytes += resize->growing ? u64_delta(claimed, 0) : u64_delta(0, claimed);
        resize_count_stall(resize);
        resize->pending_result = resize->closed_bytes != 0 ? RESULT_PARTIAL : RESULT_TIMEOUT;
        resize->n_retries = 0;

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
        if (!restoring_original(resize))
                return resize_finish(resize, resize->pending_result, now_usec);
        resize->touched &= ~step_bit(&resize->step);
        return restore_next(resize, now_usec);
}

ResizeAction resize_restore_rejected(Resize *resize, uint64_t now_usec) {
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
        if (resize->n_retries >= RETRIES_MAX)
                return resize_finish(resize, RESULT_FAILED, now_usec);
        resize->n_retries++;
        if (!resize->restore_rejected)
                resize->n_unanswered = 0; /* those replies are lost; the next one is for the retry */
        return send(resize, now_usec);
}
