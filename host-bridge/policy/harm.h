/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a guest suffered that we could have spared it, or did to it: the figures that an operator holds us to. Pure.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/units.h"

typedef struct Harm {
        uint64_t
                stalled_usec; /* waited for memory while the policy, the devices and the budget had some left */
        uint64_t kills;       /* OOM kills while our balloon held memory */
        /* of the last report; embedded by the caller, zero-initialised */
        bool known;
        uint64_t some_usec, oom_kills, now_usec, balloon_bytes, headroom_bytes;
} Harm;

typedef struct HarmSample {
        uint64_t now_usec;
        uint64_t some_usec, oom_kills; /* of the guest, since it booted */
        uint64_t balloon_bytes, headroom_bytes;
} HarmSample;

/*
 * Takes one report. What passed since the one before counts only where the same thing held at both ends: half a span is
 * nobody's fault yet. A guest can not have waited for longer than the span is.
 */
void harm_note(Harm *harm, const HarmSample *sample);

/* The next report begins a new span: another session, a reset, a pause. */
static inline void harm_pause(Harm *harm) {
        harm->known = false;
}
