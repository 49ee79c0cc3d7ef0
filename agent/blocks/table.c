/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A sorted array. Blocks come in ascending order at the scan and in bursts of neighbours later, so an insertion is
 * nearly always an append, and 32 768 of them (4 TiB in blocks of 128 MiB) fit into 2.5 MiB. A hash table
 * was rejected: the order is what is wanted, lowest address first.
 */

#include "agent/blocks/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/macro.h"
#include "common/units.h"

void block_table_done(BlockTable *table) {
        assert(table);

        free(table->records);
        *table = (BlockTable){};
}

/* Index of the first record whose number is not below. */
static size_t lower_bound(const BlockTable *table, uint64_t number) {
        size_t low = 0, high = table->n;

        if (table->n > 0 && table->records[table->n - 1].number < number)
                return table->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (table->records[middle].number < number)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

BlockRecord *block_table_find(BlockTable *table, uint64_t number) {
        size_t i;

        assert(table);

        i = lower_bound(table, number);
        return i < table->n && table->records[i].number == number ? &table->records[i] : NULL;
}

BlockRecord *block_table_insert(BlockTable *table, uint64_t number, uint64_t identity, uint64_t now_usec) {
        BlockRecord *record;
        size_t i;

        assert(table);
        assert(!block_table_find(table, number));

        if (table->n == table->n_allocated) {
                size_t grown = table->n_allocated > 0 ? table->n_allocated * 2 : 64;
                BlockRecord *p = reallocarray(table->records, grown, sizeof(*p));

                if (!p)
                        return NULL;
                table->records = p;
                table->n_allocated = grown;
        }

        i = lower_bound(table, number);
        record = &table->records[i];
        memmove(record + 1, record, (table->n - i) * sizeof(*record));
        table->n++;

        *record = (BlockRecord){
                .number = number,
                .identity = identity,
                .state = BLOCK_STATE_OFFLINE,
                .first_seen_usec = now_usec,
                .retry_usec = USEC_INFINITY,
        };
        block_table_mark(table, record);
        return record;
}

void block_table_remove(BlockTable *table, BlockRecord *record) {
        size_t i;

        assert(table);
        assert(record >= table->records && record < table->records + table->n);

        i = (size_t) (record - table->records);
        memmove(record, record + 1, (table->n - i - 1) * sizeof(*record));
        table->n--;
}

void block_table_mark(BlockTable *table, BlockRecord *record) {
        assert(table);
        assert(record);

        record->look = true;
        table->look_from = u64_min(table->look_from, record->number);
}

BlockRecord *block_table_take(BlockTable *table) {
        assert(table);

        for (size_t i = lower_bound(table, table->look_from); i < table->n; i++) {
                BlockRecord *record = &table->records[i];

                if (!record->look)
                        continue;
                record->look = false;
                table->look_from = record->number + 1;
                return record;
        }

        table->look_from = UINT64_MAX;
        return NULL;
}

void block_table_retry_at(BlockTable *table, BlockRecord *record, uint64_t at_usec) {
        assert(table);
        assert(record);

        record->retry_usec = at_usec;
        table->retry_usec = u64_min(table->retry_usec, at_usec);
}

void block_table_mark_due(BlockTable *table, uint64_t now_usec) {
        assert(table);

        if (table->retry_usec > now_usec)
                return;

        table->retry_usec = USEC_INFINITY;
        for (size_t i = 0; i < table->n; i++) {
                BlockRecord *record = &table->records[i];

                if (record->retry_usec <= now_usec) {
                        record->retry_usec = USEC_INFINITY;
                        block_table_mark(table, record);
                }
                table->retry_usec = u64_min(table->retry_usec, record->retry_usec);
        }
}

void block_table_count(const BlockTable *table, unsigned *ret_online, unsigned *ret_offline) {
        unsigned n_online = 0, n_offline = 0;

        assert(table);
        assert(ret_online);
        assert(ret_offline);

        for (size_t i = 0; i < table->n; i++)
                if (table->records[i].state == BLOCK_STATE_OFFLINE)
                        n_offline++;
                else
                        n_online++;

        *ret_online = n_online;
        *ret_offline = n_offline;
}
