/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One step at a time, from what the hypervisor says now. A whole plan made at the start was rejected: between
 * two steps the guest takes back (deflate on OOM), the driver gives up (virtio-mem stops half way) and an
 * administrator types; a plan that remembers is wrong by then, one that looks again is not.
 *
 * Growing goes by the fastest and cheapest first: a balloon gives pages back without memmap. Shrinking
 * goes the other way round, so that the balloon stays free for the next emergency. A DIMM is last in both directions:
 * it comes whole, and it goes whole or not at all.
 */

#include "host-bridge/policy/planner.h"

#define PAGE_BYTES (4 * KIB)

/* Least wave of hotplug: one online block of x86 (memory-hotplug.rst). Its memmap is 2 MiB. */
#define WAVE_MIN_BYTES (128 * MIB)

/* Of a guest that did not say how large its blocks are. */
#define GUEST_BLOCK_BYTES (128 * MIB)

/*
 * shrink.md section 2: half a block, 32 MiB where less than 512 MiB is available, balloon 64 to 256 MiB.
 * The upper end holds for large blocks too (2 GiB on big x86 machines): a veto has to return what is in flight.
 */
#define SHRINK_TIGHT_BYTES   (512 * MIB)
#define SHRINK_WIDE_BYTES    (2 * GIB)
#define UNPLUG_TIGHT_BYTES   (32 * MIB)
#define UNPLUG_MAX_BYTES     (256 * MIB)
#define INFLATE_TIGHT_BYTES  (64 * MIB)
#define INFLATE_COMMON_BYTES (128 * MIB)
#define INFLATE_MAX_BYTES    (256 * MIB)

int64_t plan_step_delta_bytes(const PlanStep *step) {
        switch (step->actuator) {

        case ACTUATOR_BALLOON:
                return u64_delta(step->from_bytes, step->to_bytes);

        case ACTUATOR_VIRTIO_MEM:
        case ACTUATOR_DIMM:
                return u64_delta(step->to_bytes, step->from_bytes);

        case ACTUATOR_NONE:
        case ACTUATOR_MAX:
                break;
        }
        return 0;
}

PlanStep plan_step_reverse(const PlanStep *step) {
        return (PlanStep){
                .actuator = step->actuator,
                .device = step->device,
                .from_bytes = step->to_bytes,
                .to_bytes = step->from_bytes,
        };
}

static PlanStep deflate(const MemoryModel *model, uint64_t bytes) {
        uint64_t inflated = memory_model_balloon_bytes(model);
        uint64_t give = u64_align_down(u64_min(bytes, inflated), PAGE_BYTES);

        if (give == 0)
                return (PlanStep){.actuator = ACTUATOR_NONE};
        return (PlanStep){
                .actuator = ACTUATOR_BALLOON,
                .from_bytes = inflated,
                .to_bytes = inflated - give,
        };
}

/*
 * Starts from the plugged size and not from the request: a device may hold more than was asked of it (an
 * unplug that stuck), and then a request between the two would still take memory away.
 */
static PlanStep plug(const MemoryModel *model, unsigned index, uint64_t bytes, uint64_t wave_max_bytes) {
        const VirtioMem *device = &model->virtio_mem[index];
        uint64_t block = device->block_bytes;
        uint64_t wave = u64_max(wave_max_bytes, u64_max(WAVE_MIN_BYTES, block));
        uint64_t to = u64_align_down(u64_add(device->size_bytes, u64_min(bytes, wave)), block);

        to = u64_min(u64_max(to, device->requested_bytes), u64_align_down(device->max_bytes, block));
        if (to <= device->size_bytes)
                return (PlanStep){.actuator = ACTUATOR_NONE};
        return (PlanStep){
                .actuator = ACTUATOR_VIRTIO_MEM,
                .device = index,
                .from_bytes = device->size_bytes,
                .to_bytes = to,
        };
}

bool planner_dimm_fits(uint64_t unit_bytes, uint64_t wave_max_bytes) {
        return unit_bytes <= u64_max(wave_max_bytes, WAVE_MIN_BYTES);
}

static PlanStep plug_dimm(const MemoryModel *model, uint64_t bytes, uint64_t wave_max_bytes) {
        uint64_t unit = model->dimm_unit_bytes;
        unsigned number = memory_model_next_dimm(model);

        if (number == MEMORY_MODEL_DIMMS_MAX || unit > bytes || !planner_dimm_fits(unit, wave_max_bytes))
                return (PlanStep){.actuator = ACTUATOR_NONE};
        return (PlanStep){.actuator = ACTUATOR_DIMM, .device = number, .to_bytes = unit};
}

PlanStep planner_grow(const MemoryModel *model, uint64_t bytes, uint64_t wave_max_bytes) {
        PlanStep step = deflate(model, bytes);

        if (bytes == 0)
                return step;
        for (unsigned i = 0; i < model->n_virtio_mem && step.actuator == ACTUATOR_NONE; i++)
                step = plug(model, i, bytes, wave_max_bytes);
        return step.actuator == ACTUATOR_NONE ? plug_dimm(model, bytes, wave_max_bytes) : step;
}

static uint64_t unplug_step_bytes(const VirtioMem *device, uint64_t guest_block_bytes,
                                  uint64_t available_bytes) {
        uint64_t half = (guest_block_bytes > 0 ? guest_block_bytes : GUEST_BLOCK_BYTES) / 2;
        uint64_t most = available_bytes < SHRINK_TIGHT_BYTES ? UNPLUG_TIGHT_BYTES : UNPLUG_MAX_BYTES;

        /* A device whose own block is as large cannot go below it: S1's costs are then to be expected. */
        return u64_max(u64_min(half, most), device->block_bytes);
}

static PlanStep unplug(const MemoryModel *model, unsigned index, uint64_t bytes, uint64_t step_bytes) {
        const VirtioMem *device = &model->virtio_mem[index];
        uint64_t take =
                u64_align_down(u64_min(u64_min(bytes, step_bytes), device->size_bytes), device->block_bytes);

        if (take == 0)
                return (PlanStep){.actuator = ACTUATOR_NONE};
        return (PlanStep){
                .actuator = ACTUATOR_VIRTIO_MEM,
                .device = index,
                .from_bytes = device->size_bytes,
                .to_bytes = device->size_bytes - take,
        };
}

static PlanStep inflate(const MemoryModel *model, uint64_t bytes, uint64_t available_bytes) {
        uint64_t inflated = memory_model_balloon_bytes(model), room = memory_model_inflatable_bytes(model);
        uint64_t most = available_bytes < SHRINK_TIGHT_BYTES  ? INFLATE_TIGHT_BYTES
                        : available_bytes < SHRINK_WIDE_BYTES ? INFLATE_COMMON_BYTES
                                                              : INFLATE_MAX_BYTES;
        /* In whole MiB, as the driver takes it: a remainder of unplugging is not worth a second actuator. */
        uint64_t take = u64_align_down(u64_min(u64_min(bytes, most), room), MIB);

        if (take == 0)
                return (PlanStep){.actuator = ACTUATOR_NONE};
        return (PlanStep){
                .actuator = ACTUATOR_BALLOON,
                .from_bytes = inflated,
                .to_bytes = inflated + take,
        };
}

/* A guest can offline whole blocks alone, and must be told which: it has to have said how large they are. */
static PlanStep pull_dimm(const MemoryModel *model, uint64_t bytes, uint64_t guest_block_bytes) {
        if (model->dimm_unit_bytes == 0 || guest_block_bytes == 0)
                return (PlanStep){.actuator = ACTUATOR_NONE};
        for (unsigned i = MEMORY_MODEL_DIMMS_MAX; i > 0; i--) {
                const Dimm *dimm = &model->dimm[i - 1];

                if (dimm->size_bytes > 0 && !dimm->stuck && dimm->size_bytes <= bytes &&
                    dimm->size_bytes % guest_block_bytes == 0 && dimm->address % guest_block_bytes == 0)
                        return (PlanStep){.actuator = ACTUATOR_DIMM,
                                          .device = i - 1,
                                          .from_bytes = dimm->size_bytes};
        }
        return (PlanStep){.actuator = ACTUATOR_NONE};
}

PlanStep planner_shrink(const MemoryModel *model, uint64_t bytes, uint64_t guest_block_bytes,
                        uint64_t available_bytes) {
        PlanStep step = {.actuator = ACTUATOR_NONE};

        for (unsigned i = model->n_virtio_mem; i > 0 && step.actuator == ACTUATOR_NONE; i--)
                step = unplug(model, i - 1, bytes,
                              unplug_step_bytes(&model->virtio_mem[i - 1], guest_block_bytes,
                                                available_bytes));
        if (step.actuator == ACTUATOR_NONE)
                step = inflate(model, bytes, available_bytes);
        return step.actuator == ACTUATOR_NONE ? pull_dimm(model, bytes, guest_block_bytes) : step;
}
