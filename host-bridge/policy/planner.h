/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * From a wanted change to the next actuator step: one step, one actuator, aligned. Pure and without
 * memory: after each step the next is planned from what the hypervisor then says.
 * Grow: deflate the balloon, then virtio-mem, then a DIMM. Shrink: virtio-mem, then the balloon, then a DIMM of ours.
 */

#include <stdbool.h>
#include <stdint.h>

#include "host-bridge/policy/memory-model.h"

typedef struct PlanStep {
        Actuator actuator; /* ACTUATOR_NONE: nothing can be done */
        unsigned device;   /* index into model->virtio_mem or model->dimm */
        uint64_t from_bytes,
                to_bytes; /* balloon: inflated; virtio-mem: requested-size; DIMM: 0 or its size */
} PlanStep;

/* Bytes that the guest gains (positive) or loses by the step. */
int64_t plan_step_delta_bytes(const PlanStep *step);

/* The step that undoes it. */
PlanStep plan_step_reverse(const PlanStep *step);

/*
 * Next step to gain up to bytes. wave_max_bytes: the guest's plug budget, bounds hotplug only (deflating needs
 * no memmap) and never below one online block. Aligned down to the device's block, so that a grant is never
 * exceeded: the arbiter has rounded it up. A request that is pending already is never lowered. A DIMM comes whole: only if
 * it is not more than bytes, and within the wave.
 */
PlanStep planner_grow(const MemoryModel *model, uint64_t bytes, uint64_t wave_max_bytes);

/* A guest with that plug budget can take in a DIMM of that size: all of its memmap is needed at once. */
bool planner_dimm_fits(uint64_t unit_bytes, uint64_t wave_max_bytes);

/*
 * Next step to take up to bytes, aligned down. guest_block_bytes: memory block of the guest, 0 if unknown; a
 * virtio-mem step stays below it (half a block: shrink.md S1, a whole online block goes in one piece and freezes a
 * vCPU). available_bytes of the guest chooses the step (S1, constants); 0 if unknown. A DIMM goes whole, and only if all
 * of it is within bytes.
 */
PlanStep planner_shrink(const MemoryModel *model, uint64_t bytes, uint64_t guest_block_bytes,
                        uint64_t available_bytes);
