/* SPDX-License-Identifier: Apache-2.0 */

/*
 * All ways lead to one: a hint of the kernel, the scan at start, lost events, a retry and the slow timer only
 * mark blocks to be looked at, and a turn compares what sysfs says with what was known and does what follows.
 * So nothing hangs on an event being delivered, once, or in order.
 *
 * Marked blocks are worked off lowest address first (keeps zones contiguous), a batch at a time. The writes themselves
 * are the caller's: each takes milliseconds, and as long as it likes where somebody else holds the kernel's lock on
 * hotplug. Where the kernel onlines, a block has a second to come online by it: what is left then (the kernel does not try
 * twice), or was left before the agent came, is written like any other. Otherwise there is no pause after "add": where a
 * distribution's rule onlines too, the loser of the race reads EINVAL and finds the block online, which is success; a
 * second of waiting for it would be a second of stall for a guest at its limit.
 *
 * A block that comes back under an old number is told apart by its folder's inode. What a look finds, and what
 * follows from it, is in onliner-look.c.
 */

#include "agent/blocks/onliner.h"

#include <assert.h>
#include <inttypes.h>

#include "agent/blocks/ledger.h"
#include "agent/blocks/onliner-internal.h"
#include "common/log.h"
#include "common/units.h"

/* Blocks looked at per turn, about 10 us each. */
#define LOOKS_PER_TURN 64U

/* -- the work -------------------------------------------------------------------------------------- */

Zone block_onliner_zone(BlockOnliner *onliner, const BlockRecord *record) {
        const BlockServiceConfig *config = &onliner->config;

        if (record->zone != ZONE_UNKNOWN)
                return record->zone;
        return block_survey_zone(&onliner->survey, record->number, record->kind, config->zone_policy,
                                 config->zone_ratio_percent);
}

BlockTurn block_onliner_turn(BlockOnliner *onliner, uint64_t now_usec, BlockBatch *ret_batch) {
        bool more = true;
        size_t n = 0;

        assert(onliner);
        assert(ret_batch);

        if (onliner->writing)
                return BLOCK_TURN_IDLE;

        block_survey_expire(&onliner->survey);
        block_table_mark_due(&onliner->table, now_usec);

        for (unsigned i = 0; i < LOOKS_PER_TURN && n < BLOCK_BATCH_MAX; i++) {
                BlockRecord *record = block_table_take(&onliner->table);

                more = record != NULL;
                if (!record)
                        break;
                record = block_onliner_refresh(onliner, record);
                if (!record || !block_onliner_is_wanted(onliner, record, now_usec))
                        continue;

                ret_batch->writes[n++] = (BlockWrite){
                        .number = record->number,
                        .identity = record->identity,
                        .zone = block_onliner_zone(onliner, record),
                };
        }
        if (n == 0)
                return more ? BLOCK_TURN_MORE : BLOCK_TURN_IDLE;

        ret_batch->n = n;
        onliner->writing = true;
        return BLOCK_TURN_WRITE;
}

int block_onliner_hint(BlockOnliner *onliner, uint64_t number, uint64_t now_usec) {
        BlockRecord *record;
        uint64_t identity;
        int r;

        assert(onliner);

        record = block_table_find(&onliner->table, number);
        r = block_identity_read(onliner->root, number, &identity);

        /* It is not there, or what is there is another. */
        if (record && (r == -ENOENT || (r >= 0 && record->identity != identity))) {
                block_onliner_gone(onliner, record);
                record = NULL;
        }
        if (r < 0)
                return r == -ENOENT ? 0 : r;

        if (record)
                block_table_mark(&onliner->table, record);
        else if (!block_table_insert(&onliner->table, number, identity, now_usec))
                return -ENOMEM;
        return 0;
}

typedef struct Listing {
        BlockTable *table;
        BlockEntry *fresh; /* that are not known, or were others */
        size_t n_fresh, n_allocated;
} Listing;

static int on_listed(const BlockEntry *entry, void *userdata) {
        Listing *listing = userdata;
        BlockRecord *record = block_table_find(listing->table, entry->number);

        if (record && record->identity == entry->identity) {
                record->listed = true;
                return 0;
        }

        if (listing->n_fresh == listing->n_allocated) {
                size_t grown = listing->n_allocated > 0 ? listing->n_allocated * 2 : 64;
                BlockEntry *p = reallocarray(listing->fresh, grown, sizeof(*p));

                if (!p)
                        return -ENOMEM;
                listing->fresh = p;
                listing->n_allocated = grown;
        }
        listing->fresh[listing->n_fresh++] = *entry;
        return 0;
}

static int compare_entries(const void *a, const void *b) {
        const BlockEntry *x = a, *y = b;

        return x->number < y->number ? -1 : x->number > y->number;
}

static void log_kernel_onlines(int error) {
        if (error != -ENOENT) /* kernels before 4.7 have no such file, and do not online */
                log_unusable(BLOCK_FOLDER "/auto_online_blocks", error, "the kernel's own onlining");
}

/* Whatever is known and not listed, or listed as another, is gone. */
static void forget_unlisted(BlockOnliner *onliner) {
        for (size_t i = 0; i < onliner->table.n;) {
                BlockRecord *record = &onliner->table.records[i];

                if (record->listed) {
                        record->listed = false;
                        block_table_mark(&onliner->table, record);
                        i++;
                } else
                        block_onliner_gone(onliner, record);
        }
}

/* Lowest first: each is then an append, nearly always. */
static int add_fresh(BlockOnliner *onliner, Listing *listing, uint64_t now_usec) {
        if (listing->n_fresh > 0)
                qsort(listing->fresh, listing->n_fresh, sizeof(*listing->fresh), compare_entries);
        for (size_t i = 0; i < listing->n_fresh; i++) {
                const BlockEntry *entry = &listing->fresh[i];

                if (!block_table_find(&onliner->table, entry->number) &&
                    !block_table_insert(&onliner->table, entry->number, entry->identity, now_usec))
                        return -ENOMEM;
        }
        return 0;
}

/* Allocates only where a block has come: most rescans find what is known already. */
int block_onliner_rescan(BlockOnliner *onliner, uint64_t now_usec) {
        Listing listing = {.table = &onliner->table};
        int r;

        assert(onliner);

        r = block_kernel_onlines(onliner->root, &onliner->kernel_onlines);
        if (r < 0) /* kernels before 4.7 have no such file, and do not online */
                log_kernel_onlines(r);

        for (size_t i = 0; i < onliner->table.n; i++)
                onliner->table.records[i].listed = false; /* by one that failed midway */
        r = block_list(onliner->root, on_listed, &listing);
        if (r >= 0) {
                forget_unlisted(onliner);
                r = add_fresh(onliner, &listing, now_usec);
        }
        free(listing.fresh);
        return r;
}

uint64_t block_onliner_retry_usec(const BlockOnliner *onliner) {
        assert(onliner);
        return onliner->table.retry_usec;
}

/* -- life ------------------------------------------------------------------------------------------ */

int block_onliner_init(BlockOnliner *onliner, const RootDir *root, const BlockServiceConfig *config,
                       BlockServiceHandler handler, void *userdata, uint64_t now_usec) {
        int r;

        assert(onliner);
        assert(root);
        assert(config);
        assert(handler);

        *onliner = (BlockOnliner){
                .root = root,
                .config = *config,
                .handler = handler,
                .userdata = userdata,
                .quiet = true,
                .started_usec = now_usec,
                .table = {.look_from = UINT64_MAX, .retry_usec = USEC_INFINITY},
                .survey = {.zoneinfo = PROCFILE_NULL},
        };

        r = block_survey_init(&onliner->survey, root);
        if (r < 0)
                return r;
        r = block_onliner_rescan(onliner, now_usec);
        if (r < 0)
                return r;

        for (BlockRecord *record; (record = block_table_take(&onliner->table));)
                (void) block_onliner_refresh(onliner, record);
        r = block_ledger_load(root, &onliner->table);
        if (r < 0)
                (void) log_warning_errno(r, "Cannot read /" BLOCK_LEDGER_PATH ", onlining all: %m");
        for (size_t i = 0; i < onliner->table.n; i++)
                if (onliner->table.records[i].state != BLOCK_STATE_ONLINE) {
                        onliner->table.records[i].told = true; /* it is no news */
                        block_table_mark(&onliner->table, &onliner->table.records[i]);
                }

        onliner->quiet = false;
        return 0;
}

void block_onliner_save(BlockOnliner *onliner) {
        int r;

        assert(onliner);

        if (!onliner->ledger_is_old)
                return;
        onliner->ledger_is_old = false; /* tried once per change */
        r = block_ledger_save(onliner->survey.root, &onliner->table);
        if (r < 0)
                (void) log_warning_errno(r, "Cannot write /" BLOCK_LEDGER_PATH ": %m");
}

void block_onliner_done(BlockOnliner *onliner) {
        assert(onliner);

        kernel_onliner_end(&onliner->kernel);
        block_table_done(&onliner->table);
        block_survey_done(&onliner->survey);
}
