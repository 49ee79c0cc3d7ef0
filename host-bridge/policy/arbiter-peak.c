/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a guest has needed lately. A ring of slots instead of a decaying maximum: a peak counts in full until it is out of
 * the window, and then not at all, so that the operator can tell when a shrink becomes possible.
 */

#include "host-bridge/policy/arbiter.h"

static uint64_t slot_usec(uint64_t window_usec) {
        return u64_max(window_usec / (ARBITER_PEAK_SLOTS - 1), 1);
}

/* Empties the slots that have passed since the newest. */
static void peak_advance(ArbiterPeak *peak, uint64_t slot) {
        for (uint64_t i = u64_min(u64_sub(slot, peak->newest), ARBITER_PEAK_SLOTS); i > 0; i--)
                peak->high_bytes[(slot - i + 1) % ARBITER_PEAK_SLOTS] = 0;
        peak->newest = u64_max(peak->newest, slot);
}

void arbiter_peak_note(ArbiterPeak *peak, uint64_t window_usec, uint64_t demand_bytes, uint64_t now_usec) {
        uint64_t i;

        peak_advance(peak, now_usec / slot_usec(window_usec));
        i = peak->newest % ARBITER_PEAK_SLOTS;
        peak->low_bytes[i] =
                peak->high_bytes[i] > 0 ? u64_min(peak->low_bytes[i], demand_bytes) : demand_bytes;
        peak->high_bytes[i] = u64_max(peak->high_bytes[i], demand_bytes);
}

uint64_t arbiter_peak_bytes(const ArbiterPeak *peak, uint64_t window_usec, uint64_t now_usec) {
        ArbiterPeak now = *peak;
        uint64_t high = 0, low = UINT64_MAX;

        peak_advance(&now, now_usec / slot_usec(window_usec));
        for (unsigned i = 0; i < ARBITER_PEAK_SLOTS; i++)
                if (now.high_bytes[i] > 0) {
                        high = u64_max(high, now.high_bytes[i]);
                        low = u64_min(low, now.low_bytes[i]);
                }
        return u64_add(high, u64_sub(high, low) / 4);
}
