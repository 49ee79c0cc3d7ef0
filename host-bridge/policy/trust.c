/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Three doubtful reports in a row are a quarantine: one may be a reading across a hot-plug, when /proc/meminfo and the
 * hypervisor's word are of different moments. It ends after a minute without any. Ending the session was rejected: the
 * guest would come back with the same figures, and its blocks would not be onlined meanwhile.
 *
 * A guest that lies without contradicting itself is not found here; the clamps, the shares and the pool bound it.
 */

#include "host-bridge/policy/trust.h"

#define DOUBTS_IN_A_ROW 3U
#define QUARANTINE_USEC (60 * USEC_PER_SEC)

/* The guest's and the host's clock, and reports that waited in a queue: arrival says when only so exactly. */
#define PRESSURE_SLACK_USEC (5 * USEC_PER_SEC)

static const char *const doubt_names[] = {
        [DOUBT_NONE] = "none",         [DOUBT_FRAMES] = "frames",   [DOUBT_SIZE] = "size",
        [DOUBT_PRESSURE] = "pressure", [DOUBT_COUNTER] = "counter",
};
_Static_assert(sizeof(doubt_names) / sizeof(doubt_names[0]) == DOUBT_MAX, "every doubt has a name");

const char *doubt_to_string(Doubt doubt) {
        return (unsigned) doubt < DOUBT_MAX ? doubt_names[doubt] : "unknown";
}

static Doubt look(const Trust *trust, const TrustFigures *figures, uint64_t now_usec) {
        uint64_t elapsed_usec = u64_add(u64_sub(now_usec, trust->taken_usec), PRESSURE_SLACK_USEC);

        if (figures->size_max_bytes > 0 && figures->usable_bytes > figures->size_max_bytes)
                return DOUBT_SIZE;
        if (!trust->known)
                return DOUBT_NONE;
        if (figures->psi_some_usec < trust->psi_some_usec || figures->psi_full_usec < trust->psi_full_usec ||
            figures->oom_kills < trust->oom_kills)
                return DOUBT_COUNTER;
        if (figures->psi_some_usec - trust->psi_some_usec > elapsed_usec)
                return DOUBT_PRESSURE;
        return DOUBT_NONE;
}

/* Returns whether the quarantine began or ended with it. */
static bool conclude(Trust *trust, Doubt doubt, uint64_t now_usec) {
        Doubt before = trust->doubt;

        if (doubt != DOUBT_NONE) {
                trust->doubted_usec = now_usec;
                if (trust->n_doubtful >= DOUBTS_IN_A_ROW)
                        trust->doubt = doubt;
        } else if (u64_sub(now_usec, trust->doubted_usec) >= QUARANTINE_USEC)
                trust->doubt = DOUBT_NONE;
        return (before == DOUBT_NONE) != (trust->doubt == DOUBT_NONE);
}

bool trust_take(Trust *trust, const TrustFigures *figures, uint64_t now_usec) {
        Doubt doubt = look(trust, figures, now_usec);

        trust->n_doubtful = doubt == DOUBT_NONE ? 0 : trust->n_doubtful + 1;
        trust->known = true;
        trust->psi_some_usec = figures->psi_some_usec;
        trust->psi_full_usec = figures->psi_full_usec;
        trust->oom_kills = figures->oom_kills;
        trust->taken_usec = now_usec;
        return conclude(trust, doubt, now_usec);
}

bool trust_take_malformed(Trust *trust, uint64_t n_malformed, uint64_t now_usec) {
        uint64_t more = u64_sub(n_malformed, trust->n_malformed);

        trust->n_malformed = n_malformed;
        if (more == 0)
                return false;
        trust->n_doubtful += (unsigned) u64_min(more, DOUBTS_IN_A_ROW);
        return conclude(trust, DOUBT_FRAMES, now_usec);
}
