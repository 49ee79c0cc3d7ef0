/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a guest confirms of resizes that are closed already. Such a decision may still come to what the hypervisor has given for
 * it, for a bounded time, and is amended then. Pure: late_next_due() says what the caller has to record.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host-bridge/policy/decision.h"
#include "host-bridge/policy/resize.h"

#define LATE_MAX 4U /* decisions of one VM */

/* How long after its end: as long as the guest is to confirm a wave of growth. */
#define LATE_LIFE_USEC (60 * USEC_PER_SEC)

typedef struct Late {
        Decision decision;
        unsigned step; /* the last one: the guest speaks of the decision by its confirmations */
        /* magnitudes */
        uint64_t before_bytes;  /* confirmed of the steps before that one */
        uint64_t closed_bytes;  /* confirmed when it was closed */
        uint64_t reach_bytes;   /* what may be confirmed in the end */
        uint64_t whole_bytes;   /* from here on nothing is missing */
        uint64_t written_bytes; /* confirmed as it stands in the record */
        uint64_t fresh_bytes;   /* of that, what was not in the record before */
        uint64_t until_usec;
        bool due;
} Late;

/* Zero-initialised: nothing is awaited. */
typedef struct LateList {
        unsigned n;
        Late at[LATE_MAX]; /* oldest first */
        uint64_t
                passed_bytes; /* of the newest step's confirmations: what it had no use for, and older ones were given */
} LateList;

/* Whether anything may still come of a resize that has just been closed, or has to get past it to an older one. */
bool late_concerns(const LateList *list, const Resize *resize);

/* Waits for such a resize, in place of the oldest where there is no room; late_make_room() and what is due go before it. */
void late_make_room(LateList *list);
void late_begin(LateList *list, const Resize *resize, uint64_t now_usec);

/* Another step begins: what its guest confirms is counted from here on. */
void late_new_step(LateList *list);

/* The guest confirms of decision id; nothing where that is not awaited. */
void late_take(LateList *list, uint64_t id, unsigned step, int64_t delta_bytes, uint64_t now_usec);

/*
 * The newest step's guest has confirmed so much more than was asked for by it: that belongs to older growth, since memory does
 * not say whose it is.
 */
void late_take_spare(LateList *list, uint64_t spare_bytes, uint64_t now_usec);

/* No more is awaited of what is over by now; USEC_INFINITY: of all. */
void late_end(LateList *list, uint64_t now_usec);

/* The next decision that is to be recorded as it stands now; NULL: none, and what is over is forgotten. */
const Late *late_next_due(LateList *list);
