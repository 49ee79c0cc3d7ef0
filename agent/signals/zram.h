/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Memory that compressed swap takes: swapped to zram is not away. Embedded by the sampler. */

#include <stddef.h>
#include <stdint.h>

#include "common/rootdir.h"

#define ZRAM_DEVICES_MAX 8U

typedef struct Zram {
        int mm_stat_fds[ZRAM_DEVICES_MAX];
        uint64_t numbers[ZRAM_DEVICES_MAX];
        size_t n_fds;
} Zram;

void zram_done(Zram *zram);

/*
 * Opens mm_stat of each zram device that proc/swaps names. Allocates nothing; to be called when SwapTotal
 * has changed. Returns 0 or -errno (nothing is open then).
 */
int zram_find(Zram *zram, const RootDir *root);

/* Sum of mem_used_total; a device that can not be read counts as 0. Allocates nothing. */
uint64_t zram_used_bytes(const Zram *zram);

/* mem_used_total, the third number of mm_stat. Pure. Returns 0 or -EINVAL. */
int zram_parse_mm_stat(const char *text, size_t size, uint64_t *ret_bytes);

/* Number of the zram device that a line of proc/swaps names. Pure. Returns 0, or -EINVAL if it names none. */
int zram_parse_swap(const char *line, size_t size, uint64_t *ret_number);
