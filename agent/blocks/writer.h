/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Carries out block_online() beside the loop, one block at a time. */

#include <stdint.h>
#include <systemd/sd-event.h>

#include "agent/blocks/block.h"
#include "common/macro.h"
#include "common/rootdir.h"

typedef struct BlockWriter BlockWriter;

/* From the loop, when the write has ended. The writer may not be freed inside; a next write may be started. */
typedef void (*BlockWriterHandler)(uint64_t number, const BlockOnline *outcome, void *userdata);

/* root is borrowed for the writer's life. priority is that of the handler's source. Returns 0 or -errno. */
int block_writer_new(sd_event *event, const RootDir *root, int64_t priority, BlockWriterHandler handler,
                     void *userdata, BlockWriter **ret);

/* Waits for a write that is under way, as the kernel does not let it be cut short. */
BlockWriter *block_writer_free(BlockWriter *writer);
DEFINE_CLEANUP_FUNC(BlockWriter, block_writer_free)

/* Asserts that no write is under way. */
void block_writer_start(BlockWriter *writer, uint64_t number, Zone zone);
