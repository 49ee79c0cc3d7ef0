/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The kernel's clocks in microseconds, read anew at each call. The loop's own time (sd_event_now()) stands still within a
 * dispatch, and timings within one are shown to people.
 */

#include <stdint.h>

uint64_t clock_monotonic_usec(void);

/* Since 1970. */
uint64_t clock_realtime_usec(void);
