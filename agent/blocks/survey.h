/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What has to be known of a block before it is onlined: whose it is, and which zone it shall have. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/blocks/block.h"
#include "agent/policy/zone.h"
#include "agent/signals/procfile.h"
#include "common/rootdir.h"

typedef struct BlockSurvey {
        const RootDir *root; /* borrowed */
        uint64_t block_size_bytes;
        BlockMap map;
        bool map_is_fresh;
        bool kernel_wanted; /* of the balance, see policy/zone.h */
        ProcFile zoneinfo;
        ProcRoom room;       /* for it */
        ZoneBalance balance; /* with what was decided since it was read */
        bool balance_is_fresh;
        uint64_t dimm_first, dimm_last; /* the DIMM last decided on, if its zone is known */
        Zone dimm_zone;
} BlockSurvey;

/* Returns 0, -ENOENT without memory hotplug, or -errno; in any case block_survey_done() frees. */
int block_survey_init(BlockSurvey *survey, const RootDir *root);
void block_survey_done(BlockSurvey *survey);

/* What was read of the machine, and what was decided from it, is old from now on. */
void block_survey_expire(BlockSurvey *survey);

/*
 * ret_sure is false if a block of this kind may turn out to be a DIMM's a moment later.
 * Returns 0, -ENOENT if the block is gone, or -errno.
 */
int block_survey_kind(BlockSurvey *survey, uint64_t number, BlockKind *ret, bool *ret_sure);

/*
 * The zone for the block by policy and the present balance. A DIMM is one: its blocks follow the first, which is
 * chosen for all of it.
 */
Zone block_survey_zone(BlockSurvey *survey, uint64_t number, BlockKind kind, ZonePolicy policy,
                       uint64_t ratio_percent);
