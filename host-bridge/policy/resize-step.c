/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How a step ends: closed when the hypervisor has taken the command, the guest has confirmed the bytes and a
 * reading does not contradict it, in any order.
 *
 * A reading may have begun before a step was closed and arrive after it, and QEMU's own events come at most
 * once a second (kernel-qemu.md 9.1): a closed step is therefore written into the local copy of the model,
 * and no older reading takes it back. Planning from whatever reading came last was rejected: it asks for
 * what is there already.
 */

#include "host-bridge/policy/resize-internal.h"

#define PAGE_BYTES (4 * KIB)

/* Less than this share of a step is no progress: one byte a time would keep a resize open for ever. */
#define PROGRESS_SHARE 64U

/*
 * Slower than this, crumbs or not, a step is stuck (peers.md: ChromeOS, over 4 s): a driver that fights for each
 * page keeps its guest in reclaim, and holds the VM's only resize open. Real guests move 250 MiB/s and more (S6).
 */
#define PACE_LEAST_BYTES_PER_SEC (15 * MIB)

void resize_pace_begin(Resize *resize, uint64_t now_usec) {
        resize->pace_from_usec = now_usec;
        resize->pace_from_bytes = resize->step_confirmed_bytes;
}

uint64_t resize_pace_deadline_usec(const Resize *resize) {
        /* A DIMM comes whole: half of one that is slow is of no use. */
        return resize->step.actuator == ACTUATOR_DIMM
                       ? USEC_INFINITY
                       : u64_add(resize->pace_from_usec, resize->config.confirm_timeout_usec);
}

bool resize_pace_is_too_slow(const Resize *resize, uint64_t now_usec) {
        uint64_t moved = u64_sub(resize->step_confirmed_bytes, resize->pace_from_bytes);

        return now_usec >= resize_pace_deadline_usec(resize) &&
               moved < u64_scale(PACE_LEAST_BYTES_PER_SEC, u64_sub(now_usec, resize->pace_from_usec),
                                 USEC_PER_SEC);
}

uint64_t resize_step_granule(const Resize *resize) {
        const PlanStep *step = &resize->step;

        switch (step->actuator) {

        case ACTUATOR_VIRTIO_MEM:
                return resize->model.virtio_mem[step->device].block_bytes;

        case ACTUATOR_DIMM:
                return u64_max(step->from_bytes, step->to_bytes);

        case ACTUATOR_BALLOON:
        case ACTUATOR_NONE:
        case ACTUATOR_MAX:
                break;
        }
        return PAGE_BYTES;
}

uint64_t resize_step_value(const Resize *resize) {
        const PlanStep *step = &resize->step;

        switch (step->actuator) {

        case ACTUATOR_BALLOON:
                return memory_model_balloon_bytes(&resize->model);

        case ACTUATOR_VIRTIO_MEM:
                return resize->model.virtio_mem[step->device].size_bytes;

        case ACTUATOR_DIMM:
                return resize->model.dimm[step->device].size_bytes;

        case ACTUATOR_NONE:
        case ACTUATOR_MAX:
                break;
        }
        return 0;
}

static int64_t signed_bytes(const Resize *resize, uint64_t bytes) {
        return resize->growing ? u64_delta(bytes, 0) : u64_delta(0, bytes);
}

void resize_spare_present(Resize *resize) {
        PlanStep *step = &resize->step;

        if (step->actuator == ACTUATOR_BALLOON)
                step->to_bytes = u64_min(step->to_bytes, resize_step_value(resize));
        else if (step->actuator == ACTUATOR_VIRTIO_MEM)
                step->to_bytes = u64_max(step->to_bytes, resize_step_value(resize));
}

ResizeAction resize_command(Resize *resize, uint64_t now_usec) {
        resize->n_unanswered++;
        resize->kicked_usec = now_usec;
        resize->touched |= resize_hand_bit(&resize->step);
        return (ResizeAction){
                .kind = RESIZE_COMMAND,
                .step = resize->step,
                .step_number = resize->step_number,
                .bytes = resize_step_bytes(resize),
        };
}

/* What a step may be short of and still count as whole. */
static uint64_t tolerance_bytes(const Resize *resize) {
        uint64_t bytes = resize_step_bytes(resize);

        return resize->step.actuator == ACTUATOR_DIMM ? bytes / RESIZE_DIMM_TOLERANCE_SHARE
                                                      : u64_min(RESIZE_TOLERANCE_BYTES, bytes / 2);
}

bool resize_step_is_confirmed(const Resize *resize) {
        return u64_add(resize->step_confirmed_bytes, tolerance_bytes(resize)) >= resize_step_bytes(resize);
}

uint64_t resize_step_moved_bytes(const Resize *resize) {
        const PlanStep *step = &resize->step;
        PlanStep so_far = *step;

        so_far.to_bytes = resize_step_value(resize);
        return resize->growing == (plan_step_delta_bytes(&so_far) > 0)
                       ? resize_magnitude(plan_step_delta_bytes(&so_far))
                       : 0;
}

bool resize_step_is_fulfilled(const Resize *resize) {
        return u64_add(resize_step_moved_bytes(resize), tolerance_bytes(resize)) >= resize_step_bytes(resize);
}

/*
 * The guest has it, and it can have it: one that confirms what nobody gave would set the pace of our commands. To the last
 * byte: what comes after the step is closed is in nobody's record, and a shrink has many steps. A little less does after a
 * moment without news; at once for a DIMM, of which memmap_on_memory keeps a part for good.
 */
static ResizeAction close_if_whole(Resize *resize, const ResizeEvent *event) {
        bool whole = resize->step.actuator == ACTUATOR_DIMM
                             ? resize_step_is_confirmed(resize)
                             : resize->step_confirmed_bytes >= resize_step_bytes(resize);

        return resize->phase == RESIZE_CONFIRMING && whole && resize_step_is_fulfilled(resize)
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
        resize_pace_begin(resize, event->now_usec);
        if (resize->step.actuator == ACTUATOR_DIMM && !resize->growing)
                resize->prepared = (Dimm){}; /* it is gone */
        return close_if_whole(resize, event);
}

ResizeAction resize_take_confirm(Resize *resize, const ResizeEvent *event) {
        bool forth = resize->growing ? event->delta_bytes > 0 : event->delta_bytes < 0;
        uint64_t bytes = u64_min(forth ? resize_magnitude(event->delta_bytes) : 0, resize_step_bytes(resize));
        uint64_t progress = u64_max(RESIZE_TOLERANCE_BYTES, resize_step_bytes(resize) / PROGRESS_SHARE);

        /* Of a DIMM the guest has less as soon as it is offline, before it is pulled. */
        if ((resize->phase != RESIZE_COMMANDED && resize->phase != RESIZE_CONFIRMING &&
             (resize->phase != RESIZE_PREPARING || resize->growing)) ||
            (event->step != resize->step_number && !(resize->growing && event->step == 0)))
                return resize_wait();

        if (bytes > 0 && resize->decision.first_confirm_usec == 0)
                resize->decision.first_confirm_usec = event->now_usec;
        resize->step_stall_usec = u64_max(resize->step_stall_usec, event->stall_usec);
        if (bytes > resize->step_confirmed_bytes)
                resize->moved_usec = event->now_usec;
        resize->step_confirmed_bytes = u64_max(resize->step_confirmed_bytes, bytes);
        resize->decision.confirmed_bytes =
                resize->closed_bytes + signed_bytes(resize, resize->step_confirmed_bytes);
        if (resize->step_confirmed_bytes >= resize->progress_bytes + progress) {
                resize->pace_usec =
                        u64_max(resize->pace_usec, u64_sub(event->now_usec, resize->progress_usec));
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
        } else if (step->actuator == ACTUATOR_DIMM)
                memory_model_set_dimm(model, step->device, step->to_bytes);
}

ResizeAction resize_take_model(Resize *resize, const ResizeEvent *event) {
        uint64_t before = resize_step_value(resize);

        resize->model = *event->model;
        /* A reading that had begun before the step was closed may end after it. */
        advance_model(&resize->model, &resize->closed_step, resize->growing);
        if (resize_step_value(resize) != before)
                resize->moved_usec = event->now_usec;
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
