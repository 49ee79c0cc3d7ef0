/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the loop (service.c) and a range of the host's (service-range.c) have in common. No other file includes this. */

#include "agent/blocks/onliner.h"
#include "agent/blocks/service.h"
#include "agent/blocks/writer.h"

typedef enum RangeState {
        RANGE_NONE,
        RANGE_DUE, /* as soon as the batch under way has ended */
        RANGE_RUNNING,
} RangeState;

struct BlockService {
        sd_event *event; /* referenced */
        BlockOnliner onliner;
        BlockWriter *writer;
        BlockMonitor *monitor; /* NULL without kernel events */
        int uevents_error;
        sd_event_source *work; /* on while blocks are to be looked at */
        sd_event_source *timer;
        uint64_t rescan_usec, rescan_at_usec;
        uint64_t wave_at_usec,
                wave_ends_usec; /* when to look at what the kernel onlines; USEC_INFINITY = no wave */
        bool started;

        BlockRangeHandler range_handler;
        void *userdata; /* borrowed */
        RangeState range_state;
        BlockRangeCommand range;
        OfflineRange range_blocks;
};

uint64_t block_service_now(const BlockService *service);

/* There is work: looks at it in the loop, once block_service_start() has been called. */
void block_service_wake(BlockService *service);

/* Begins the range that is due, if it can. Returns true if one is due or runs: nothing else is to be done then. */
bool block_service_range_turn(BlockService *service);

/* The writer's: the range is over. userdata is the service. */
void block_service_ranged(const OfflineRun *run, void *userdata);
