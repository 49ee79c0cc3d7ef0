/* SPDX-License-Identifier: Apache-2.0 */

/*
 * All ways lead to one: a hint of the kernel, the scan at start, lost events, a retry and the slow timer only
 * mark blocks to be looked at, and a turn compares what sysfs says with what was known and does what follows.
 * So nothing hangs on an event being delivered, once, or in order.
 *
 * Marked blocks are worked off lowest address first (keeps zones contiguous), one write at a time. The write itself
 * is the caller's: it takes milliseconds, and as long as it likes where somebody else holds the kernel's lock on
 * hotplug. There is no pause after "add": where the kernel or a distribution's rule onlines too, the loser of the race reads EINVAL and finds the
 * block online, which is success. A second of waiting for them would be a second of stall for a guest at its limit.
 *
 * A block that goes offline after it was online is an administrator's, whoever that was, and is left alone
 * until somebody onlines it, also by the next agent of this boot. The kernel's own unplug looks the same for a moment and then removes the block.
 * A block that comes back under an old number is told apart by its folder's inode.
 */

#include "agent/blocks/onliner.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "agent/blocks/ledger.h"
#include "common/log.h"
#include "common/units.h"

/* Blocks looked at per turn, about 10 us each. */
#define LOOKS_PER_TURN 64U

/* A try that failed is repeated after these, then at the last one's pace (kernel-qemu.md section 1.4). */
static const uint64_t online_retry_usec[] = {1 * USEC_PER_SEC, 5 * USEC_PER_SEC, 30 * USEC_PER_SEC};

/*
 * A DIMM's blocks are announced before they are linked to their ACPI device (Linux acpi_memory_enable_device()),
 * and no event tells of the link: a new offline block of no known kind is looked at again after these.
 */
static const uint64_t kind_retry_usec[] = {2 * USEC_PER_MSEC,   10 * USEC_PER_MSEC, 50 * USEC_PER_MSEC,
                                           200 * USEC_PER_MSEC, 1 * USEC_PER_SEC,   5 * USEC_PER_SEC};

/* Looks after which a kind that might be another is believed. */
#define SURE_AFTER_LOOKS 2U

static uint64_t monotonic_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts); /* can not fail for this clock */
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
}

static void report(BlockOnliner *onliner, const BlockRecord *record, BlockAction action, Zone zone,
                   int error) {
        BlockFate fate = {
                .block = record->number,
                .action = action,
                .kind = record->kind,
                .zone = zone,
                .bytes = onliner->survey.block_size_bytes,
                .error = error,
        };

        if (onliner->quiet)
                return;
        /* Not the turn's time: that was taken before the write whose length is to be told. */
        fate.latency_usec = u64_sub(monotonic_usec(), record->first_seen_usec);
        onliner->handler(&fate, onliner->userdata);
}

static int read_kind(BlockOnliner *onliner, BlockRecord *record) {
        bool sure;
        int r;

        r = block_survey_kind(&onliner->survey, record->number, &record->kind, &sure);
        if (r < 0)
                return r;

        record->kind_known =
                sure || (record->kind != BLOCK_KIND_OTHER && record->n_tries >= SURE_AFTER_LOOKS);
        if (record->kind_known)
                record->n_tries = 0; /* they count attempts to online from here on */
        return 0;
}

/* -- what follows ---------------------------------------------------------------------------------- */

static void gone(BlockOnliner *onliner, BlockRecord *record) {
        BlockRecord copy = *record;

        onliner->ledger_is_old = onliner->ledger_is_old || record->administrators;
        block_table_remove(&onliner->table, record);
        report(onliner, &copy, BLOCK_REMOVED, ZONE_UNKNOWN, 0);
}

static void became_online(BlockOnliner *onliner, BlockRecord *record, Zone zone) {
        record->state = BLOCK_STATE_ONLINE;
        record->was_online = true;
        onliner->ledger_is_old = onliner->ledger_is_old || record->administrators;
        record->administrators = false;
        record->n_tries = 0;
        record->error = 0;
        report(onliner, record, BLOCK_ONLINED, zone, 0);
}

static void retry_later(BlockOnliner *onliner, BlockRecord *record, const uint64_t *ladder, size_t n_ladder,
                        uint64_t now_usec) {
        size_t step = MIN_OF((size_t) record->n_tries, n_ladder - 1);

        record->n_tries++;
        block_table_retry_at(&onliner->table, record, u64_add(now_usec, ladder[step]));
}

static void tell_seen(BlockOnliner *onliner, BlockRecord *record) {
        if (!record->told)
                report(onliner, record, BLOCK_SEEN, ZONE_UNKNOWN, 0);
        record->told = true;
}

/*
 * The block is offline and nobody's will: is it one to be onlined? Its kind may still have to come; the block is
 * told as seen when that is clear.
 */
static bool is_wanted(BlockOnliner *onliner, BlockRecord *record, uint64_t now_usec) {
        int r = record->kind_known ? 0 : read_kind(onliner, record);

        if (r == -ENOENT) {
                gone(onliner, record);
                return false;
        }
        if (!record->kind_known && record->n_tries < ELEMENTSOF(kind_retry_usec)) {
                retry_later(onliner, record, kind_retry_usec, ELEMENTSOF(kind_retry_usec), now_usec);
                return false;
        }

        tell_seen(onliner, record);
        return record->kind_known && onliner->config.online && !onliner->kernel_onlines;
}

void block_onliner_written(BlockOnliner *onliner, uint64_t number, const BlockOnline *outcome,
                           uint64_t now_usec) {
        BlockRecord *record;

        assert(onliner);
        assert(outcome);

        onliner->writing = false;
        record = block_table_find(&onliner->table, number);
        if (!record || record->identity != onliner->writing_identity)
                return; /* it went away meanwhile, and another may have come */

        switch (outcome->result) {
        case BLOCK_ONLINE_DONE:
        case BLOCK_ONLINE_ALREADY:
                became_online(onliner, record, outcome->zone);
                return;
        case BLOCK_ONLINE_GONE:
                gone(onliner, record);
                return;
        case BLOCK_ONLINE_FAILED:
                break;
        case BLOCK_ONLINE_RESULT_MAX:
                assert(false);
        }

        retry_later(onliner, record, online_retry_usec, ELEMENTSOF(online_retry_usec), now_usec);
        if (record->error == outcome->error)
                return; /* said already */
        record->error = outcome->error;
        report(onliner, record, BLOCK_FAILED, ZONE_UNKNOWN, outcome->error);
}

static void went_offline(BlockOnliner *onliner, BlockRecord *record) {
        record->state = BLOCK_STATE_OFFLINE;
        record->administrators = true;
        onliner->ledger_is_old = true;
        record->told = true;
        (void) read_kind(onliner, record); /* for the report; it may be gone already */
        report(onliner, record, BLOCK_OFFLINED, ZONE_UNKNOWN, 0);
}

/* The block is online and was not when last looked at. */
static void found_online(BlockOnliner *onliner, BlockRecord *record) {
        Zone zone = ZONE_UNKNOWN;

        if (!onliner->quiet) { /* for the report */
                (void) read_kind(onliner, record);
                (void) block_zone_read(onliner->root, record->number, &zone, NULL);
        }
        became_online(onliner, record, zone);
}

/*
 * Reads the block's state into the record and tells what changed.
 * Returns the record if it is offline and might be onlined, else NULL (it may be gone then).
 */
static BlockRecord *refresh(BlockOnliner *onliner, BlockRecord *record) {
        bool first = !record->read;
        BlockState state;
        int r;

        r = block_state_read(onliner->root, record->number, &state);
        if (r == -ENOENT) {
                gone(onliner, record);
                return NULL;
        }
        if (r < 0) {
                (void) log_debug_errno(r, "Cannot read the state of memory%" PRIu64 ": %m", record->number);
                return NULL;
        }

        record->read = true;
        switch (state) {
        case BLOCK_STATE_ONLINE:
                if (first || record->state != BLOCK_STATE_ONLINE)
                        found_online(onliner, record);
                return NULL;
        case BLOCK_STATE_GOING_OFFLINE:
                return NULL; /* it is told when it is over */
        case BLOCK_STATE_OFFLINE:
                break;
        case BLOCK_STATE_MAX:
                assert(false);
        }

        if (record->was_online && record->state == BLOCK_STATE_ONLINE) {
                went_offline(onliner, record);
                return NULL;
        }
        return record->administrators ? NULL : record;
}

/* -- the work -------------------------------------------------------------------------------------- */

BlockTurn block_onliner_turn(BlockOnliner *onliner, uint64_t now_usec, BlockWrite *ret_write) {
        const BlockServiceConfig *config;

        assert(onliner);
        assert(ret_write);

        if (onliner->writing)
                return BLOCK_TURN_IDLE;

        config = &onliner->config;
        block_survey_expire(&onliner->survey);
        block_table_mark_due(&onliner->table, now_usec);

        for (unsigned i = 0; i < LOOKS_PER_TURN; i++) {
                BlockRecord *record = block_table_take(&onliner->table);

                if (!record)
                        return BLOCK_TURN_IDLE;
                record = refresh(onliner, record);
                if (!record || !is_wanted(onliner, record, now_usec))
                        continue;

                onliner->writing = true;
                onliner->writing_identity = record->identity;
                *ret_write = (BlockWrite){
                        .number = record->number,
                        .zone = block_survey_zone(&onliner->survey, record->number, record->kind,
                                                  config->zone_policy, config->zone_ratio_percent),
                };
                return BLOCK_TURN_WRITE;
        }
        return BLOCK_TURN_MORE;
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
                gone(onliner, record);
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

/* Whatever is known and not listed, or listed as another, is gone. */
static void forget_unlisted(BlockOnliner *onliner, const BlockEntry *entries, size_t n) {
        for (size_t i = 0, j = 0; i < onliner->table.n;) {
                BlockRecord *record = &onliner->table.records[i];

                while (j < n && entries[j].number < record->number)
                        j++;
                if (j < n && entries[j].number == record->number && entries[j].identity == record->identity) {
                        block_table_mark(&onliner->table, record);
                        i++;
                } else
                        gone(onliner, record);
        }
}

int block_onliner_rescan(BlockOnliner *onliner, uint64_t now_usec) {
        _cleanup_free_ BlockEntry *entries = NULL;
        size_t n;
        int r;

        assert(onliner);

        r = block_kernel_onlines(onliner->root, &onliner->kernel_onlines);
        if (r < 0) /* kernels before 4.7 have no such file, and do not online */
                (void) log_debug_errno(r, "Cannot read the kernel's policy of onlining: %m");

        r = block_enumerate(onliner->root, &entries, &n);
        if (r < 0)
                return r;

        forget_unlisted(onliner, entries, n);
        for (size_t i = 0; i < n; i++)
                if (!block_table_find(&onliner->table, entries[i].number) &&
                    !block_table_insert(&onliner->table, entries[i].number, entries[i].identity, now_usec))
                        return -ENOMEM;
        return 0;
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
                (void) refresh(onliner, record);
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

        block_table_done(&onliner->table);
        block_survey_done(&onliner->survey);
}
