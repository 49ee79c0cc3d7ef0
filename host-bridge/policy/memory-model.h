/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One VM's memory as its hypervisor says it is: three numbers that are never mixed (boot RAM and
 * DIMMs, virtio-mem, balloon), read from the hypervisor and never derived from the last command. Pure.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/units.h"

#define MEMORY_MODEL_DEVICES_MAX 8U
#define MEMORY_MODEL_ID_MAX      64U
#define MEMORY_MODEL_DIMMS_MAX   16U

/* Least size of a DIMM: one memory block of x86. */
#define MEMORY_MODEL_DIMM_MIN_BYTES (128 * MIB)

/* Of boot RAM, what no balloon may take: a kernel does not live on less (kernel-qemu.md 3.7). */
#define MEMORY_MODEL_BOOT_REST_BYTES (64 * MIB)

typedef enum Actuator {
        ACTUATOR_NONE,
        ACTUATOR_BALLOON,
        ACTUATOR_VIRTIO_MEM,
        ACTUATOR_DIMM,
        ACTUATOR_MAX,
} Actuator;

/* "none", "balloon", "virtio-mem", "dimm". */
const char *actuator_to_string(Actuator actuator);

typedef struct VirtioMem {
        char id[MEMORY_MODEL_ID_MAX]; /* QOM id, /machine/peripheral/<id> */
        uint64_t size_bytes;          /* plugged now */
        uint64_t requested_bytes;     /* what the host last asked for */
        uint64_t max_bytes;
        uint64_t block_bytes; /* granularity of requested_bytes, a power of two */
} VirtioMem;

/*
 * A DIMM that memtide plugged, by its number N: the device is called memtide-dimmN, its backend memtide-dimmN-mem;
 * libvirt's alias is ua-memtide-dimmN. DIMMs of somebody else are in dimm_bytes and are never touched.
 */
typedef struct Dimm {
        uint64_t size_bytes; /* 0: not plugged */
        uint64_t address;    /* where the guest sees it */
        bool stuck; /* of our own knowledge: the guest could not put it offline, and is not asked for now */
} Dimm;

typedef struct MemoryModel {
        bool known;
        uint64_t boot_bytes;               /* boot RAM */
        uint64_t dimm_bytes;               /* all plugged DIMMs, ours or not, onlined or not */
        Dimm dimm[MEMORY_MODEL_DIMMS_MAX]; /* ours; the index is the number */
        unsigned free_slots;               /* for DIMMs; 0: none, or the hypervisor does not say */
        uint64_t room_bytes;               /* up to maxmem, for DIMMs; 0: none, or it does not say */
        uint64_t dimm_unit_bytes; /* of policy: the size of a DIMM that we may plug; 0: hands off DIMMs */
        unsigned n_virtio_mem;
        VirtioMem virtio_mem[MEMORY_MODEL_DEVICES_MAX];
        bool has_balloon;
        uint64_t balloon_actual_bytes; /* QEMU's logical size: boot + DIMMs - inflated, without virtio-mem */
} MemoryModel;

/* Bytes that the balloon holds. */
uint64_t memory_model_balloon_bytes(const MemoryModel *model);

/* What the guest has now: boot + DIMMs + plugged virtio-mem - balloon. */
uint64_t memory_model_size_bytes(const MemoryModel *model);

/*
 * The same with every pending growth fulfilled and no pending unplug believed: what must be reserved in the
 * host budget. An open resize may need more: resize_reserved_bytes().
 */
uint64_t memory_model_committed_bytes(const MemoryModel *model);

/* The most the VM's own devices, and DIMMs that may be plugged, reach with an empty balloon. */
uint64_t memory_model_ceiling_bytes(const MemoryModel *model);

/*
 * The least that they reach: virtio-mem empty, DIMMs that may be pulled gone, the balloon as large as we would ever
 * make it.
 */
uint64_t memory_model_floor_bytes(const MemoryModel *model);

/* The largest block of its virtio-mem devices; 4 KiB without any. */
uint64_t memory_model_block_bytes(const MemoryModel *model);

/*
 * What a grant is rounded to, and what is taken: the block, or a whole DIMM where nothing else is left to
 * grow or to shrink by.
 */
uint64_t memory_model_grow_block_bytes(const MemoryModel *model);
uint64_t memory_model_shrink_block_bytes(const MemoryModel *model);

/*
 * Lets DIMMs of unit_bytes be plugged, and ours be pulled: policy, written into a hypervisor's model. A guest takes only
 * whole memory blocks (kernel-qemu.md 1.1), and one that does not tell theirs (0) gets none.
 * Returns whether it is allowed now.
 */
bool memory_model_allow_dimms(MemoryModel *model, uint64_t unit_bytes, uint64_t guest_block_bytes);

/* Nothing but another DIMM is left to grow by. */
bool memory_model_grows_by_dimm(const MemoryModel *model);

/* The number of the next DIMM to plug; MEMORY_MODEL_DIMMS_MAX: none may be plugged. */
unsigned memory_model_next_dimm(const MemoryModel *model);

/* Moves the model to a DIMM of ours that is plugged or pulled: QEMU's logical balloon size moves along, silently. */
void memory_model_set_dimm(MemoryModel *model, unsigned number, uint64_t size_bytes);

/* The balloon's room by our own rule: boot RAM alone, because a DIMM may be offline in the guest. */
uint64_t memory_model_inflatable_bytes(const MemoryModel *model);

/* The same devices in the same order: a step planned on one model may be carried out on the other. */
bool memory_model_same_devices(const MemoryModel *a, const MemoryModel *b);

/*
 * The value for QMP's `balloon` that leaves inflated_bytes in the balloon. QEMU subtracts the value from
 * boot + all DIMMs, onlined or not (kernel-qemu.md 3.5); the naive "value = wanted size" panics a guest.
 * 0: there is no balloon, or nothing would be left.
 */
uint64_t memory_model_balloon_value(const MemoryModel *model, uint64_t inflated_bytes);

/*
 * Holds a model read from a hypervisor to what is possible: sizes within MEMORY_BYTES_MAX, block size a power of
 * two, size and requested at most max. Returns false if it is not usable.
 */
bool memory_model_is_sane(const MemoryModel *model);
