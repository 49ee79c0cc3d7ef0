/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The arithmetic over a hypervisor's three numbers. A sum "VM size" kept beside them was rejected: QEMU's
 * balloon value leaves out virtio-mem and counts DIMMs that no guest has onlined, so a size that has
 * been added up once cannot be taken apart again (kernel-qemu.md 3.5, pitfalls 1 and 20).
 */

#include "host-bridge/policy/memory-model.h"

#include <string.h>

#define PAGE_BYTES (4 * KIB) /* the unit of a balloon */

static const char *const actuator_names[] = {
        [ACTUATOR_NONE] = "none",
        [ACTUATOR_BALLOON] = "balloon",
        [ACTUATOR_VIRTIO_MEM] = "virtio-mem",
        [ACTUATOR_DIMM] = "dimm",
};
_Static_assert(sizeof(actuator_names) / sizeof(actuator_names[0]) == ACTUATOR_MAX,
               "every actuator has a name");

const char *actuator_to_string(Actuator actuator) {
        return (unsigned) actuator < ACTUATOR_MAX ? actuator_names[actuator] : "unknown";
}

/* What QEMU subtracts the balloon from. */
static uint64_t ram_bytes(const MemoryModel *model) {
        return u64_add(model->boot_bytes, model->dimm_bytes);
}

uint64_t memory_model_balloon_bytes(const MemoryModel *model) {
        return model->has_balloon ? u64_sub(ram_bytes(model), model->balloon_actual_bytes) : 0;
}

uint64_t memory_model_size_bytes(const MemoryModel *model) {
        uint64_t bytes = ram_bytes(model) - memory_model_balloon_bytes(model);

        for (unsigned i = 0; i < model->n_virtio_mem; i++)
                bytes = u64_add(bytes, model->virtio_mem[i].size_bytes);
        return bytes;
}

uint64_t memory_model_committed_bytes(const MemoryModel *model) {
        uint64_t bytes = ram_bytes(model) - memory_model_balloon_bytes(model);

        for (unsigned i = 0; i < model->n_virtio_mem; i++)
                bytes = u64_add(bytes, u64_max(model->virtio_mem[i].size_bytes,
                                               model->virtio_mem[i].requested_bytes));
        return bytes;
}

/* Of DIMMs that may be pulled. */
static uint64_t pullable_bytes(const MemoryModel *model) {
        uint64_t bytes = 0;

        for (unsigned i = 0; model->dimm_unit_bytes > 0 && i < MEMORY_MODEL_DIMMS_MAX; i++)
                bytes = u64_add(bytes, model->dimm[i].stuck ? 0 : model->dimm[i].size_bytes);
        return bytes;
}

static uint64_t own_dimm_bytes(const MemoryModel *model) {
        uint64_t bytes = 0;

        for (unsigned i = 0; i < MEMORY_MODEL_DIMMS_MAX; i++)
                bytes = u64_add(bytes, model->dimm[i].size_bytes);
        return bytes;
}

/* How many more may be plugged. */
static uint64_t n_pluggable(const MemoryModel *model) {
        uint64_t n = 0;

        if (model->dimm_unit_bytes == 0)
                return 0;
        for (unsigned i = 0; i < MEMORY_MODEL_DIMMS_MAX; i++)
                n += model->dimm[i].size_bytes == 0;
        return u64_min(u64_min(n, model->free_slots), model->room_bytes / model->dimm_unit_bytes);
}

uint64_t memory_model_ceiling_bytes(const MemoryModel *model) {
        uint64_t bytes = u64_add(ram_bytes(model), u64_mul(n_pluggable(model), model->dimm_unit_bytes));

        for (unsigned i = 0; i < model->n_virtio_mem; i++)
                bytes = u64_add(bytes, model->virtio_mem[i].max_bytes);
        return bytes;
}

uint64_t memory_model_floor_bytes(const MemoryModel *model) {
        uint64_t boot = model->has_balloon ? u64_min(model->boot_bytes, MEMORY_MODEL_BOOT_REST_BYTES)
                                           : model->boot_bytes;

        return u64_add(boot, u64_sub(model->dimm_bytes, pullable_bytes(model)));
}

uint64_t memory_model_block_bytes(const MemoryModel *model) {
        uint64_t block = PAGE_BYTES;

        for (unsigned i = 0; i < model->n_virtio_mem; i++)
                block = u64_max(block, model->virtio_mem[i].block_bytes);
        return block;
}

unsigned memory_model_next_dimm(const MemoryModel *model) {
        for (unsigned i = 0; n_pluggable(model) > 0 && i < MEMORY_MODEL_DIMMS_MAX; i++)
                if (model->dimm[i].size_bytes == 0)
                        return i;
        return MEMORY_MODEL_DIMMS_MAX;
}

uint64_t memory_model_inflatable_bytes(const MemoryModel *model) {
        uint64_t kept = u64_add(memory_model_balloon_bytes(model), MEMORY_MODEL_BOOT_REST_BYTES);

        return model->has_balloon ? u64_align_down(u64_sub(model->boot_bytes, kept), MIB) : 0;
}

bool memory_model_grows_by_dimm(const MemoryModel *model) {
        bool others = memory_model_balloon_bytes(model) >= PAGE_BYTES;

        for (unsigned i = 0; i < model->n_virtio_mem; i++)
                others |= u64_sub(model->virtio_mem[i].max_bytes, model->virtio_mem[i].size_bytes) >=
                          model->virtio_mem[i].block_bytes;
        return !others && n_pluggable(model) > 0;
}

uint64_t memory_model_grow_block_bytes(const MemoryModel *model) {
        return memory_model_grows_by_dimm(model) ? model->dimm_unit_bytes : memory_model_block_bytes(model);
}

uint64_t memory_model_shrink_block_bytes(const MemoryModel *model) {
        bool others = memory_model_inflatable_bytes(model) > 0;
        uint64_t smallest = UINT64_MAX;

        for (unsigned i = 0; i < model->n_virtio_mem; i++)
                others |= model->virtio_mem[i].size_bytes > 0;
        for (unsigned i = 0; i < MEMORY_MODEL_DIMMS_MAX; i++)
                if (model->dimm[i].size_bytes > 0 && !model->dimm[i].stuck)
                        smallest = u64_min(smallest, model->dimm[i].size_bytes);
        return others || model->dimm_unit_bytes == 0 || smallest == UINT64_MAX
                       ? memory_model_block_bytes(model)
                       : smallest;
}

bool memory_model_allow_dimms(MemoryModel *model, uint64_t unit_bytes, uint64_t guest_block_bytes) {
        bool fits = unit_bytes >= MEMORY_MODEL_DIMM_MIN_BYTES && unit_bytes <= MEMORY_BYTES_MAX &&
                    guest_block_bytes > 0 && unit_bytes % guest_block_bytes == 0;

        model->dimm_unit_bytes = fits ? unit_bytes : 0;
        return fits;
}

void memory_model_set_dimm(MemoryModel *model, unsigned number, uint64_t size_bytes) {
        uint64_t before = model->dimm[number].size_bytes;
        int64_t delta = u64_delta(size_bytes, before);

        if (size_bytes == before)
                return;
        model->dimm[number].size_bytes = size_bytes;
        model->dimm[number].stuck = false;
        model->dimm_bytes = u64_shift(model->dimm_bytes, delta);
        model->room_bytes = u64_shift(model->room_bytes, -delta);
        if (model->has_balloon)
                model->balloon_actual_bytes = u64_shift(model->balloon_actual_bytes, delta);
        if (before == 0 && model->free_slots > 0)
                model->free_slots--;
        else if (size_bytes == 0)
                model->free_slots++;
}

bool memory_model_same_devices(const MemoryModel *a, const MemoryModel *b) {
        if (a->n_virtio_mem != b->n_virtio_mem || a->has_balloon != b->has_balloon)
                return false;
        for (unsigned i = 0; i < a->n_virtio_mem; i++)
                if (strncmp(a->virtio_mem[i].id, b->virtio_mem[i].id, MEMORY_MODEL_ID_MAX) != 0 ||
                    a->virtio_mem[i].block_bytes != b->virtio_mem[i].block_bytes)
                        return false;
        return true;
}

uint64_t memory_model_balloon_value(const MemoryModel *model, uint64_t inflated_bytes) {
        if (!model->has_balloon)
                return 0;
        /* Down to whole pages: what is rounded stays with the guest. */
        return u64_sub(ram_bytes(model), u64_align_down(inflated_bytes, PAGE_BYTES));
}

static bool virtio_mem_is_sane(const VirtioMem *device) {
        bool power_of_two = device->block_bytes > 0 && (device->block_bytes & (device->block_bytes - 1)) == 0;

        return power_of_two && device->max_bytes <= MEMORY_BYTES_MAX &&
               device->size_bytes <= device->max_bytes && device->requested_bytes <= device->max_bytes &&
               device->id[0] != '\0' && memchr(device->id, '\0', MEMORY_MODEL_ID_MAX);
}

bool memory_model_is_sane(const MemoryModel *model) {
        if (model->boot_bytes == 0 || model->n_virtio_mem > MEMORY_MODEL_DEVICES_MAX)
                return false;
        for (unsigned i = 0; i < model->n_virtio_mem; i++)
                if (!virtio_mem_is_sane(&model->virtio_mem[i]))
                        return false;
        if (own_dimm_bytes(model) > model->dimm_bytes)
                return false;
        /* A stale actual above boot + DIMMs (after an unplug) is read as an empty balloon, not as an error. */
        return model->balloon_actual_bytes <= MEMORY_BYTES_MAX && model->boot_bytes <= MEMORY_BYTES_MAX &&
               model->dimm_bytes <= MEMORY_BYTES_MAX && memory_model_ceiling_bytes(model) <= MEMORY_BYTES_MAX;
}
