/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Whether a guest's figures can be true: against each other, against time, against its hypervisor's. Every figure is cut to
 * what is possible anyway; this is for the guest whose word is worth nothing. Pure.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/units.h"

/* What is wrong; the first that applies. */
typedef enum Doubt {
        DOUBT_NONE,
        DOUBT_FRAMES,   /* frames that contradict themselves, such as more available than there is: dropped */
        DOUBT_SIZE,     /* it has more than its hypervisor gave */
        DOUBT_PRESSURE, /* it stalled for longer than time has passed */
        DOUBT_COUNTER,  /* a counter ran backwards within one boot */
        DOUBT_MAX,
} Doubt;

/* "none", "frames", "size", "pressure", "counter". */
const char *doubt_to_string(Doubt doubt);

/* One report, as the guest said it. */
typedef struct TrustFigures {
        uint64_t usable_bytes;
        uint64_t psi_some_usec, psi_full_usec, oom_kills;
        uint64_t size_max_bytes; /* the hypervisor's word, with what may be on its way; 0: not known */
} TrustFigures;

/* Embedded by the caller, zero-initialised with each session. */
typedef struct Trust {
        Doubt doubt;           /* in quarantine for it; DOUBT_NONE: it is not */
        unsigned n_doubtful;   /* reports in a row */
        uint64_t doubted_usec; /* the last time */
        uint64_t n_malformed;
        bool known;
        uint64_t psi_some_usec, psi_full_usec, oom_kills, taken_usec;
} Trust;

/* Takes one report. Returns whether the quarantine began or ended with it. */
bool trust_take(Trust *trust, const TrustFigures *figures, uint64_t now_usec);

/* Takes the count of frames of this session that were dropped as malformed. Returns as trust_take(). */
bool trust_take_malformed(Trust *trust, uint64_t n_malformed, uint64_t now_usec);
