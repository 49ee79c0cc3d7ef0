/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What lately happened to this guest's memory, for its own people: a ring of fixed size in the owner. Putting into
 * it allocates nothing and formats nothing; the words are made when somebody asks.
 */

#include <stddef.h>
#include <stdint.h>

#define HISTORY_SIZE 32U

typedef enum HistoryKind {
        HISTORY_SESSION_OPENED,
        HISTORY_SESSION_CLOSED,
        HISTORY_ALARM,          /* the guest asks: bytes needed, cause */
        HISTORY_GROW_NOTICE,    /* the host says that memory is coming */
        HISTORY_GROWN,          /* it came */
        HISTORY_SHRINK_PREPARE, /* the host takes memory, and this guest agrees */
        HISTORY_SHRINK_REFUSED, /* it does not, with the reason */
        HISTORY_SHRUNK,         /* memory has gone */
        HISTORY_VETO,           /* the taking was stopped */
        HISTORY_BLOCK_FAILED,   /* a memory block could not be put online */
        HISTORY_KIND_MAX,
} HistoryKind;

typedef struct HistoryEntry {
        uint64_t realtime_usec; /* of the last time */
        HistoryKind kind;
        uint64_t bytes, id;
        const char *reason; /* a word of common/vocabulary.h, or ""; never freed */
        unsigned n_times;
} HistoryEntry;

/* Embedded by the owner, zero-initialised. */
typedef struct History {
        HistoryEntry entries[HISTORY_SIZE];
        size_t n, next;
} History;

/* "grown", "shrink-prepare", ...; "unknown" out of range. */
const char *history_kind_to_string(HistoryKind kind);

/*
 * Adds entry. One of the same kind, id and reason as the newest takes its place and counts up, so that an alarm that
 * is renewed ten times per second does not push out what led to it.
 */
void history_put(History *history, const HistoryEntry *entry);

/* The entry at index, newest first, borrowed until the next put; NULL behind the last. */
const HistoryEntry *history_at(const History *history, size_t index);
