/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The parts of resize.c: resize-plan.c begins a step (planned, asked, offered), resize-step.c ends it (accepted,
 * confirmed, closed), resize-short.c says how long it is waited for, resize-dimm.c has what a DIMM needs besides,
 * resize-undo.c the ways back (adopting what came, restoring the original). Nobody else includes this.
 */

#include "host-bridge/policy/resize.h"

/* MemTotal moves by exactly what is plugged; this is for a guest that samples in the middle of a block. */
#define RESIZE_TOLERANCE_BYTES (2 * MIB)

static inline ResizeAction resize_wait(void) {
        return (ResizeAction){.kind = RESIZE_WAIT};
}

/* Bytes that the open step is to move. */
static inline uint64_t resize_step_bytes(const Resize *resize) {
        return i64_magnitude(plan_step_delta_bytes(&resize->step));
}

/* Of a DIMM this share may be missing: with memmap_on_memory 1.6 % of a block never reach MemTotal. */
#define RESIZE_DIMM_TOLERANCE_SHARE 32U

/* What the open step works on: one bit each. */
#define RESIZE_BALLOON_BIT (1U << MEMORY_MODEL_DEVICES_MAX)
#define RESIZE_DIMM_BIT    (RESIZE_BALLOON_BIT << 1)
_Static_assert(MEMORY_MODEL_DEVICES_MAX + 1 + MEMORY_MODEL_DIMMS_MAX <= 32, "touched holds every hand");

static inline unsigned resize_hand_bit(const PlanStep *step) {
        if (step->actuator == ACTUATOR_BALLOON)
                return RESIZE_BALLOON_BIT;
        return (step->actuator == ACTUATOR_DIMM ? RESIZE_DIMM_BIT : 1U) << step->device;
}

/* Where the open step's device stands by the latest model, in the step's own terms. */
uint64_t resize_step_value(const Resize *resize);

/* Granularity of the open step's device. */
uint64_t resize_step_granule(const Resize *resize);

/* A step has been given up, and its device stays as it is. */
static inline bool resize_is_adopting(const Resize *resize) {
        return resize->adopted.actuator != ACTUATOR_NONE;
}

/* What is given up counts with what the guest confirmed of it, as far as the hypervisor gave it. */
void resize_settle(Resize *resize);

/* All that was wanted has been asked for, less than a block aside. */
bool resize_asked_all(const Resize *resize);

/* Ends the resize with result. */
ResizeAction resize_finish(Resize *resize, DecisionResult result, uint64_t now_usec);

/* Plans and begins the next step, or ends the resize where there is none. */
ResizeAction resize_next_step(Resize *resize, const ResizeEvent *event);

/* Commands the open step, for the first time. */
ResizeAction resize_begin_command(Resize *resize, uint64_t now_usec);

/* The guest is to take the open step's DIMM offline; it has, it has not, a deadline. */
ResizeAction resize_prepare(Resize *resize, uint64_t now_usec);
ResizeAction resize_take_prepared(Resize *resize, uint64_t now_usec);
ResizeAction resize_take_unprepared(Resize *resize, const ResizeEvent *event);
ResizeAction resize_prepare_tick(Resize *resize, uint64_t now_usec);
uint64_t resize_prepare_deadline_usec(const Resize *resize);

/* A DIMM was plugged and never came online: it is taken back if it can be, then the resize ends. */
ResizeAction resize_take_back(Resize *resize, uint64_t now_usec);

/* While asking: a deadline, and when it is. */
ResizeAction resize_ask_tick(Resize *resize, const ResizeEvent *event);
uint64_t resize_ask_deadline_usec(const Resize *resize);

/* The guest's offer for the open step, the hypervisor's yes to it, the guest's confirmation. */
ResizeAction resize_take_offer(Resize *resize, const ResizeEvent *event);
ResizeAction resize_take_accepted(Resize *resize, const ResizeEvent *event);
ResizeAction resize_take_confirm(Resize *resize, const ResizeEvent *event);

/* The open step's pace is measured from here on; when that is to be judged, and whether it is too slow to go on. */
void resize_pace_begin(Resize *resize, uint64_t now_usec);
uint64_t resize_pace_deadline_usec(const Resize *resize);
bool resize_pace_is_too_slow(const Resize *resize, uint64_t now_usec);

/* Counts of the guest's blocks, as of the open step's beginning and since. */
void resize_begin_blocks(Resize *resize, const ResizeEvent *event);
void resize_note_blocks(Resize *resize, const ResizeEvent *event);

/* The open step is confirmed in part and done by the hypervisor; when that, or want of progress, ends it. */
bool resize_step_is_short(const Resize *resize);
uint64_t resize_step_deadline_usec(const Resize *resize);

/* The guest has confirmed the whole step; the hypervisor says that it has done all of it. */
bool resize_step_is_confirmed(const Resize *resize);
bool resize_step_is_fulfilled(const Resize *resize);
ResizeAction resize_close_step(Resize *resize, const ResizeEvent *event);

/* Adds the open step's stall to the decision, once. */
void resize_count_stall(Resize *resize);

/* Holds the open step to take nothing that has come by now: for what is sent late or again. */
void resize_spare_present(Resize *resize);

/* Sends the open step as it is: first, as a kick, as a retry. */
ResizeAction resize_command(Resize *resize, uint64_t now_usec);

/* A copy of the hypervisor's word, never older than what was closed. */
ResizeAction resize_take_model(Resize *resize, const ResizeEvent *event);

/* Gives up what has not come: the request becomes what is there, then the resize ends as partial or timeout. */
ResizeAction resize_adopt(Resize *resize, uint64_t now_usec);

/* Gives back all that this resize took, then ends it with result. */
ResizeAction resize_restore(Resize *resize, DecisionResult result, uint64_t now_usec);

/* While restoring: the hypervisor's yes, its no, a deadline. */
ResizeAction resize_restore_accepted(Resize *resize, uint64_t now_usec);
ResizeAction resize_restore_rejected(Resize *resize, uint64_t now_usec);
ResizeAction resize_restore_tick(Resize *resize, uint64_t now_usec);
uint64_t resize_restore_deadline_usec(const Resize *resize);
