/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Highest first, as virtio-mem itself unplugs: what stays behind is then one piece at the bottom. The first block that
 * does not go ends it, since a DIMM goes whole or not at all: another try of the kernel's costs migrations and per-cpu
 * lists without a chance, for a pinned page stays pinned. What was taken comes back lowest first, each to the zone that it
 * had: memory that was movable and comes back as the kernel's can never be unplugged again (a failed ejection by ACPI does
 * that to a DIMM, kernel-qemu.md section 4.3).
 *
 * Rejected: asking the kernel first which blocks could go. "removable" has said nothing for years, and what is movable now
 * may be pinned when it is tried.
 */

#include "agent/policy/offline.h"

#include <assert.h>
#include <errno.h>

bool offline_range(uint64_t address, uint64_t bytes, uint64_t block_size_bytes, OfflineRange *ret) {
        assert(ret);

        if (block_size_bytes == 0 || bytes == 0 || address % block_size_bytes != 0 ||
            bytes % block_size_bytes != 0 || bytes / block_size_bytes > OFFLINE_BLOCKS_MAX)
                return false;
        *ret = (OfflineRange){address / block_size_bytes, bytes / block_size_bytes};
        return true;
}

void offline_begin(OfflineRun *run, OfflineBlock *blocks, size_t n, bool back) {
        assert(run);
        assert(blocks || n == 0);

        *run = (OfflineRun){.blocks = blocks, .n = n, .back = back, .at = back ? 0 : n};
}

OfflineStep offline_next(OfflineRun *run, int stop, OfflineBlock **ret_block) {
        assert(run);
        assert(ret_block);

        if (!run->back && stop > 0 && run->at > 0) {
                run->error = stop;
                run->back = true;
        }
        if (!run->back) {
                if (run->at == 0)
                        return OFFLINE_OVER;
                *ret_block = &run->blocks[--run->at];
                return OFFLINE_TAKE;
        }

        for (; run->at < run->n; run->at++)
                if (run->blocks[run->at].fate == OFFLINE_TAKEN) {
                        *ret_block = &run->blocks[run->at++];
                        return OFFLINE_RESTORE;
                }
        return OFFLINE_OVER;
}

void offline_taken(OfflineRun *run, OfflineBlock *block, Zone zone, int error) {
        assert(run);
        assert(block);

        if (error == ENOENT) { /* it has left already, which is what was wanted */
                block->fate = OFFLINE_GONE;
                return;
        }
        if (error > 0) {
                run->error = error;
                run->back = true;
                return;
        }
        block->zone = zone;
        block->fate = OFFLINE_TAKEN;
}

void offline_restored(OfflineRun *run, OfflineBlock *block, Zone zone, int error) {
        assert(run);
        assert(block);

        if (error == 0) {
                block->zone = zone;
                block->fate = OFFLINE_RESTORED;
                return;
        }
        block->fate = error == ENOENT ? OFFLINE_GONE : OFFLINE_LOST;
        if (run->error == 0) /* why it was to come back is the better answer */
                run->error = error;
}

size_t offline_count(const OfflineRun *run, OfflineFate fate) {
        size_t n = 0;

        assert(run);
        for (size_t i = 0; i < run->n; i++)
                n += run->blocks[i].fate == fate;
        return n;
}
