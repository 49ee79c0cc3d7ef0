/* SPDX-License-Identifier: Apache-2.0 */

/*
 * From the reports, not from the decisions: a guest that was never heard in time, or whose growth came late, is harmed
 * although each decision was right. Counters that have become smaller are those of another boot.
 */

#include "host-bridge/policy/harm.h"

void harm_note(Harm *harm, const HarmSample *sample) {
        bool restarted = sample->some_usec < harm->some_usec || sample->oom_kills < harm->oom_kills;

        if (harm->known && !restarted) {
                uint64_t span = u64_sub(sample->now_usec, harm->now_usec);

                if (harm->headroom_bytes > 0 && sample->headroom_bytes > 0)
                        harm->stalled_usec = u64_add(harm->stalled_usec,
                                                     u64_min(sample->some_usec - harm->some_usec, span));
                if (harm->balloon_bytes > 0 && sample->balloon_bytes > 0)
                        harm->kills = u64_add(harm->kills, sample->oom_kills - harm->oom_kills);
        }
        harm->known = true;
        harm->some_usec = sample->some_usec;
        harm->oom_kills = sample->oom_kills;
        harm->now_usec = sample->now_usec;
        harm->balloon_bytes = sample->balloon_bytes;
        harm->headroom_bytes = sample->headroom_bytes;
}
