/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The guest's monotonic clock as seen from the host, learnt from the stamps of its frames: how long a
 * frame was under way, and what a deadline of ours is in its time. Pure.
 *
 * host - guest is smallest for the frame that was fastest; each frame's excess over it is its delay. The
 * smallest is forgotten after one to two minutes, so that drift, a suspended guest or a lie heal by themselves.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/units.h"

#define GUEST_CLOCK_WINDOW_USEC (60 * USEC_PER_SEC)

typedef struct GuestClock {
        bool known;
        uint64_t window_start_usec;                 /* host */
        int64_t window_min_usec, previous_min_usec; /* host - guest */
} GuestClock;

/* Takes one frame's stamp and arrival. Returns its delay; 0 for the first. */
uint64_t guest_clock_observe(GuestClock *clock, uint64_t guest_usec, uint64_t host_usec);

/* host_usec in the guest's time; 0 while nothing is known. */
uint64_t guest_clock_from_host(const GuestClock *clock, uint64_t host_usec);
