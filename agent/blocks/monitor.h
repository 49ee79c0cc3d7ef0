/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Hints of the kernel that a memory block has come, gone or changed. Hints only: sysfs is the truth. */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/macro.h"
#include "common/rootdir.h"

typedef enum BlockMonitorSource {
        BLOCK_MONITOR_AUTO,   /* udev if its daemon runs, else kernel */
        BLOCK_MONITOR_KERNEL, /* raw kernel events */
        BLOCK_MONITOR_UDEV,   /* after udev has run its rules */
        BLOCK_MONITOR_SOURCE_MAX,
} BlockMonitorSource;

typedef enum BlockHint {
        BLOCK_HINT_BLOCK,  /* look at this block */
        BLOCK_HINT_RESCAN, /* events were lost: look at all */
        BLOCK_HINT_MAX,
} BlockHint;

/* 200 events overflowed the kernel's default; 8 MiB hold those of 32 768 blocks. */
#define BLOCK_MONITOR_BUFFER_BYTES ((uint64_t) 8 * 1024 * 1024)

typedef struct BlockMonitor BlockMonitor;

/* number has no meaning for BLOCK_HINT_RESCAN. The monitor may not be freed inside. */
typedef void (*BlockMonitorHandler)(BlockHint hint, uint64_t number, void *userdata);

/* Returns 0 or -errno. */
int block_monitor_new(sd_event *event, const RootDir *root, BlockMonitorSource source, uint64_t buffer_bytes,
                      BlockMonitorHandler handler, void *userdata, BlockMonitor **ret);

/* No events are read, nor wake anybody, until it goes on; they wait. */
void block_monitor_pause(BlockMonitor *monitor, bool paused);

/* How many bytes of events wait, as the kernel accounts for them: for comparing with itself. 0 before Linux 4.12. */
uint64_t block_monitor_waiting_bytes(const BlockMonitor *monitor);

/* Throws away the events that wait, for who looks at all blocks anyway. They cost a call each, and none is parsed. */
void block_monitor_drop(BlockMonitor *monitor);

BlockMonitor *block_monitor_free(BlockMonitor *monitor);
DEFINE_CLEANUP_FUNC(BlockMonitor, block_monitor_free)

/* BLOCK_MONITOR_KERNEL or BLOCK_MONITOR_UDEV. */
BlockMonitorSource block_monitor_source(const BlockMonitor *monitor);
