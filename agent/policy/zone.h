/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which zone a memory block shall be onlined to. Pure. */

#include <stdbool.h>
#include <stdint.h>

#include "common/vocabulary.h"

typedef enum ZonePolicy {
        ZONE_POLICY_AUTO, /* Movable up to ratio, kernel beyond it */
        ZONE_POLICY_MOVABLE,
        ZONE_POLICY_KERNEL,
        ZONE_POLICY_MAX,
} ZonePolicy;

typedef struct ZoneBalance {
        uint64_t kernel_bytes;  /* present in DMA, DMA32, Normal */
        uint64_t movable_bytes; /* present in Movable */
        bool kernel_wanted;     /* the estimator asks for kernel-zone memory now (Demand.fired) */
} ZoneBalance;

/*
 * The zone for block_bytes of kind. ratio_percent: most Movable per kernel memory (301 % is the kernel's own
 * auto_movable_ratio; 63:1 is impossible, 3:1 to 4:1 usually fine: memory-hotplug.rst).
 */
Zone zone_choose(ZonePolicy policy, BlockKind kind, const ZoneBalance *balance, uint64_t block_bytes,
                 uint64_t ratio_percent);

/* The word to write to memoryN/state for zone: "online_movable" or "online_kernel". */
const char *zone_online_word(Zone zone);
