/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the loop (service.c), a wave of blocks (service-wave.c) and a range of the host's (service-range.c) have in common. */

#include "agent/blocks/onliner.h"
#include "agent/blocks/service.h"
#include "agent/blocks/writer.h"

typedef enum RangeState {
        RANGE_NONE,
        RANGE_DUE, /* as soon as the batch under way has ended */
        RANGE_RUNNING,
} RangeState;

typedef enum WaveState {
        WAVE_NONE,
        WAVE_RISING,  /* events wait until no more come */
        WAVE_BROKEN,  /* events are read, and what they were of is looked at */
        WAVE_WRITTEN, /* events wait until what is known of has been written */
} WaveState;

struct BlockService {
        sd_event *event; /* referenced */
        BlockOnliner onliner;
        BlockWriter *writer;
        BlockMonitor *monitor; /* NULL without kernel events */
        int uevents_error;
        sd_event_source *work; /* on while blocks are to be looked at */
        sd_event_source *timer;
        uint64_t rescan_usec, rescan_at_usec;
        WaveState wave;
        uint64_t wave_at_usec, wave_ends_usec; /* while it rises: the next look, and the last */
        uint64_t wave_waiting_bytes;           /* of events, at the last look */
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

/* Compares all blocks that there are with those that are known. */
void block_service_rescan(BlockService *service);

/* For the earliest of what there is to wait for. */
void block_service_arm_timer(BlockService *service);

/* A block has an event: returns true if nothing is to be done for it yet. */
bool block_service_wave_holds(BlockService *service);

/* The timer's: returns true if events go on to wait. */
bool block_service_wave_rises(BlockService *service);

/* A batch is about to be written, and: there is nothing more to do. */
void block_service_wave_write(BlockService *service);
void block_service_wave_end(BlockService *service);

/* Begins the range that is due, if it can. Returns true if one is due or runs: nothing else is to be done then. */
bool block_service_range_turn(BlockService *service);

/* The writer's: the range is over. userdata is the service. */
void block_service_ranged(const OfflineRun *run, void *userdata);
