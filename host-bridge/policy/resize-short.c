/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How long a step is waited for. Without progress until its deadline; but less where the hypervisor has done all of it, the
 * guest has confirmed a part, and the rest will never come: a step that was planned on a reading older than the guest asks for
 * what is there already. In the full time a guest in need would starve (in the simulator one that allocates 200 MiB/s was
 * OOM-killed).
 *
 * That no more will come is the guest's to say. QEMU calls all plugged before the guest has added the second block of it, let alone
 * put it online; a busy host leaves a guest without a CPU for longer than any constant. So the short time runs from the last
 * sign of movement, is longer in a guest that is slow, is over only when the guest has said something after it, and does not run
 * while the guest has blocks offline that it had not when the step began. Rejected: 300 ms from the last progress. Of
 * 128 MiB 60 came in a block that was online, the agent put the rest online a moment later, and 68 MiB were in nobody's record.
 */

#include "host-bridge/policy/resize-internal.h"

#define SHORT_TIMEOUT_USEC (300 * USEC_PER_MSEC)
#define SHORT_PACES        4U

/* Where less than the tolerance is short: three looks of an agent while memory moves. */
#define ALMOST_TIMEOUT_USEC (60 * USEC_PER_MSEC)

void resize_begin_blocks(Resize *resize, const ResizeEvent *event) {
        resize->blocks_offline = resize->blocks_aside = event->blocks_offline;
        resize->moved_usec = 0;
}

void resize_note_blocks(Resize *resize, const ResizeEvent *event) {
        if (event->blocks_offline != resize->blocks_offline)
                resize->moved_usec = event->now_usec;
        resize->blocks_offline = event->blocks_offline;
        /* The count at the beginning was of a report, and those of the step before may have been in it. */
        if (event->blocks_offline < resize->blocks_aside)
                resize->blocks_aside = event->blocks_offline;
        if (event->block_failed && resize->blocks_aside < resize->blocks_offline)
                resize->blocks_aside++;
}

bool resize_step_is_short(const Resize *resize) {
        return resize->phase == RESIZE_CONFIRMING && resize->step_confirmed_bytes > 0 &&
               resize->step.actuator != ACTUATOR_DIMM && /* plugged at once, online block by block */
               resize_step_is_fulfilled(resize);
}

static uint64_t short_deadline_usec(const Resize *resize) {
        uint64_t timeout_usec = u64_max(SHORT_TIMEOUT_USEC, u64_mul(SHORT_PACES, resize->pace_usec));
        uint64_t over_usec = u64_add(u64_max(resize->progress_usec, resize->moved_usec), timeout_usec);
        bool comes = resize->growing && resize->blocks_offline > resize->blocks_aside;

        return !comes && resize->heard_usec >= over_usec ? over_usec : USEC_INFINITY;
}

uint64_t resize_step_deadline_usec(const Resize *resize) {
        uint64_t timeout_usec = resize->config.confirm_timeout_usec;
        uint64_t deadline_usec = u64_add(resize->progress_usec, timeout_usec);

        if (!resize_step_is_short(resize))
                return deadline_usec;
        if (resize_step_is_confirmed(resize))
                return u64_add(resize->progress_usec, u64_min(timeout_usec, ALMOST_TIMEOUT_USEC));
        return u64_min(deadline_usec, short_deadline_usec(resize));
}
