/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the guest's own people read in the journal when memory is asked for: by whom it was taken. It is written after the
 * alarm has gone out, a few lines at most and once in 10 s, since the log may wait where the alarm must not.
 */

#include "agent/agent-internal.h"

#include <inttypes.h>

#include "common/log.h"
#include "common/units.h"

#define NOTICE_INTERVAL_USEC (10 * USEC_PER_SEC)

void agent_notice_open(Agent *agent) {
        int r = heaviest_new(agent->root, &agent->heaviest);

        if (r < 0) /* the sampler has named what is missing */
                log_debug_errno(r, "Cannot tell which cgroup takes memory: %m");
}

/* In quiet times only: what is new has to be opened. */
void agent_notice_mark(Agent *agent) {
        uint64_t now_usec = agent->snapshot.now_usec;

        if (!agent->heaviest || agent->demand.tier != SAMPLE_CALM || agent->demand.urgency != URGENCY_NONE ||
            (agent->marked_usec > 0 && now_usec - agent->marked_usec < NOTICE_INTERVAL_USEC))
                return;
        agent->marked_usec = now_usec;
        heaviest_mark(agent->heaviest, now_usec);
}

void agent_notice_oom(Agent *agent) {
        uint64_t kills = agent->demand.contained_oom_kills;

        if (kills == agent->noticed_oom_kills)
                return;
        log_info("The OOM killer ran in a cgroup at its own limit, %" PRIu64
                 " times so far: no reason to ask for memory",
                 kills);
        agent->noticed_oom_kills = kills;
}

void agent_notice_ask(Agent *agent) {
        HeavyCgroup heavy[HEAVIEST_MAX];
        uint64_t now_usec = agent->snapshot.now_usec, span_usec;

        if (agent->noticed_usec > 0 && now_usec - agent->noticed_usec < NOTICE_INTERVAL_USEC)
                return;
        agent->noticed_usec = now_usec;
        log_info("Asking for %" PRIi64 " MiB: %s, %s", agent->demand.need_bytes / (int64_t) MIB,
                 cause_to_string(agent->demand.cause), urgency_to_string(agent->demand.urgency));
        if (!agent->heaviest)
                return;

        size_t n = heaviest_look(agent->heaviest, now_usec, heavy, &span_usec);
        for (size_t i = 0; i < n; i++)
                log_info("%s has %" PRIu64 " MiB, %+" PRIi64 " MiB and %" PRIu64 " ms of stalls in %" PRIu64
                         " s",
                         heavy[i].name, heavy[i].current_bytes / MIB, heavy[i].gained_bytes / (int64_t) MIB,
                         heavy[i].stalled_usec / USEC_PER_MSEC, span_usec / USEC_PER_SEC);
}
