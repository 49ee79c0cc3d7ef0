/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Carries out block_online() beside the loop, a batch of blocks at a time, and takes ranges offline or brings them back.
 */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "agent/blocks/block.h"
#include "agent/policy/offline.h"
#include "common/macro.h"
#include "common/rootdir.h"

/* 16 blocks take 20 to 50 ms: so long a host's command, or a block with a lower address, waits. */
#define BLOCK_BATCH_MAX 16U

typedef struct BlockWrite {
        uint64_t number, identity;
        Zone zone;           /* wanted */
        BlockOnline outcome; /* set by the writer */
} BlockWrite;

typedef struct BlockBatch {
        size_t n;
        BlockWrite writes[BLOCK_BATCH_MAX];
} BlockBatch;

typedef struct BlockWriter BlockWriter;

/* From the loop, when the writes have ended. The writer may not be freed inside; a next job may be started. */
typedef struct BlockWriterHandlers {
        void (*written)(const BlockBatch *batch, void *userdata);
        void (*ranged)(const OfflineRun *run, void *userdata);
} BlockWriterHandlers;

/* root and handlers are borrowed for the writer's life. priority is that of the handlers' source. Returns 0 or -errno. */
int block_writer_new(sd_event *event, const RootDir *root, int64_t priority,
                     const BlockWriterHandlers *handlers, void *userdata, BlockWriter **ret);

/* Waits for a write that is under way, as the kernel does not let it be cut short; the rest of its batch is left. */
BlockWriter *block_writer_free(BlockWriter *writer);
DEFINE_CLEANUP_FUNC(BlockWriter, block_writer_free)

/* Each asserts that no write is under way. batch is copied. */
void block_writer_start(BlockWriter *writer, const BlockBatch *batch);

/*
 * Has the range's blocks taken offline, or back: as offline_begin(). They stand in block_writer_range(), which is the caller's
 * to fill while no range is under way. At the deadline (CLOCK_MONOTONIC), or cancelled, what was taken comes back.
 */
OfflineBlock *block_writer_range(BlockWriter *writer);
void block_writer_start_range(BlockWriter *writer, size_t n, bool back, uint64_t deadline_usec);
void block_writer_cancel_range(BlockWriter *writer);

bool block_writer_is_busy(const BlockWriter *writer);
