/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One unit each, and arithmetic that cannot wrap.
 *
 * Memory is uint64_t bytes, time is uint64_t microseconds, a share is permyriad (1/10 000) or a
 * plain percent. The conversions below are the only places where kB of procfs, pages of vmstat and
 * bytes of QMP meet. This header is all that the pure cores may include from outside their folder.
 */

#include <stdbool.h>
#include <stdint.h>

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)

#define USEC_PER_MSEC UINT64_C(1000)
#define USEC_PER_SEC  UINT64_C(1000000)
#define NSEC_PER_USEC UINT64_C(1000)
#define USEC_INFINITY UINT64_MAX

#define PERMYRIAD UINT64_C(10000)

/* No machine that memtide serves has more; every figure from a wire is held below it. */
#define MEMORY_BYTES_MAX (64 * TIB)

static inline uint64_t u64_add(uint64_t a, uint64_t b) {
        return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static inline uint64_t u64_sub(uint64_t a, uint64_t b) {
        return a > b ? a - b : 0;
}

static inline uint64_t u64_mul(uint64_t a, uint64_t b) {
        return b != 0 && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}

static inline uint64_t u64_min(uint64_t a, uint64_t b) {
        return a < b ? a : b;
}

static inline uint64_t u64_max(uint64_t a, uint64_t b) {
        return a > b ? a : b;
}

static inline uint64_t u64_clamp(uint64_t x, uint64_t low, uint64_t high) {
        return x < low ? low : x > high ? high : x;
}

/* a - b as a signed number, held inside the range of int64_t. */
static inline int64_t u64_delta(uint64_t a, uint64_t b) {
        if (a >= b)
                return a - b > INT64_MAX ? INT64_MAX : (int64_t) (a - b);
        return b - a > INT64_MAX ? -INT64_MAX : -(int64_t) (b - a);
}

static inline uint64_t i64_magnitude(int64_t x) {
        return x < 0 ? UINT64_C(0) - (uint64_t) x : (uint64_t) x;
}

/* a + delta, held inside the range of uint64_t. */
static inline uint64_t u64_shift(uint64_t a, int64_t delta) {
        return delta >= 0 ? u64_add(a, (uint64_t) delta) : u64_sub(a, UINT64_C(0) - (uint64_t) delta);
}

/* x * numerator / denominator without an intermediate overflow; denominator 0 gives UINT64_MAX. */
static inline uint64_t u64_scale(uint64_t x, uint64_t numerator, uint64_t denominator) {
        unsigned __int128 product = (unsigned __int128) x * numerator;

        if (denominator == 0 || product / denominator > UINT64_MAX)
                return UINT64_MAX;
        return (uint64_t) (product / denominator);
}

static inline uint64_t u64_percent(uint64_t x, uint64_t percent) {
        return u64_scale(x, percent, 100);
}

/* Down or up to a multiple of unit; unit 0 or 1 leaves x as it is. */
static inline uint64_t u64_align_down(uint64_t x, uint64_t unit) {
        return unit > 1 ? x - x % unit : x;
}

static inline uint64_t u64_align_up(uint64_t x, uint64_t unit) {
        return unit > 1 ? u64_align_down(u64_add(x, unit - 1), unit) : x;
}
