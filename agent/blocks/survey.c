/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Reads what the decisions of one turn need, freshly: the balance of zones changes with every block that goes
 * online, and a balance of the last second would let a whole wave through. Within the turn what has been decided is
 * added to it.
 *
 * virtio-mem gives memory back in parts of blocks, so each of its blocks is decided by itself. A DIMM goes as a
 * whole or not at all: one block of it in a kernel zone, and it stays until the next boot. The kernel's own
 * auto-movable policy makes the same difference (static and dynamic memory groups).
 */

#include "agent/blocks/survey.h"

#include <assert.h>

#include "agent/signals/counters.h"
#include "common/log.h"
#include "common/units.h"

int block_survey_init(BlockSurvey *survey, const RootDir *root) {
        int r;

        assert(survey);
        assert(root);

        *survey = (BlockSurvey){
                .root = root,
                .zoneinfo = PROCFILE_NULL,
        };

        r = block_size_read(root, &survey->block_size_bytes);
        if (r < 0)
                return r;

        r = procfile_open(&survey->zoneinfo, &survey->room, root, "proc/zoneinfo");
        return r == -ENOMEM ? r : 0; /* without the file the balance is empty, see read_balance() */
}

void block_survey_done(BlockSurvey *survey) {
        assert(survey);
        procfile_done(&survey->zoneinfo);
        procroom_done(&survey->room);
}

void block_survey_expire(BlockSurvey *survey) {
        assert(survey);
        survey->map_is_fresh = survey->balance_is_fresh = false;
        survey->dimm_zone = ZONE_UNKNOWN;
}

int block_survey_kind(BlockSurvey *survey, uint64_t number, BlockKind *ret, bool *ret_sure) {
        int r;

        assert(survey);
        assert(ret);
        assert(ret_sure);

        r = block_is_dimm(survey->root, number); /* by far the cheaper question */
        if (r > 0) {
                *ret = BLOCK_KIND_DIMM;
                *ret_sure = true;
        }
        if (r != 0)
                return r < 0 ? r : 0;

        if (!survey->map_is_fresh) {
                r = block_map_read(survey->root, &survey->map);
                if (r < 0) { /* DIMMs are told apart without it */
                        log_unusable("proc/iomem", r, "virtio-mem's blocks");
                        survey->map = (BlockMap){};
                }
                survey->map_is_fresh = true;
        }

        r = block_kind_read(survey->root, number, survey->block_size_bytes, &survey->map, ret);
        if (r < 0)
                return r;
        *ret_sure = *ret == BLOCK_KIND_DIMM || (*ret == BLOCK_KIND_VIRTIO_MEM && !survey->map.has_dimm);
        return 0;
}

/* An empty balance makes the policy choose the kernel's zone, which serves every use. */
static void read_balance(BlockSurvey *survey) {
        Snapshot ignored = {};
        ssize_t n;
        int r;

        if (survey->balance_is_fresh)
                return;
        survey->balance = (ZoneBalance){};
        n = procfile_read(&survey->zoneinfo);
        r = n < 0 ? (int) n
                  : zoneinfo_parse(survey->room.text, (size_t) n, (uint64_t) sysconf(_SC_PAGESIZE), &ignored,
                                   &survey->balance);
        if (r < 0)
                (void) log_debug_errno(r, "Cannot read the balance of zones: %m");
        survey->balance.kernel_wanted = survey->kernel_wanted;
        survey->balance_is_fresh = true;
}

/* The zone that blocks of the DIMM are in already; ZONE_UNKNOWN if none is online. */
static Zone zone_of_siblings(const RootDir *root, uint64_t first, uint64_t last) {
        for (uint64_t number = first; number <= last; number++) {
                BlockState state;
                Zone zone;

                if (block_state_read(root, number, &state) >= 0 && state == BLOCK_STATE_ONLINE &&
                    block_zone_read(root, number, &zone, NULL) >= 0 && zone != ZONE_UNKNOWN)
                        return zone;
        }
        return ZONE_UNKNOWN;
}

/* Bytes of a DIMM's further blocks are in the balance with its first. */
static Zone zone_of_dimm(BlockSurvey *survey, uint64_t number, uint64_t *ret_n_blocks) {
        uint64_t first, last;

        *ret_n_blocks = 1;
        if (survey->dimm_zone != ZONE_UNKNOWN && number >= survey->dimm_first && number <= survey->dimm_last)
                return survey->dimm_zone;
        if (block_dimm_extent(survey->root, number, &first, &last) < 0)
                return ZONE_UNKNOWN;

        /* More of it has got its links since: it is the same DIMM. */
        if (survey->dimm_zone != ZONE_UNKNOWN && first <= survey->dimm_last && last >= survey->dimm_first)
                return survey->dimm_zone;
        survey->dimm_first = first;
        survey->dimm_last = last;
        survey->dimm_zone = zone_of_siblings(survey->root, first, last);
        *ret_n_blocks = last - first + 1;
        return survey->dimm_zone;
}

Zone block_survey_zone(BlockSurvey *survey, uint64_t number, BlockKind kind, ZonePolicy policy,
                       uint64_t ratio_percent) {
        bool is_whole = kind == BLOCK_KIND_DIMM && policy == ZONE_POLICY_AUTO;
        uint64_t n_blocks = 1, bytes;
        Zone zone;

        assert(survey);

        if (is_whole) {
                zone = zone_of_dimm(survey, number, &n_blocks);
                if (zone != ZONE_UNKNOWN)
                        return zone;
        }

        bytes = u64_mul(n_blocks, survey->block_size_bytes);
        read_balance(survey);
        zone = zone_choose(policy, kind, &survey->balance, bytes, ratio_percent);
        if (zone == ZONE_MOVABLE)
                survey->balance.movable_bytes = u64_add(survey->balance.movable_bytes, bytes);
        else
                survey->balance.kernel_bytes = u64_add(survey->balance.kernel_bytes, bytes);
        if (is_whole)
                survey->dimm_zone = zone;
        return zone;
}
