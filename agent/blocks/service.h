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
#include "agent/policy/onlining.h"
#include "agent/policy/zone.h"
#include "common/macro.h"
#include "common/rootdir.h"
#include "common/vocabulary.h"

typedef struct BlockServiceConfig {
        bool online; /* false: observe and report only */
        Onliner onliner;
        ZonePolicy zone_policy;
        uint64_t zone_ratio_percent; /* most Movable per kernel memory; 301 is the kernel's */
        BlockMonitorSource source;
        uint64_t buffer_bytes; /* of its events; 0 = the default */
        uint64_t rescan_usec;  /* slow timer; 0 = the default, 30 s */
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

/* A range of memory that the host names: take its blocks offline, or bring back those that were. */
typedef struct BlockRangeCommand {
        bool back;
        uint64_t id, address, bytes;
        uint64_t deadline_usec; /* CLOCK_MONOTONIC */
} BlockRangeCommand;

typedef struct BlockRangeResult {
        BlockRangeCommand command;
        int error;      /* errno, positive: all is as it was, but for bytes; 0 = done */
        uint64_t bytes; /* of blocks that changed sides */
} BlockRangeResult;

/* Called from the loop only. The service may not be freed inside. */
typedef void (*BlockServiceHandler)(const BlockFate *fate, void *userdata);
typedef void (*BlockRangeHandler)(const BlockRangeResult *result, void *userdata);

typedef struct BlockService BlockService;

/*
 * Scans at once, and does no more than read until block_service_start(); then it onlines from the loop. Blocks found online
 * are not reported. root is borrowed for the service's life, config is copied. Without kernel events it works by its slow
 * timer.
 * Returns 0, -ENOENT where the kernel has no memory hotplug, or -errno.
 */
int block_service_new(sd_event *event, const RootDir *root, const BlockServiceConfig *config,
                      BlockServiceHandler handler, BlockRangeHandler range_handler, void *userdata,
                      BlockService **ret);
/* Settles who onlines, the kernel or this service, and sets the kernel to it; it is left with a safe word at the end. */
void block_service_start(BlockService *service);

BlockService *block_service_free(BlockService *service);
DEFINE_CLEANUP_FUNC(BlockService, block_service_free)

/* Takes new settings from now on; source is kept. */
void block_service_configure(BlockService *service, const BlockServiceConfig *config);

/* Whether the memory that is awaited was asked for the kernel's zones: blocks onlined from now on go there by AUTO. */
void block_service_want_kernel_zone(BlockService *service, bool wanted);

/*
 * Whether the command could be carried out, and how many bytes it would move. Returns REFUSAL_NONE, REFUSAL_INVALID, or
 * REFUSAL_UNSETTLED while another is.
 */
RefusalReason block_service_check_range(BlockService *service, const BlockRangeCommand *command,
                                        uint64_t *ret_bytes);

/* Carries out what was just checked, and tells what came of it; 5 s at most, and the time to bring back what was taken. */
void block_service_start_range(BlockService *service, const BlockRangeCommand *command);

/* Ends it soon: what was taken comes back. */
void block_service_cancel_range(BlockService *service);
bool block_service_is_ranging(const BlockService *service);

/* Of the block that is on its way out just now: its pages may be missing in MemAvailable and not yet in MemTotal. 0 = none. */
uint64_t block_service_offlining_bytes(const BlockService *service);

uint64_t block_service_block_size_bytes(const BlockService *service);

/* Blocks by state, as last read. */
void block_service_counts(const BlockService *service, unsigned *ret_online, unsigned *ret_offline);

/* 0, or the errno (positive) of why there are no kernel events: FACILITY_UEVENTS of Hello. */
int block_service_uevents_error(const BlockService *service);

/* True if the kernel onlines by itself, or will: the service then onlines only what the kernel has left. As last read. */
bool block_service_kernel_onlines(const BlockService *service);
