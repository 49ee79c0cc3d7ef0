/* SPDX-License-Identifier: Apache-2.0 */

/*
 * By totals and never by avg10, which lags by its own window (pressure-control.md b.3). The kernel never says that
 * pressure has ended, so that takes 10 s without it: half of a stall would otherwise be granted into.
 */

#include "host-bridge/policy/pressure.h"

#define CALM_USEC  (10 * USEC_PER_SEC)
#define LEAST_USEC (500 * USEC_PER_MSEC) /* a shorter look says nothing about a percent */

bool pressure_take(PressureGauge *gauge, uint64_t some_usec, uint64_t limit_percent, uint64_t now_usec) {
        uint64_t elapsed_usec = u64_sub(now_usec, gauge->taken_usec);
        bool known = gauge->known && some_usec >= gauge->some_usec;

        if (known && elapsed_usec < LEAST_USEC)
                return gauge->pressed;
        if (known && u64_mul(some_usec - gauge->some_usec, 100) > u64_mul(elapsed_usec, limit_percent)) {
                gauge->pressed = true;
                gauge->calm_since_usec = 0;
        } else if (gauge->calm_since_usec == 0)
                gauge->calm_since_usec = now_usec;
        else if (u64_sub(now_usec, gauge->calm_since_usec) >= CALM_USEC)
                gauge->pressed = false;
        gauge->known = true;
        gauge->some_usec = some_usec;
        gauge->taken_usec = now_usec;
        return gauge->pressed;
}
