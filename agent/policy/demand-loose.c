/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Pages that are off the free lists and that nobody has: free page reporting's, for as long as the host drops them (see
 * shrink-watch.c), and those of a block that is isolated before it leaves MemTotal. MemAvailable lacks up to 128 MiB of
 * them at once, and two samples in a row that do so make a guest of 512 MiB ask for a GiB.
 *
 * They are counted as available for as long as the margin bears that they are not. What somebody has is known where the
 * sample knows what is held, which is while memory is on its way out: then, samples come every 20 ms, and a false alarm
 * undoes a shrink.
 *
 * Rejected: to know it in every sample. It is as much again to look for in meminfo, and two looks a second apart do not
 * both fall into the same 11 ms.
 */

#include "agent/policy/demand-internal.h"

#include "common/units.h"

/* Less is noise: counters are kept per CPU, and new pages are put on their list by fifteens. */
#define LEAST_BYTES (16 * MIB)

/* As for a veto: see shrink-watch.c. */
#define LOOSE_USEC (400 * USEC_PER_MSEC)

void demand_forgive_loose(DemandState *state, const Snapshot *sample, Snapshot *merged) {
        uint64_t used = snapshot_used_bytes(merged), usable = snapshot_usable_bytes(merged);
        uint64_t held = u64_min(sample->held_bytes, MEMORY_BYTES_MAX);
        bool known = sample->has & SNAPSHOT_HAS_HELD;

        if (!(sample->has & SNAPSHOT_HAS_MEMINFO))
                return;
        if (known && state->loose.known) {
                uint64_t resized = u64_max(usable, state->loose.usable_bytes) -
                                   u64_min(usable, state->loose.usable_bytes);
                int64_t taken =
                        u64_delta(used, state->loose.used_bytes) - u64_delta(held, state->loose.held_bytes);
                /* memmap and watermarks: shrink.md S7 */
                uint64_t least = u64_add(LEAST_BYTES, u64_scale(resized, 27, 1000));

                if (taken > 0 && (uint64_t) taken > least) {
                        state->loose.bytes = u64_add(state->loose.bytes, (uint64_t) taken);
                        state->loose.since_usec = sample->now_usec;
                } else if (taken < 0)
                        state->loose.bytes = u64_sub(state->loose.bytes, (uint64_t) -taken);
        }
        if (!known || sample->now_usec - state->loose.since_usec >= LOOSE_USEC)
                state->loose.bytes = 0;
        state->loose.known = known;
        state->loose.used_bytes = used;
        state->loose.held_bytes = held;
        state->loose.usable_bytes = usable;
        merged->available_bytes = u64_min(u64_add(merged->available_bytes, state->loose.bytes), usable);
}
