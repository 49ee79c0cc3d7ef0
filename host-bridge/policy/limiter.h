/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How fast one VM may grow: a bucket of max(1 GiB, a quarter of its size) that fills by a tenth of its reach per
 * second, both halved while the pool is below its target. Pure.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/units.h"

/* Embedded by the caller, zero-initialised: nothing spent. */
typedef struct Limiter {
        uint64_t spent_bytes, noted_usec;
} Limiter;

/* What the bounds depend on. */
typedef struct LimiterBounds {
        uint64_t size_bytes, reach_bytes;
        bool tight; /* the pool is below its target */
} LimiterBounds;

/* What may be granted now. */
uint64_t limiter_left_bytes(const Limiter *limiter, const LimiterBounds *bounds, uint64_t now_usec);

/* When bytes may be, if nothing else is granted; not after the bucket is full. */
uint64_t limiter_ready_usec(const Limiter *limiter, const LimiterBounds *bounds, uint64_t bytes,
                            uint64_t now_usec);

/* Takes what was granted. */
void limiter_spend(Limiter *limiter, const LimiterBounds *bounds, uint64_t bytes, uint64_t now_usec);

/* Gives back what did not come of it. */
void limiter_refund(Limiter *limiter, uint64_t bytes);
