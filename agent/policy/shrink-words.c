/* SPDX-License-Identifier: Apache-2.0 */

/* What people read of a shrink in logs and recordings. */

#include "agent/policy/shrink.h"

const char *shrink_evidence_to_string(ShrinkEvidence evidence) {
        static const char *const names[SHRINK_EVIDENCE_MAX] = {
                [SHRINK_EVIDENCE_NONE] = "none",       [SHRINK_EVIDENCE_STALL] = "stall",
                [SHRINK_EVIDENCE_RECLAIM] = "reclaim", [SHRINK_EVIDENCE_GROWTH] = "growth",
                [SHRINK_EVIDENCE_BURST] = "burst",
        };

        return (unsigned) evidence < SHRINK_EVIDENCE_MAX ? names[evidence] : "none";
}

const char *shrink_verdict_to_string(ShrinkVerdict verdict) {
        static const char *const names[SHRINK_VERDICT_MAX] = {
                [SHRINK_IDLE] = "idle",           [SHRINK_WAITING] = "waiting", [SHRINK_RECLAIM] = "reclaim",
                [SHRINK_OFFERED] = "offered",     [SHRINK_REFUSED] = "refused", [SHRINK_MOVED] = "moved",
                [SHRINK_CONFIRMED] = "confirmed", [SHRINK_VETO] = "veto",       [SHRINK_LAPSED] = "lapsed",
        };

        return (unsigned) verdict < SHRINK_VERDICT_MAX ? names[verdict] : "idle";
}
