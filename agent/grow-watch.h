/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The guest's half of a growth: what was promised is compared with what became usable. Pure. One wave
 * at a time, as the host plugs them; a later notice ends the watch over the one before, and inherits what that one lacked.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/policy/snapshot.h"
#include "proto/message.h"

typedef struct GrowWatch {
        bool open;
        bool moved; /* anything has come yet */
        uint64_t id, bytes, deadline_usec;
        uint64_t lacking_bytes; /* of waves before, which may come among this one's */
        uint64_t noticed_usec;
        uint64_t begun_usec;                  /* the ask that the notice answers, or the notice */
        uint64_t usable_bytes, psi_some_usec; /* at the notice */
        uint64_t told_usable_bytes;           /* of the last confirmation */
} GrowWatch;

typedef struct GrowStep {
        bool confirm; /* a confirmation is due, with the fields below */
        bool first;   /* it is the first movement: delay_usec measures the actuator */
        bool whole;   /* as much as this wave's has come by now */
        int64_t delta_bytes;
        uint64_t latency_usec, stall_usec; /* since the notice */
        uint64_t delay_usec;               /* since the guest asked: what the estimator has to plan with */
} GrowStep;

/*
 * watch: as the last wave left it, or all zero. before: the last snapshot taken before the notice, so that none of its
 * memory is in it. asked_usec: when the guest began to ask, 0 = it does not.
 */
void grow_watch_open(GrowWatch *watch, const MessageGrowNotice *notice, const Snapshot *before,
                     uint64_t now_usec, uint64_t asked_usec);

/* On every sample. The watch closes itself with the last confirmation: all has come, or the deadline. */
GrowStep grow_watch_step(GrowWatch *watch, const Snapshot *now);
