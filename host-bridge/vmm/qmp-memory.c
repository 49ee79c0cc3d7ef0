/* SPDX-License-Identifier: Apache-2.0 */

/*
 * DIMMs are summed from query-memory-devices. The tempting shortcut, plugged-memory of
 * query-memory-size-summary, counts plugged virtio-mem as well (QEMU 7.2 to 10.0), and QEMU's `balloon`
 * computes over boot RAM and DIMMs alone: mixing them shifts each balloon value by the virtio-mem size.
 */

#include "host-bridge/vmm/qmp-memory.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/macro.h"
#include "host-bridge/vmm/dimm-name.h"

#define SLOTS_MAX 256U /* of QEMU */

static int read_size(const json_t *object, const char *key, uint64_t *ret) {
        const json_t *value = json_object_get(object, key);

        /* A negative one is beyond the bound as well. */
        if (!json_is_integer(value) || (uint64_t) json_integer_value(value) > MEMORY_BYTES_MAX)
                return -EBADMSG;
        *ret = (uint64_t) json_integer_value(value);
        return 0;
}

int qmp_memory_read_summary(const json_t *value, MemoryModel *model) {
        assert(model);

        return read_size(value, "base-memory", &model->boot_bytes);
}

int qmp_memory_read_machine(const json_t *value, MemoryModel *model) {
        uint64_t size = 0, max = 0, slots = 0;
        int r;

        assert(model);

        r = read_size(value, "size", &size);
        if (r >= 0)
                r = read_size(value, "max-size", &max);
        if (r >= 0)
                r = read_size(value, "slots", &slots);
        if (r < 0)
                return r;
        model->room_bytes = u64_sub(max, size);
        model->free_slots = (unsigned) u64_min(slots, SLOTS_MAX);
        return 0;
}

static int read_dimm(const json_t *data, MemoryModel *model) {
        unsigned number = dimm_name_number(json_string_value(json_object_get(data, "id")));
        Dimm dimm = {};
        int r;

        r = read_size(data, "size", &dimm.size_bytes);
        if (r >= 0 && number < MEMORY_MODEL_DIMMS_MAX)
                r = read_size(data, "addr", &dimm.address);
        if (r < 0)
                return r;

        model->dimm_bytes = u64_add(model->dimm_bytes, dimm.size_bytes);
        model->room_bytes = u64_sub(model->room_bytes, dimm.size_bytes);
        model->free_slots -= model->free_slots > 0;
        if (number < MEMORY_MODEL_DIMMS_MAX)
                model->dimm[number] = dimm;
        return 0;
}

static int read_virtio_mem(const json_t *data, MemoryModel *model, unsigned *n_unusable) {
        const char *id = json_string_value(json_object_get(data, "id"));
        VirtioMem device = {};
        int r;

        r = read_size(data, "size", &device.size_bytes);
        if (r >= 0)
                r = read_size(data, "requested-size", &device.requested_bytes);
        if (r >= 0)
                r = read_size(data, "max-size", &device.max_bytes);
        if (r >= 0)
                r = read_size(data, "block-size", &device.block_bytes);
        if (r < 0)
                return r;
        model->room_bytes = u64_sub(model->room_bytes, device.max_bytes);

        if (!id || id[0] == '\0' || strlen(id) >= sizeof(device.id) ||
            model->n_virtio_mem >= MEMORY_MODEL_DEVICES_MAX) {
                (*n_unusable)++;
                return 0;
        }
        memcpy(device.id, id, strlen(id) + 1);
        model->virtio_mem[model->n_virtio_mem++] = device;
        return 0;
}

/* NVDIMM, virtio-pmem: no RAM of ours, but in the way. One without a readable size is of a kind that we do not know. */
static void read_other(const char *type, const json_t *data, MemoryModel *model) {
        uint64_t bytes = 0;

        if (read_size(data, "size", &bytes) < 0)
                return;
        model->room_bytes = u64_sub(model->room_bytes, bytes);
        if (type && strcmp(type, "nvdimm") == 0)
                model->free_slots -= model->free_slots > 0;
}

static int compare_ids(const void *a, const void *b) {
        return strcmp(((const VirtioMem *) a)->id, ((const VirtioMem *) b)->id);
}

int qmp_memory_read_devices(const json_t *value, MemoryModel *model, unsigned *ret_n_unusable) {
        const json_t *device;
        size_t i;
        int r;

        assert(model);
        assert(ret_n_unusable);

        if (!json_is_array(value))
                return -EBADMSG;

        model->dimm_bytes = 0;
        memset(model->dimm, 0, sizeof(model->dimm));
        model->n_virtio_mem = 0;
        *ret_n_unusable = 0;
        json_array_foreach(value, i, device) {
                const char *type = json_string_value(json_object_get(device, "type"));
                const json_t *data = json_object_get(device, "data");

                r = 0;
                if (type && strcmp(type, "dimm") == 0)
                        r = read_dimm(data, model);
                else if (type && strcmp(type, "virtio-mem") == 0)
                        r = read_virtio_mem(data, model, ret_n_unusable);
                else
                        read_other(type, data, model);
                if (r < 0)
                        return r;
        }

        qsort(model->virtio_mem, model->n_virtio_mem, sizeof(model->virtio_mem[0]), compare_ids);
        return 0;
}

int qmp_memory_read_balloon(const json_t *value, MemoryModel *model) {
        int r;

        assert(model);

        r = read_size(value, "actual", &model->balloon_actual_bytes);
        if (r < 0)
                return r;
        model->has_balloon = true;
        return 0;
}

bool qmp_memory_is_running(const json_t *value) {
        return json_is_true(json_object_get(value, "running"));
}

bool qmp_memory_is_migrating(const json_t *value) {
        static const char *const under_way[] = {
                "setup",          "active",      "cancelling",       "postcopy-active", "postcopy-paused",
                "pre-switchover", "wait-unplug", "postcopy-recover", "device",          "colo",
        };
        const char *status = json_string_value(json_object_get(value, "status"));

        for (size_t i = 0; status && i < ELEMENTSOF(under_way); i++)
                if (strcmp(status, under_way[i]) == 0)
                        return true;
        return false;
}
