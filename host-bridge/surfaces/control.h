/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What an operator may tell the bridge to do, as a table that the bridge implements. Surfaces see to it that only those who
 * may are let through.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host-bridge/policy/decision.h"
#include "host-bridge/policy/planner.h"

#define CONTROL_STEPS_MAX 64U

/* What a resize would be or has begun to be. */
typedef struct ControlPlan {
        Decision decision; /* id 0: a forecast; kind DECISION_KIND_MAX: it has that size already */
        /* a forecast's steps; size_bytes: where they lead; more: there would be others behind */
        size_t n_steps;
        PlanStep steps[CONTROL_STEPS_MAX];
        char devices[CONTROL_STEPS_MAX][MEMORY_MODEL_ID_MAX];
        uint64_t size_bytes;
        bool more;
} ControlPlan;

typedef struct Control {
        void *userdata;
        /*
         * Begins a resize of vm to target_bytes, or only tells what it would be. Returns 0 (the decision may be a
         * denial), -ENOENT without such a VM, -EBUSY while a resize of it is open or its outcome not yet read, -ENOTCONN
         * without monitor or agent, -EHOSTDOWN while it is paused.
         */
        int (*resize)(void *userdata, const char *vm, uint64_t target_bytes, bool forecast, ControlPlan *ret);
        /* No decision about vm for usec (UINT64_MAX: until it is resumed) but an operator's. Returns 0, -ENOENT or -errno. */
        int (*hold)(void *userdata, const char *vm, uint64_t usec);
        /* Ends a hold, and a yield to somebody else. Returns 0, -ENOENT or -errno. */
        int (*resume)(void *userdata, const char *vm);
} Control;
