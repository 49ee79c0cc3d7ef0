/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The bucket of a peer: so many lines per window, the rest is counted. Whole windows and not a smooth rate: what belongs
 * together (a failure and its cause) is written together or not at all. Pure: the caller has the clock.
 */

#include <assert.h>
#include <limits.h>

#include "common/log.h"
#include "common/units.h"

#define LOG_LIMIT_WINDOW_USEC (10 * USEC_PER_SEC)
#define LOG_LIMIT_LINES       10U

bool log_limit_allows(LogLimit *limit, uint64_t now_usec, unsigned *ret_suppressed) {
        assert(limit);

        if (limit->n_in_window == 0 || u64_sub(now_usec, limit->window_start_usec) >= LOG_LIMIT_WINDOW_USEC) {
                limit->window_start_usec = now_usec;
                limit->n_in_window = 0;
        }

        if (limit->n_in_window >= LOG_LIMIT_LINES) {
                if (limit->n_suppressed < UINT_MAX)
                        limit->n_suppressed++;
                if (ret_suppressed)
                        *ret_suppressed = 0;
                return false;
        }

        limit->n_in_window++;
        if (ret_suppressed)
                *ret_suppressed = limit->n_suppressed;
        limit->n_suppressed = 0;
        return true;
}
