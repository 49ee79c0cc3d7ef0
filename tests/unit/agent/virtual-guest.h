/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A guest on virtual time, with its estimator. Include after cmocka.h. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/policy/demand.h"

#define MSEC(ms) ((uint64_t) (ms) *USEC_PER_MSEC)
#define ALL                                                                                                  \
        (SNAPSHOT_HAS_MEMINFO | SNAPSHOT_HAS_PSI | SNAPSHOT_HAS_VMSTAT | SNAPSHOT_HAS_ZONES |                \
         SNAPSHOT_HAS_CGROUPS)

static const DemandConfig guest_config = {.actuator_delay_usec = MSEC(150)};

/* A guest of total bytes with used of it held by processes, the rest free. */
typedef struct Guest {
        DemandState state;
        Snapshot s;
        Demand demand;
        unsigned n_rose, n_fired;
} Guest;

static inline void guest_set(Guest *guest, uint64_t total, uint64_t used) {
        guest->s.total_bytes = total;
        guest->s.available_bytes = u64_sub(snapshot_usable_bytes(&guest->s), used);
        guest->s.free_bytes = guest->s.available_bytes;
}

static inline void guest_step(Guest *guest, uint64_t usec) {
        guest->s.now_usec += usec;
        guest->demand = demand_step(&guest_config, &guest->state, &guest->s);
        guest->n_rose += guest->demand.rose;
        guest->n_fired += guest->demand.fired != 0;
        guest->s.psi_triggered = false;
}

static inline void guest_init(Guest *guest, uint64_t total, uint64_t used) {
        *guest = (Guest){
                .s = {.now_usec = USEC_PER_SEC, .has = ALL, .page_size_bytes = 4096},
        };
        guest_set(guest, total, used);
        for (unsigned i = 0; i < 5; i++)
                guest_step(guest, MSEC(200));
        assert_int_equal(guest->n_fired, 0);
}
