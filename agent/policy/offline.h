/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How a range of memory blocks that the host names goes offline, or comes back: which blocks, in which order, and the way
 * back when one of them does not go. Pure: it says what to write next and is told what came of it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/vocabulary.h"

/* 128 GiB in the smallest blocks of x86; a VM that large has larger ones. */
#define OFFLINE_BLOCKS_MAX 1024U

/* Longest that a range may be worked on: the kernel's own loop has no end (linux:mm/memory_hotplug.c offline_pages()). */
#define OFFLINE_MOST_USEC (5 * UINT64_C(1000000))

typedef struct OfflineRange {
        uint64_t first, n; /* blocks */
} OfflineRange;

/* Returns false for a range that is empty, too long, or not made of whole blocks. */
bool offline_range(uint64_t address, uint64_t bytes, uint64_t block_size_bytes, OfflineRange *ret);

typedef enum OfflineFate {
        OFFLINE_KEPT,     /* as it was: not reached, or it would not go */
        OFFLINE_TAKEN,    /* offline, by us */
        OFFLINE_RESTORED, /* online again */
        OFFLINE_LOST,     /* taken, and did not come back */
        OFFLINE_GONE,     /* removed by somebody else meanwhile */
        OFFLINE_FATE_MAX,
} OfflineFate;

typedef struct OfflineBlock {
        uint64_t number, identity;
        Zone zone; /* it had before it was taken, and has when restored */
        OfflineFate fate;
} OfflineBlock;

typedef struct OfflineRun {
        OfflineBlock *blocks; /* borrowed, lowest number first */
        size_t n;
        bool back; /* from here on blocks are restored */
        size_t at;
        int error; /* positive errno: why not all of it went, or came back; 0 = it did */
} OfflineRun;

/* Taking: all blocks are KEPT. Bringing back: all are TAKEN, with their zones. */
void offline_begin(OfflineRun *run, OfflineBlock *blocks, size_t n, bool back);

typedef enum OfflineStep {
        OFFLINE_TAKE,    /* write "offline" to *ret_block, then offline_taken() */
        OFFLINE_RESTORE, /* online *ret_block to its zone, then offline_restored() */
        OFFLINE_OVER,
} OfflineStep;

/* stop: positive errno, take no more blocks and restore those taken; 0 = go on. */
OfflineStep offline_next(OfflineRun *run, int stop, OfflineBlock **ret_block);

/* error: positive errno, or 0; ENOENT for a block that is not there any more. zone: it had, if error is 0. */
void offline_taken(OfflineRun *run, OfflineBlock *block, Zone zone, int error);

/* zone: it has now, if error is 0. */
void offline_restored(OfflineRun *run, OfflineBlock *block, Zone zone, int error);

/* Blocks of that fate. */
size_t offline_count(const OfflineRun *run, OfflineFate fate);
