/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What has been decided: a bounded ring in memory, and a line in the journal (or on stderr) for each decision as it
 * is made, as it is closed, and as its guest confirms more of it afterwards.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/macro.h"
#include "host-bridge/policy/decision.h"

typedef struct Record Record;

/* capacity: decisions kept over all VMs. Returns 0 or -ENOMEM. */
int record_new(size_t capacity, Record **ret);
Record *record_free(Record *record);
DEFINE_CLEANUP_FUNC(Record, record_free)

/*
 * One more who is told of every decision that is put, and how it stood before; NULL: the ring does not have it. There is room
 * for RECORD_WATCHERS_MAX. userdata is the watcher's name for record_unwatch().
 */
#define RECORD_WATCHERS_MAX 4U
typedef void (*RecordWatcher)(const Decision *decision, const Decision *before, void *userdata);
void record_watch(Record *record, RecordWatcher watcher, void *userdata);
void record_unwatch(Record *record, void *userdata);

/* True once for each decision: it is closed, or was denied. What comes late amends it. */
static inline bool record_is_final(const Decision *decision, const Decision *before) {
        return decision->result != RESULT_PENDING && decision->late_bytes == 0 &&
               (!before || before->result == RESULT_PENDING);
}

/* A fresh decision id: rises, never 0, and does not repeat over restarts (starts from the wall clock). */
uint64_t record_next_id(Record *record);

/* Keeps the decision (replacing the one with the same id) and logs it if it is new, just closed, or confirmed late. */
void record_put(Record *record, const Decision *decision);

/*
 * Copies up to n decisions of vm (NULL: of all), newest first.
 * Returns how many.
 */
size_t record_list(const Record *record, const char *vm, Decision *ret, size_t n);
