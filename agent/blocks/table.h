/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The blocks as the service knows them, by number: what each was when last looked at, and which are to be
 * looked at. No file, no clock.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/blocks/block.h"

typedef struct BlockRecord {
        uint64_t number;
        uint64_t identity;
        BlockState state;
        BlockKind kind;
        bool look;           /* to be looked at */
        bool listed;         /* by the rescan under way */
        bool read;           /* state has been read once */
        bool kind_known;     /* kind is not OTHER for want of a link that is still to come */
        bool told;           /* BLOCK_SEEN, or need not be */
        bool was_online;     /* since we know it */
        bool administrators; /* went offline after that, by somebody else's will */
        bool hosts;          /* was taken offline at the host's word, for its DIMM to be removed */
        Zone zone;           /* that it had then, to come back to; ZONE_UNKNOWN = none */
        unsigned n_tries;    /* attempts to online, or looks for its kind, since the last success */
        int error;           /* of the last attempt, positive; 0 = none */
        uint64_t first_seen_usec;
        uint64_t retry_usec; /* when to look again; USEC_INFINITY = not by itself */
} BlockRecord;

typedef struct BlockTable {
        BlockRecord *records; /* by number */
        size_t n, n_allocated;
        uint64_t look_from;  /* no record below it is to be looked at */
        uint64_t retry_usec; /* none is earlier; USEC_INFINITY = none */
} BlockTable;

void block_table_done(BlockTable *table);

/* Borrowed until the next insertion or removal; NULL if there is none. */
BlockRecord *block_table_find(BlockTable *table, uint64_t number);

/* Adds a block that is not there yet, to be looked at. Returns it, or NULL without memory. */
BlockRecord *block_table_insert(BlockTable *table, uint64_t number, uint64_t identity, uint64_t now_usec);
void block_table_remove(BlockTable *table, BlockRecord *record);

/* Marks and takes blocks to be looked at, lowest first. take returns NULL if there is none. */
void block_table_mark(BlockTable *table, BlockRecord *record);
BlockRecord *block_table_take(BlockTable *table);

/* Has the block looked at not before at_usec, and marks all whose time has come. */
void block_table_retry_at(BlockTable *table, BlockRecord *record, uint64_t at_usec);
void block_table_mark_due(BlockTable *table, uint64_t now_usec);

void block_table_count(const BlockTable *table, unsigned *ret_online, unsigned *ret_offline);
