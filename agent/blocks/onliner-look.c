/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One look at one block: what sysfs says now against what was known, and what follows from the difference: a fate to be
 * told, a retry, or that the block is to be onlined.
 *
 * A block that goes offline after it was online, and not at the host's word, is an administrator's, whoever that was, and
 * is left alone until somebody onlines it, also by the next agent of this boot. The kernel's own unplug looks the same for
 * a moment and then removes the block.
 *
 * Rejected: to believe the action of an event. It may be late, or lost; the state of the block is neither.
 */

#include "agent/blocks/onliner-internal.h"

#include <assert.h>
#include <inttypes.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"

/* A try that failed is repeated after these, then at the last one's pace (kernel-qemu.md section 1.4). */
static const uint64_t online_retry_usec[] = {1 * USEC_PER_SEC, 5 * USEC_PER_SEC, 30 * USEC_PER_SEC};

/*
 * A DIMM's blocks are announced before they are linked to their ACPI device (Linux acpi_memory_enable_device()),
 * and no event tells of the link: a new offline block of no known kind is looked at again after these.
 */
static const uint64_t kind_retry_usec[] = {2 * USEC_PER_MSEC,   10 * USEC_PER_MSEC, 50 * USEC_PER_MSEC,
                                           200 * USEC_PER_MSEC, 1 * USEC_PER_SEC,   5 * USEC_PER_SEC};

/* The kernel onlines within the call that adds a block, or, for a DIMM, when all of its blocks are added. */
#define KERNEL_PATIENCE_USEC USEC_PER_SEC

/* Looks after which a kind that might be another is believed. */
#define SURE_AFTER_LOOKS 2U

void block_onliner_report(BlockOnliner *onliner, const BlockRecord *record, BlockAction action, Zone zone,
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
        fate.latency_usec = u64_sub(clock_monotonic_usec(), record->first_seen_usec);
        onliner->handler(&fate, onliner->userdata);
}

int block_onliner_read_kind(BlockOnliner *onliner, BlockRecord *record) {
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

static void name_file(const BlockRecord *record, const char *file, int error) {
        char path[128];

        (void) snprintf(path, sizeof(path), BLOCK_FOLDER "/memory%" PRIu64 "/%s", record->number, file);
        log_unusable(path, error, "this block");
}

void block_onliner_gone(BlockOnliner *onliner, BlockRecord *record) {
        BlockRecord copy = *record;

        onliner->ledger_is_old = onliner->ledger_is_old || record->administrators || record->hosts;
        block_table_remove(&onliner->table, record);
        block_onliner_report(onliner, &copy, BLOCK_REMOVED, ZONE_UNKNOWN, 0);
}

void block_onliner_became_online(BlockOnliner *onliner, BlockRecord *record, Zone zone) {
        record->state = BLOCK_STATE_ONLINE;
        record->was_online = true;
        onliner->ledger_is_old = onliner->ledger_is_old || record->administrators || record->hosts;
        record->administrators = record->hosts = false;
        record->zone = ZONE_UNKNOWN;
        record->n_tries = 0;
        record->error = 0;
        block_onliner_report(onliner, record, BLOCK_ONLINED, zone, 0);
}

static void retry_later(BlockOnliner *onliner, BlockRecord *record, const uint64_t *ladder, size_t n_ladder,
                        uint64_t now_usec) {
        size_t step = MIN_OF((size_t) record->n_tries, n_ladder - 1);

        record->n_tries++;
        block_table_retry_at(&onliner->table, record, u64_add(now_usec, ladder[step]));
}

/* Whether the block is ours to online by now: what the kernel does not online at once it does not online at all. */
static bool is_due(BlockOnliner *onliner, BlockRecord *record, uint64_t now_usec) {
        uint64_t due_usec = u64_add(record->first_seen_usec, KERNEL_PATIENCE_USEC);

        if (!onliner->kernel_onlines || record->first_seen_usec <= onliner->started_usec ||
            now_usec >= due_usec)
                return true;
        block_table_retry_at(&onliner->table, record, due_usec);
        return false;
}

static void tell_seen(BlockOnliner *onliner, BlockRecord *record) {
        if (!record->told)
                block_onliner_report(onliner, record, BLOCK_SEEN, ZONE_UNKNOWN, 0);
        record->told = true;
}

bool block_onliner_is_wanted(BlockOnliner *onliner, BlockRecord *record, uint64_t now_usec) {
        int r = record->kind_known ? 0 : block_onliner_read_kind(onliner, record);

        if (r == -ENOENT) {
                block_onliner_gone(onliner, record);
                return false;
        }
        if (r < 0)
                name_file(record, "firmware_node", r);
        if (!record->kind_known && record->n_tries < ELEMENTSOF(kind_retry_usec)) {
                retry_later(onliner, record, kind_retry_usec, ELEMENTSOF(kind_retry_usec), now_usec);
                return false;
        }

        tell_seen(onliner, record);
        return record->kind_known && onliner->config.online && is_due(onliner, record, now_usec);
}

static void written(BlockOnliner *onliner, const BlockWrite *write, uint64_t now_usec) {
        const BlockOnline *outcome = &write->outcome;
        BlockRecord *record;

        record = block_table_find(&onliner->table, write->number);
        if (!record || record->identity != write->identity)
                return; /* it went away meanwhile, and another may have come */

        switch (outcome->result) {
        case BLOCK_ONLINE_DONE:
        case BLOCK_ONLINE_ALREADY:
                block_onliner_became_online(onliner, record, outcome->zone);
                return;
        case BLOCK_ONLINE_GONE:
                block_onliner_gone(onliner, record);
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
        block_onliner_report(onliner, record, BLOCK_FAILED, ZONE_UNKNOWN, outcome->error);
}

void block_onliner_written(BlockOnliner *onliner, const BlockBatch *batch, uint64_t now_usec) {
        assert(onliner);
        assert(batch);

        onliner->writing = false;
        for (size_t i = 0; i < batch->n; i++)
                written(onliner, &batch->writes[i], now_usec);
}

static void went_offline(BlockOnliner *onliner, BlockRecord *record) {
        record->state = BLOCK_STATE_OFFLINE;
        record->administrators = true;
        onliner->ledger_is_old = true;
        record->told = true;
        (void) block_onliner_read_kind(onliner, record); /* for the report; it may be gone already */
        block_onliner_report(onliner, record, BLOCK_OFFLINED, ZONE_UNKNOWN, 0);
}

/* The block is online and was not when last looked at. */
static void found_online(BlockOnliner *onliner, BlockRecord *record) {
        Zone zone = ZONE_UNKNOWN;

        if (!onliner->quiet) { /* for the report */
                (void) block_onliner_read_kind(onliner, record);
                (void) block_zone_read(onliner->root, record->number, &zone, NULL);
        }
        block_onliner_became_online(onliner, record, zone);
}

BlockRecord *block_onliner_refresh(BlockOnliner *onliner, BlockRecord *record) {
        bool first = !record->read;
        BlockState state;
        int r;

        r = block_state_read(onliner->root, record->number, &state);
        if (r == -ENOENT) {
                block_onliner_gone(onliner, record);
                return NULL;
        }
        if (r < 0) {
                name_file(record, "state", r);
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
        return record->administrators || record->hosts ? NULL : record;
}
