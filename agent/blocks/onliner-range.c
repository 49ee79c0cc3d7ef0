/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A range that the host names, against what is known of its blocks. What was taken at the host's word is the host's until
 * it says otherwise or removes the block: the onliner, which would have it back within the second, leaves it alone.
 *
 * A block that was offline already is not moved, and not counted. An administrator's stays an administrator's; one that
 * was still to be onlined becomes the host's with the rest of its DIMM.
 */

#include "agent/blocks/onliner-internal.h"

#include <assert.h>

/* Boot memory, or what nobody knows, is nobody's to take. */
static bool is_ours(BlockOnliner *onliner, BlockRecord *record) {
        if (!record->kind_known && block_onliner_read_kind(onliner, record) < 0)
                return false;
        return record->kind == BLOCK_KIND_DIMM || record->kind == BLOCK_KIND_VIRTIO_MEM;
}

static bool is_selected(const BlockRecord *record, bool back) {
        return back ? record->state == BLOCK_STATE_OFFLINE && record->hosts
                    : record->state == BLOCK_STATE_ONLINE;
}

RefusalReason block_onliner_select(BlockOnliner *onliner, const OfflineRange *range, bool back,
                                   OfflineBlock blocks[static OFFLINE_BLOCKS_MAX], size_t *ret_n) {
        size_t n_known = 0, n = 0;

        assert(onliner);
        assert(range && range->n <= OFFLINE_BLOCKS_MAX);
        assert(ret_n);

        block_survey_expire(&onliner->survey);
        for (uint64_t number = range->first; number - range->first < range->n; number++) {
                BlockRecord *record = block_table_find(&onliner->table, number);

                if (record)
                        (void) block_onliner_refresh(onliner, record);
                record = block_table_find(&onliner->table, number);
                if (!record)
                        continue;
                if (!is_ours(onliner, record))
                        return REFUSAL_INVALID;
                n_known++;
                if (is_selected(record, back))
                        blocks[n++] = (OfflineBlock){
                                .number = number,
                                .identity = record->identity,
                                .zone = back ? block_onliner_zone(onliner, record) : ZONE_UNKNOWN,
                                .fate = back ? OFFLINE_TAKEN : OFFLINE_KEPT,
                        };
        }
        if (n_known == 0)
                return REFUSAL_INVALID;
        *ret_n = n;
        return REFUSAL_NONE;
}

static void settle(BlockOnliner *onliner, const OfflineBlock *block, bool back) {
        BlockRecord *record = block_table_find(&onliner->table, block->number);

        if (!record || record->identity != block->identity)
                return; /* it went away meanwhile, and another may have come */

        switch (block->fate) {
        case OFFLINE_KEPT:
                return;
        case OFFLINE_TAKEN:
                record->hosts = true;
                break;
        case OFFLINE_RESTORED:
                if (back)
                        block_onliner_became_online(onliner, record, block->zone);
                return;
        case OFFLINE_LOST:
                record->hosts = false;
                block_table_mark(&onliner->table, record);
                break;
        case OFFLINE_GONE:
                block_onliner_gone(onliner, record);
                return;
        case OFFLINE_FATE_MAX:
                assert(false);
        }
        record->zone = block->zone;
        record->told = true;
        if (record->state == BLOCK_STATE_ONLINE)
                block_onliner_report(onliner, record, BLOCK_OFFLINED, block->zone, 0);
        record->state = BLOCK_STATE_OFFLINE;
}

void block_onliner_settle(BlockOnliner *onliner, const OfflineRange *range, bool back,
                          const OfflineRun *run) {
        assert(onliner);
        assert(range);
        assert(run);

        for (size_t i = 0; i < run->n; i++)
                settle(onliner, &run->blocks[i], back);
        onliner->ledger_is_old = true;
        if (back || run->error > 0)
                return;

        for (uint64_t number = range->first; number - range->first < range->n; number++) {
                BlockRecord *record = block_table_find(&onliner->table, number);

                if (record && record->state == BLOCK_STATE_OFFLINE && !record->administrators)
                        record->hosts = true;
        }
}
