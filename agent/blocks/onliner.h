/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The life of the blocks, without a loop or a clock: what is known of each, what sysfs says now, and what follows.
 * Embedded by the service, which brings events and time.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/blocks/block.h"
#include "agent/blocks/kernel-onliner.h"
#include "agent/blocks/service.h"
#include "agent/blocks/survey.h"
#include "agent/blocks/table.h"
#include "agent/blocks/writer.h"
#include "agent/policy/offline.h"

typedef struct BlockOnliner {
        const RootDir *root; /* borrowed */
        BlockServiceConfig config;
        BlockServiceHandler handler;
        void *userdata; /* borrowed */

        BlockSurvey survey;
        BlockTable table;
        KernelOnliner kernel;
        bool kernel_onlines; /* as last read */
        uint64_t started_usec;
        bool ledger_is_old; /* an administrator's block came or went */
        bool quiet;         /* the scan at start: nothing is told */
        bool writing;       /* a batch was asked for and has not ended */
} BlockOnliner;

/*
 * Lists and reads all blocks, without a word and without a write. Returns 0, -ENOENT without memory hotplug,
 * or -errno; in any case block_onliner_done() frees.
 */
int block_onliner_init(BlockOnliner *onliner, const RootDir *root, const BlockServiceConfig *config,
                       BlockServiceHandler handler, void *userdata, uint64_t now_usec);
void block_onliner_done(BlockOnliner *onliner);

/* Works out who will online, for kernel_onlines, and changes nothing. */
void block_onliner_foresee(BlockOnliner *onliner);

/* Settles by the configuration who onlines, the kernel or this, sets the kernel to it, and says so in the log. */
void block_onliner_take_charge(BlockOnliner *onliner);

/* Marks this block, or all there are, to be looked at. Returns 0 or -errno. */
int block_onliner_hint(BlockOnliner *onliner, uint64_t number, uint64_t now_usec);
int block_onliner_rescan(BlockOnliner *onliner, uint64_t now_usec);

/* When a turn is due for a retry; USEC_INFINITY = none. */
uint64_t block_onliner_retry_usec(const BlockOnliner *onliner);

typedef enum BlockTurn {
        BLOCK_TURN_IDLE,  /* nothing is marked, or a batch has to end first */
        BLOCK_TURN_MORE,  /* there may be more to do now */
        BLOCK_TURN_WRITE, /* *ret_batch is to be carried out by block_online(), and its end told */
        BLOCK_TURN_MAX,
} BlockTurn;

/* Looks at some marked blocks, and gathers those that are to be written to. *ret_batch is set for BLOCK_TURN_WRITE only. */
BlockTurn block_onliner_turn(BlockOnliner *onliner, uint64_t now_usec, BlockBatch *ret_batch);

/* Writes down whose blocks are to be left alone, if that changed. */
void block_onliner_save(BlockOnliner *onliner);

/* The batch that a turn asked for has ended. */
void block_onliner_written(BlockOnliner *onliner, const BlockBatch *batch, uint64_t now_usec);

/*
 * The blocks of the range that are to be taken offline (back: brought back), lowest first; none may be. Returns REFUSAL_NONE,
 * or REFUSAL_INVALID where the range has no block, or one that is neither a DIMM's nor virtio-mem's.
 */
RefusalReason block_onliner_select(BlockOnliner *onliner, const OfflineRange *range, bool back,
                                   OfflineBlock blocks[static OFFLINE_BLOCKS_MAX], size_t *ret_n);

/* What came of them: tells, remembers those that went, and looks after those that did not come back. */
void block_onliner_settle(BlockOnliner *onliner, const OfflineRange *range, bool back, const OfflineRun *run);
