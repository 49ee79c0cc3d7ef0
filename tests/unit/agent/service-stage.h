/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A block service over a tree of the recorded guest, with its fates counted. Every failure ends the test. */

#include "agent/blocks/service.h"
#include "common/macro.h"
#include "common/units.h"
#include "tree.h"

/* A loop that waits this long for something has failed. */
#define PATIENCE_USEC (10 * USEC_PER_SEC)

typedef struct ServiceStage {
        Tree *tree;
        sd_event *event;
        BlockService *service;
        uint64_t rescan_usec;
        unsigned n_onlined, n_offlined, n_failed, n_removed;
        uint64_t last_block, last_latency_usec;
        unsigned n_ranged;
        BlockRangeResult range; /* the last */
} ServiceStage;

/* Started, with the blocks of the recorded guest as they were. rescan_usec as in BlockServiceConfig. */
ServiceStage *service_stage_new(uint64_t rescan_usec);
ServiceStage *service_stage_free(ServiceStage *stage);
DEFINE_CLEANUP_FUNC(ServiceStage, service_stage_free)

/* The next agent of this boot. */
void service_stage_restart(ServiceStage *stage);

/* Runs the loop until counter, of the stage, is at want. */
void service_stage_run_until(ServiceStage *stage, const unsigned *counter, unsigned want);

/* Runs the loop for some turns, in which nothing may come. */
void service_stage_run_quiet(ServiceStage *stage, unsigned turns);
