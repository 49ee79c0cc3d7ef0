/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Owns the onlining of hot-plugged memory: DIMM and virtio-mem blocks that are offline and that nobody put
 * offline go online, lowest address first, in the zone of the policy, verified; each fate is told.
 */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "agent/blocks/monitor.h"
#include "agent/policy/zone.h"
#include "common/macro.h"
#include "common/rootdir.h"
#include "common/vocabulary.h"

typedef struct BlockServiceConfig {
        bool online; /* false: observe and report only */
        ZonePolicy zone_policy;
        uint64_t zone_ratio_percent; /* most Movable per kernel memory; 301 is the kernel's */
        BlockMonitorSource source;
        uint64_t rescan_usec; /* slow timer; 0 = the default, 30 s */
} BlockServiceConfig;

/* The fate of one block. */
typedef struct BlockFate {
        uint64_t block;
        BlockAction action;
        BlockKind kind;
        Zone zone;
        uint64_t bytes;        /* block size */
        int error;             /* errno, positive, of BLOCK_FAILED */
        uint64_t latency_usec; /* since the block was first seen */
} BlockFate;

/* Called from the loop only. The service may not be freed inside. */
typedef void (*BlockServiceHandler)(const BlockFate *fate, void *userdata);

typedef struct BlockService BlockService;

/*
 * Scans at once (reading only) and onlines from the loop. Blocks found online are not reported. root is borrowed
 * for the service's life, config is copied. Without kernel events it works by its slow timer.
 * Returns 0, -ENOENT where the kernel has no memory hotplug, or -errno.
 */
int block_service_new(sd_event *event, const RootDir *root, const BlockServiceConfig *config,
                      BlockServiceHandler handler, void *userdata, BlockService **ret);
BlockService *block_service_free(BlockService *service);
DEFINE_CLEANUP_FUNC(BlockService, block_service_free)

/* Takes new settings from now on; source is kept. */
void block_service_configure(BlockService *service, const BlockServiceConfig *config);

/* Whether the memory that is awaited was asked for the kernel's zones: blocks onlined from now on go there by AUTO. */
void block_service_want_kernel_zone(BlockService *service, bool wanted);

uint64_t block_service_block_size_bytes(const BlockService *service);

/* Blocks by state, as last read. */
void block_service_counts(const BlockService *service, unsigned *ret_online, unsigned *ret_offline);

/* 0, or the errno (positive) of why there are no kernel events: FACILITY_UEVENTS of Hello. */
int block_service_uevents_error(const BlockService *service);

/* True if the kernel onlines by itself: the service then observes. As last read. */
bool block_service_kernel_onlines(const BlockService *service);
