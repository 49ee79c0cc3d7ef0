/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What asking (shrink.c), probing (shrink-probe.c) and watching (shrink-watch.c) have in common. No other file includes
 * this.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/policy/shrink.h"
#include "common/units.h"

/*
 * What is offered is watched for as long as the host may still take it, which is longer than its own patience
 * without progress: 5 s (host-bridge/policy/resize.c).
 */
#define SHRINK_WATCH_USEC (6 * USEC_PER_SEC)

/* What an actuator cannot take anyway: virtio-mem's sub-block, with room for stray balloon pages. */
#define SHRINK_UNIT_BYTES (2 * MIB)

/* Notes when usable moved. */
void shrink_follow_usable(ShrinkState *state, const Snapshot *now);

/*
 * U, of the least usable since the resize began. A shrink only takes; where usable rises in it, that is a block on its way
 * out, whose pages count as managed once more before they go (see growth_of_used() in demand-track.c).
 */
uint64_t shrink_workload_bytes(const ShrinkState *state, const Snapshot *now);

/* Is U above U0 by more than noise and the resize itself can explain? in_flight: what may be taken at this moment. */
bool shrink_workload_grew(const ShrinkState *state, const Snapshot *now, uint64_t in_flight);

void shrink_close_step(ShrinkState *state);
void shrink_close_resize(ShrinkState *state);

/* The answer to a step whose reclaim is over: SHRINK_OFFERED or SHRINK_REFUSED. */
ShrinkPlan shrink_answer(const ShrinkConfig *config, ShrinkState *state, const Snapshot *now,
                         const Demand *demand);

/* Reclaim begins; a sample during it or after; reclaim is over, and the watch begins. */
void shrink_probe_begin(ShrinkState *state, const Snapshot *now);
void shrink_probe_follow(ShrinkState *state, const Snapshot *now);
void shrink_probe_watch(ShrinkState *state, const Snapshot *now, uint64_t freed_bytes);

/* What has come back of what was reclaimed last, and whether that says that it was needed. */
uint64_t shrink_probe_back_bytes(const ShrinkState *state, const Snapshot *now);
bool shrink_probe_is_bad(const ShrinkState *state, const Snapshot *now);

/* Counts one that was, and returns for how long no other is made. */
uint64_t shrink_probe_hold_usec(const ShrinkConfig *config, ShrinkState *state);
