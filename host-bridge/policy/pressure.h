/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* From a PSI total to "it stalls": a share of the time since the last look, with hysteresis. Pure. */

#include <stdbool.h>
#include <stdint.h>

#include "common/units.h"

/* Embedded by the caller, zero-initialised. */
typedef struct PressureGauge {
        bool known, pressed;
        uint64_t some_usec, taken_usec; /* the last total, and when it was read */
        uint64_t calm_since_usec;       /* below the limit since; 0: it is not */
} PressureGauge;

/*
 * Takes "some total" of /proc/pressure/memory or a memory.pressure. Pressed from limit_percent on, until it has been
 * below for 10 s. A total that fell (another cgroup) begins anew. Returns gauge->pressed.
 */
bool pressure_take(PressureGauge *gauge, uint64_t some_usec, uint64_t limit_percent, uint64_t now_usec);
