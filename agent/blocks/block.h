/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Memory blocks of sysfs as values, and the one write that matters: onlining, verified. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/rootdir.h"
#include "common/vocabulary.h"

#define BLOCK_FOLDER "sys/devices/system/memory"

/* A block number that is larger is no block: 2^64 bytes in the smallest blocks there are, 16 MiB. */
#define BLOCK_NUMBER_MAX ((UINT64_C(1) << 40) - 1)

typedef enum BlockState {
        BLOCK_STATE_OFFLINE,
        BLOCK_STATE_ONLINE,
        BLOCK_STATE_GOING_OFFLINE,
        BLOCK_STATE_MAX,
} BlockState;

/* One entry of the folder. identity changes when a block of the same number is removed and added again. */
typedef struct BlockEntry {
        uint64_t number;
        uint64_t identity;
} BlockEntry;

/* Bytes of one block. Returns 0, -ENOENT where the kernel has no memory hotplug, or -errno. */
int block_size_read(const RootDir *root, uint64_t *ret_bytes);

/* "memory12" to 12; strict. Returns 0 or -EINVAL. */
int block_number_from_name(const char *name, uint64_t *ret);

/*
 * Calls each() for all blocks, in no order, until it returns something other than 0. Nothing is allocated. Returns what
 * each() did, 0, or -errno.
 */
typedef int (*BlockEach)(const BlockEntry *entry, void *userdata);
int block_list(const RootDir *root, BlockEach each, void *userdata);

/* Identity of one block. Returns 0, -ENOENT if it is gone, or -errno. */
int block_identity_read(const RootDir *root, uint64_t number, uint64_t *ret);

/* Returns 0, -ENOENT if the block is gone, or -errno. */
int block_state_read(const RootDir *root, uint64_t number, BlockState *ret);

/*
 * The zone of an online block (ZONE_UNKNOWN for one that spans zones), or the one that a plain "online" would
 * give now; ret_movable tells whether Movable is possible (NULL if not wanted). Returns 0, -ENOENT if the block is gone or the
 * kernel does not say, or -errno: the file has been named in the log then. May be called by a worker.
 */
int block_zone_read(const RootDir *root, uint64_t number, Zone *ret, bool *ret_movable);

/*
 * Where virtio-mem's memory is. By proc/iomem; where the kernel hides its addresses (no CAP_SYS_ADMIN), by
 * what the firmware's map does not hold.
 */
#define BLOCK_RANGES_MAX 64U

typedef struct BlockRange {
        uint64_t start, end; /* bytes, end inclusive */
} BlockRange;

typedef struct BlockMap {
        bool has_ram;        /* it was a map at all */
        bool hidden;         /* ranges are those of the firmware's map */
        bool has_virtio_mem; /* there is such a device */
        bool has_dimm;       /* if hidden: some slot is filled, so a new block's link may still be to come */
        BlockRange ranges[BLOCK_RANGES_MAX];
        size_t n_ranges;
} BlockMap;

/*
 * The ranges of virtio-mem devices in the text of proc/iomem, or hidden. Pure. Ranges beyond
 * BLOCK_RANGES_MAX are left out.
 */
void block_map_parse(const char *text, size_t size, BlockMap *ret);

/* Returns 0 or -errno. Allocates while it runs. */
int block_map_read(const RootDir *root, BlockMap *ret);

/* What kind of memory the block is. Returns 0, -ENOENT if the block is gone, or -errno. */
int block_kind_read(const RootDir *root, uint64_t number, uint64_t block_size_bytes, const BlockMap *map,
                    BlockKind *ret);

/* Does the block link to an ACPI memory device? Returns 1, 0 or -errno. */
int block_is_dimm(const RootDir *root, uint64_t number);

/* Is any DIMM plugged? Returns 1, 0 or -errno. Allocates while it runs. */
int block_any_dimm(const RootDir *root);

/* First and last block of the DIMM that the block is of. Returns 0, -ENOENT if it is of none, or -errno. */
int block_dimm_extent(const RootDir *root, uint64_t number, uint64_t *ret_first, uint64_t *ret_last);

/* How an attempt to online ended. */
typedef enum BlockOnlineResult {
        BLOCK_ONLINE_DONE,    /* online, by us; zone is the one obtained */
        BLOCK_ONLINE_ALREADY, /* online, by somebody else */
        BLOCK_ONLINE_GONE,    /* removed meanwhile */
        BLOCK_ONLINE_FAILED,  /* still offline; error says why */
        BLOCK_ONLINE_RESULT_MAX,
} BlockOnlineResult;

typedef struct BlockOnline {
        BlockOnlineResult result;
        Zone zone;
        int error;     /* errno, positive, of BLOCK_ONLINE_FAILED */
        bool fallback; /* zone was refused, a plain "online" was taken */
} BlockOnline;

/* Onlines the block to zone and verifies by reading back. Nothing that the kernel may answer is an error. */
BlockOnline block_online(const RootDir *root, uint64_t number, Zone zone);

/* True if auto_online_blocks says that the kernel onlines by itself. Returns 0 or -errno. */
int block_kernel_onlines(const RootDir *root, bool *ret);
