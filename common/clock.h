/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The time now, where that of the loop's last wake-up (sd_event_now()) will not do: in threads, and after long work. */

#include <time.h>

#include "common/units.h"

/* CLOCK_MONOTONIC, which can not fail. */
static inline uint64_t clock_monotonic_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
}
