/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A guest that is asked to shrink, on virtual time. Include after cmocka.h. */

#include <stdint.h>

#include "agent/policy/shrink.h"

#define MSEC(ms) ((uint64_t) (ms) *USEC_PER_MSEC)
#define SEC(s)   ((uint64_t) (s) *USEC_PER_SEC)
#define ALL      (SNAPSHOT_HAS_MEMINFO | SNAPSHOT_HAS_PSI | SNAPSHOT_HAS_VMSTAT | SNAPSHOT_HAS_ZONES)

static const ShrinkConfig config = {.margin_bytes = 128 * MIB, .hold_usec = SEC(120)};
static const DemandConfig demand_config = {.actuator_delay_usec = MSEC(150)};

typedef struct Guest {
        DemandState demand_state;
        ShrinkState state;
        Snapshot s;
        Demand demand;
        ShrinkPlan plan;
} Guest;

/* Memory in MiB. cache is available and not free. */
static inline void guest_set(Guest *guest, uint64_t total, uint64_t used, uint64_t cache) {
        guest->s.total_bytes = total * MIB;
        guest->s.available_bytes = u64_sub(snapshot_usable_bytes(&guest->s), used * MIB);
        guest->s.free_bytes = u64_sub(guest->s.available_bytes, cache * MIB);
}

static inline ShrinkVerdict guest_step(Guest *guest, uint64_t usec) {
        guest->s.now_usec += usec;
        guest->demand = demand_step(&demand_config, &guest->demand_state, &guest->s);
        guest->plan = shrink_watch(&config, &guest->state, &guest->s, &guest->demand);
        return guest->plan.verdict;
}

static inline void guest_init(Guest *guest, uint64_t total, uint64_t used, uint64_t cache) {
        *guest = (Guest){
                .s = {.now_usec = SEC(10), .has = ALL, .page_size_bytes = 4096},
        };
        guest_set(guest, total, used, cache);
        for (unsigned i = 0; i < 10; i++)
                assert_int_equal(guest_step(guest, MSEC(100)), SHRINK_IDLE);
}

static inline ShrinkAsk ask_of(const Guest *guest, uint64_t id, unsigned step, uint64_t bytes) {
        return (ShrinkAsk){
                .id = id,
                .step = step,
                .bytes = bytes,
                .remaining_bytes = bytes,
                .deadline_usec = guest->s.now_usec + SEC(5),
        };
}

static inline ShrinkVerdict guest_ask(Guest *guest, uint64_t id, unsigned step, uint64_t mib) {
        ShrinkAsk ask = ask_of(guest, id, step, mib * MIB);

        guest->plan = shrink_ask(&config, &guest->state, &ask, &guest->s, &guest->demand, true);
        return guest->plan.verdict;
}

/* The reclaim is over; before is MemFree before it. The verdict after what it evicted has been watched. */
static inline ShrinkVerdict guest_freed(Guest *guest, uint64_t before) {
        guest->plan = shrink_freed(&config, &guest->state, &guest->s, &guest->demand, before);
        for (unsigned i = 0; guest->plan.verdict == SHRINK_WAITING; i++) {
                assert_true(i < 60);
                guest_step(guest, MSEC(20));
        }
        return guest->plan.verdict;
}
