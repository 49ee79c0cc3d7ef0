/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Carries out block_online() beside the loop, a batch of blocks at a time. */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "agent/blocks/block.h"
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

/* From the loop, when the writes have ended. The writer may not be freed inside; a next batch may be started. */
typedef void (*BlockWriterHandler)(const BlockBatch *batch, void *userdata);

/* root is borrowed for the writer's life. priority is that of the handler's source. Returns 0 or -errno. */
int block_writer_new(sd_event *event, const RootDir *root, int64_t priority, BlockWriterHandler handler,
                     void *userdata, BlockWriter **ret);

/* Waits for a write that is under way, as the kernel does not let it be cut short; the rest of its batch is left. */
BlockWriter *block_writer_free(BlockWriter *writer);
DEFINE_CLEANUP_FUNC(BlockWriter, block_writer_free)

/* Asserts that no write is under way. batch is copied. */
void block_writer_start(BlockWriter *writer, const BlockBatch *batch);
bool block_writer_is_busy(const BlockWriter *writer);
