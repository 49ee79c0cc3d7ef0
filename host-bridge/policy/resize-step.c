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

static uint64_t value_of(const Resize *resize, const PlanStep *step) {
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

uint64_t resize_step_value(const Resize *resize) {
        return value_of(resize, &resize->step);
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

static uint64_t moved_bytes(const Resize *resize, const PlanStep *step) {
        PlanStep so_far = *step;

        so_far.to_bytes = value_of(resize, step);
        return resize->growing == (plan_step_delta_bytes(&so_far) > 0)
                       ? i64_magnitude(plan_step_delta_bytes(&so_far))
                       : 0;
}

bool resize_step_is_fulfilled(const Resize *resize) {
        return u64_add(moved_bytes(resize, &resize->step), tolerance_bytes(resize)) >=
               resize_step_bytes(resize);
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

/* Where a confirmation is heard: of what was commanded and not undone since. */
static bool takes_confirm(const Resize *resize, const ResizeEvent *event) {
        bool in_flight = resize->phase == RESIZE_COMMANDED || resize->phase == RESIZE_CONFIRMING;
        bool ours = event->step == resize->step_number || (resize->growing && event->step == 0);

        /* Of a DIMM the guest has less as soon as it is offline, before it is pulled. */
        return ours && (in_flight || resize_is_adopting(resize) ||
                        (resize->phase == RESIZE_PREPARING && !resize->growing));
}

/* The step that the guest speaks of: the one that is being undone is not. */
static uint64_t confirmable_bytes(const Resize *resize) {
        const PlanStep *step = resize_is_adopting(resize) ? &resize->adopted : &resize->step;

        return i64_magnitude(plan_step_delta_bytes(step));
}

/* Those that go the right way. */
static uint64_t confirmed_by(const Resize *resize, int64_t delta_bytes) {
        bool forth = resize->growing ? delta_bytes > 0 : delta_bytes < 0;

        return forth ? i64_magnitude(delta_bytes) : 0;
}

uint64_t resize_spare_bytes(const Resize *resize, int64_t delta_bytes) {
        return u64_sub(confirmed_by(resize, delta_bytes),
                       u64_add(confirmable_bytes(resize), resize->owed_bytes));
}

static void note_progress(Resize *resize, uint64_t now_usec) {
        uint64_t least = u64_max(RESIZE_TOLERANCE_BYTES, resize_step_bytes(resize) / PROGRESS_SHARE);

        if (resize->step_confirmed_bytes < resize->progress_bytes + least)
                return;
        resize->pace_usec = u64_max(resize->pace_usec, u64_sub(now_usec, resize->progress_usec));
        resize->progress_bytes = resize->step_confirmed_bytes;
        resize->progress_usec = now_usec;
}

ResizeAction resize_take_confirm(Resize *resize, const ResizeEvent *event) {
        uint64_t said = confirmed_by(resize, event->delta_bytes), own = confirmable_bytes(resize);
        uint64_t bytes = u64_min(said, own), late = u64_min(said - bytes, resize->owed_bytes);

        if (!takes_confirm(resize, event))
                return resize_wait();

        if (bytes > 0 && resize->decision.first_confirm_usec == 0)
                resize->decision.first_confirm_usec = event->now_usec;
        if (bytes > resize->step_confirmed_bytes)
                resize->moved_usec = event->now_usec;
        resize->step_stall_usec = u64_max(resize->step_stall_usec, event->stall_usec);
        resize->step_confirmed_bytes = u64_max(resize->step_confirmed_bytes, bytes);
        resize->step_late_bytes = u64_max(resize->step_late_bytes, late);
        resize->decision.confirmed_bytes =
                resize->closed_bytes +
                signed_bytes(resize, resize->step_confirmed_bytes + resize->step_late_bytes);
        if (!resize_is_adopting(resize))
                note_progress(resize, event->now_usec);
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

/* Closes the books of step, of which confirmed bytes count. */
static void settle_step(Resize *resize, const PlanStep *step, uint64_t confirmed) {
        uint64_t given = u64_min(moved_bytes(resize, step), i64_magnitude(plan_step_delta_bytes(step)));

        resize->closed_bytes += signed_bytes(resize, confirmed + resize->step_late_bytes);
        resize->owed_bytes =
                u64_add(u64_sub(resize->owed_bytes, resize->step_late_bytes), u64_sub(given, confirmed));
        resize->step_confirmed_bytes = resize->step_late_bytes = 0;
        resize_count_stall(resize);
}

void resize_settle(Resize *resize) {
        PlanStep step = resize->adopted;

        if (!resize_is_adopting(resize))
                return;
        resize->adopted = (PlanStep){};
        settle_step(resize, &step, u64_min(resize->step_confirmed_bytes, moved_bytes(resize, &step)));
}

ResizeAction resize_close_step(Resize *resize, const ResizeEvent *event) {
        settle_step(resize, &resize->step, resize->step_confirmed_bytes);
        resize->closed_step = resize->step;
        advance_model(&resize->model, &resize->step, resize->growing);
        return resize_next_step(resize, event);
}

uint64_t resize_reach_bytes(const Resize *resize) {
        return u64_min(u64_add(i64_magnitude(resize->closed_bytes), resize->owed_bytes),
                       resize->decision.requested_bytes);
}

uint64_t resize_whole_bytes(const Resize *resize) {
        return resize_asked_all(resize) ? u64_sub(resize->decision.requested_bytes, resize->slack_bytes)
                                        : UINT64_MAX;
}
