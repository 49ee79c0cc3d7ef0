/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a process costs, read by itself without allocating. */

#include <stdint.h>

typedef struct Measure {
        uint64_t cpu_nsec; /* of the whole process */
        uint64_t rss_kib, anon_kib, peak_kib;
        uint64_t major_faults, minor_faults;
} Measure;

/* Fields that can not be read are 0. */
Measure measure_take(void);

uint64_t measure_cpu_nsec(void);

/* A positive number of an argument; ends the program with 2 if it is none. */
uint64_t measure_argument(const char *text);
