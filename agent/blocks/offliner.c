/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The writes of "offline" to memoryN/state, and of the way back. The zone of a block is read just before it is taken, and
 * what a write did is read back, as when onlining: EINVAL may mean that somebody was faster.
 *
 * A write that is cut short by a signal answers EINTR, and the kernel has undone it by then.
 */

#include "agent/blocks/offliner.h"

#include <assert.h>
#include <inttypes.h>

#include "agent/blocks/block.h"
#include "common/macro.h"

/* Takes one block offline and verifies. Returns 0, or -errno: -ENOENT if it is gone. */
static int take(const RootDir *root, uint64_t number, Zone *ret_zone) {
        BlockState state;
        char path[128];
        int r, q;

        if (block_zone_read(root, number, ret_zone, NULL) < 0)
                *ret_zone = ZONE_UNKNOWN;
        (void) snprintf(path, sizeof(path), BLOCK_FOLDER "/memory%" PRIu64 "/state", number);
        r = rootdir_write(root, path, "offline");
        q = block_state_read(root, number, &state);
        if (q < 0)
                return q;
        if (state == BLOCK_STATE_OFFLINE)
                return 0;
        return r < 0 ? r : -EIO; /* EIO: the kernel said yes, the block is online */
}

/* Returns 0 or a positive errno. */
static int restore(const RootDir *root, OfflineBlock *block, Zone *ret_zone) {
        BlockOnline outcome = block_online(root, block->number, block->zone);

        *ret_zone = outcome.zone;
        switch (outcome.result) {
        case BLOCK_ONLINE_DONE:
        case BLOCK_ONLINE_ALREADY:
                return 0;
        case BLOCK_ONLINE_GONE:
                return ENOENT;
        case BLOCK_ONLINE_FAILED:
        case BLOCK_ONLINE_RESULT_MAX:
                break;
        }
        return outcome.error;
}

void offliner_run(const RootDir *root, OfflineRun *run, const Worker *worker) {
        OfflineBlock *block = NULL;

        assert(root);
        assert(run);
        assert(worker);

        for (;;) {
                Zone zone = ZONE_UNKNOWN;
                int r;

                switch (offline_next(run, worker_is_cancelled(worker) ? ECANCELED : 0, &block)) {
                case OFFLINE_TAKE:
                        r = take(root, block->number, &zone);
                        offline_taken(run, block, zone, -r);
                        break;
                case OFFLINE_RESTORE:
                        r = restore(root, block, &zone);
                        offline_restored(run, block, zone, r);
                        break;
                case OFFLINE_OVER:
                        return;
                }
        }
}
