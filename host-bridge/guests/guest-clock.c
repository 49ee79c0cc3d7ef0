/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Two windows and a minimum each: a sliding minimum without a history. A round trip (Ping) would measure the
 * same to within half of itself, but only when asked; here each frame is a measurement.
 */

#include "host-bridge/guests/guest-clock.h"

#include <assert.h>

static int64_t offset_of(const GuestClock *clock) {
        return clock->window_min_usec < clock->previous_min_usec ? clock->window_min_usec
                                                                 : clock->previous_min_usec;
}

uint64_t guest_clock_observe(GuestClock *clock, uint64_t guest_usec, uint64_t host_usec) {
        int64_t offset = u64_delta(host_usec, guest_usec), best;

        assert(clock);

        if (!clock->known)
                *clock = (GuestClock){true, host_usec, offset, offset};
        else if (u64_sub(host_usec, clock->window_start_usec) >= GUEST_CLOCK_WINDOW_USEC) {
                clock->previous_min_usec = clock->window_min_usec;
                clock->window_min_usec = offset;
                clock->window_start_usec = host_usec;
        } else if (offset < clock->window_min_usec)
                clock->window_min_usec = offset;

        /* Offsets may be at the two ends of their type: a difference of theirs needs the unsigned one. */
        best = offset_of(clock);
        return (uint64_t) offset - (uint64_t) best;
}

uint64_t guest_clock_from_host(const GuestClock *clock, uint64_t host_usec) {
        int64_t offset;

        assert(clock);

        if (!clock->known)
                return 0;
        offset = offset_of(clock);
        return offset >= 0 ? u64_sub(host_usec, (uint64_t) offset)
                           : u64_add(host_usec, UINT64_C(0) - (uint64_t) offset);
}
