/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A token bucket (Aurora Serverless v2, VLDB 2024): one VM does not outrun what the host can do for the others, and the
 * bucket is so large that an honest spike fits. It holds what was spent and not what is left, because what is left
 * depends on the VM's size, which moves.
 */

#include "host-bridge/policy/limiter.h"

#define BURST_LEAST_BYTES GIB

static uint64_t burst_bytes(const LimiterBounds *bounds) {
        return u64_max(BURST_LEAST_BYTES, bounds->size_bytes / 4) / (bounds->tight ? 2 : 1);
}

static uint64_t refill_per_sec(const LimiterBounds *bounds) {
        return u64_max(bounds->reach_bytes / 10 / (bounds->tight ? 2 : 1), MIB);
}

static uint64_t spent_now(const Limiter *limiter, const LimiterBounds *bounds, uint64_t now_usec) {
        uint64_t refilled =
                u64_scale(refill_per_sec(bounds), u64_sub(now_usec, limiter->noted_usec), USEC_PER_SEC);

        return u64_sub(limiter->spent_bytes, refilled);
}

uint64_t limiter_left_bytes(const Limiter *limiter, const LimiterBounds *bounds, uint64_t now_usec) {
        return u64_sub(burst_bytes(bounds), spent_now(limiter, bounds, now_usec));
}

uint64_t limiter_ready_usec(const Limiter *limiter, const LimiterBounds *bounds, uint64_t bytes,
                            uint64_t now_usec) {
        uint64_t wanted = u64_min(bytes, burst_bytes(bounds));
        uint64_t lacking = u64_sub(wanted, limiter_left_bytes(limiter, bounds, now_usec));

        return u64_add(now_usec, u64_scale(lacking, USEC_PER_SEC, refill_per_sec(bounds)) + 1);
}

void limiter_spend(Limiter *limiter, const LimiterBounds *bounds, uint64_t bytes, uint64_t now_usec) {
        limiter->spent_bytes = u64_add(spent_now(limiter, bounds, now_usec), bytes);
        limiter->noted_usec = now_usec;
}

void limiter_refund(Limiter *limiter, uint64_t bytes) {
        limiter->spent_bytes = u64_sub(limiter->spent_bytes, bytes);
}
