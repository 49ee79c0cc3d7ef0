/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The life of the blocks, without a loop or a clock: what is known of each, what sysfs says now, and what follows.
 * Embedded by the service, which brings events and time.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/blocks/block.h"
#include "agent/blocks/service.h"
#include "agent/blocks/table.h"
#include "agent/signals/procfile.h"

typedef struct BlockOnliner {
        const RootDir *root; /* borrowed */
        BlockServiceConfig config;
        BlockServiceHandler handler;
        void *userdata; /* borrowed */

        uint64_t block_size_bytes;
        bool kernel_onlines;
        bool quiet; /* the scan at start: nothing is told */
        BlockTable table;
        BlockMap map;
        bool map_is_fresh; /* read in this turn */
        ProcFile zoneinfo;
} BlockOnliner;

/*
 * Lists and reads all blocks, without a word and without a write. Returns 0, -ENOENT without memory hotplug,
 * or -errno; in any case block_onliner_done() frees.
 */
int block_onliner_init(BlockOnliner *onliner, const RootDir *root, const BlockServiceConfig *config,
                       BlockServiceHandler handler, void *userdata, uint64_t now_usec);
void block_onliner_done(BlockOnliner *onliner);

/* Marks this block, or all there are, to be looked at. Returns 0 or -errno. */
int block_onliner_hint(BlockOnliner *onliner, uint64_t number, uint64_t now_usec);
int block_onliner_rescan(BlockOnliner *onliner, uint64_t now_usec);

/* Marks those whose retry is due. */
void block_onliner_mark_due(BlockOnliner *onliner, uint64_t now_usec);

/* When the next retry is due; USEC_INFINITY = none. */
uint64_t block_onliner_retry_usec(const BlockOnliner *onliner);

/* Looks at some marked blocks and writes to one at most. Returns true if there may be more to do now. */
bool block_onliner_turn(BlockOnliner *onliner, uint64_t now_usec);
