/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How much of something one guest may have per second. What is over is taken all the same and waited for
 * afterwards, so that nothing has to be dropped: the reader is stopped until the debt is paid. Pure.
 */

#include <stdint.h>

#include "common/units.h"

typedef struct TokenBucket {
        uint64_t cost_nsec;  /* of one unit */
        uint64_t burst_nsec; /* credit that an idle bucket holds */
        uint64_t paid_nsec;  /* when all that was taken is paid for */
} TokenBucket;

static inline TokenBucket token_bucket(uint64_t units_per_sec, uint64_t burst_units) {
        uint64_t cost_nsec = USEC_PER_SEC * NSEC_PER_USEC / u64_max(units_per_sec, 1);

        return (TokenBucket){.cost_nsec = cost_nsec, .burst_nsec = u64_mul(cost_nsec, burst_units)};
}

static inline void token_bucket_take(TokenBucket *bucket, uint64_t n, uint64_t now_usec) {
        uint64_t now_nsec = u64_mul(now_usec, NSEC_PER_USEC);

        bucket->paid_nsec = u64_add(u64_max(bucket->paid_nsec, now_nsec), u64_mul(n, bucket->cost_nsec));
}

/* How long to stop reading; 0: go on. */
static inline uint64_t token_bucket_wait_usec(const TokenBucket *bucket, uint64_t now_usec) {
        uint64_t free_nsec = u64_add(u64_mul(now_usec, NSEC_PER_USEC), bucket->burst_nsec);

        return u64_sub(bucket->paid_nsec, free_nsec) / NSEC_PER_USEC;
}
