/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the guest's own people read in the journal when memory is asked for: by whom it was taken. It is written after the
 * alarm has gone out, a few lines at most and once in 10 s, since the log may wait where the alarm must not.
 */

#include "agent/agent-internal.h"

#include <inttypes.h>

#include "agent/messages.h"
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
        log_event(LOG_INFO, MESSAGE_ID_CONTAINED_OOM, LOG_FIELDS({"OOM_KILLS", .number = (int64_t) kills}),
                  "The OOM killer ran in a cgroup at its own limit, %" PRIu64
                  " times so far: no reason to ask for memory",
                  kills);
        agent->noticed_oom_kills = kills;
}

static void notice_ask(const Agent *agent) {
        const char *cause = cause_to_string(agent->demand.cause),
                   *urgency = urgency_to_string(agent->demand.urgency);

        log_event(LOG_INFO, MESSAGE_ID_ASKING,
                  LOG_FIELDS({"CAUSE", cause}, {"URGENCY", urgency},
                             {"NEED_BYTES", .number = agent->demand.need_bytes},
                             {"AVAILABLE_BYTES", .number = (int64_t) agent->snapshot.available_bytes},
                             {"TOTAL_BYTES", .number = (int64_t) agent->snapshot.total_bytes}),
                  "Asking for %" PRIi64 " MiB: %s, %s", agent->demand.need_bytes / (int64_t) MIB, cause,
                  urgency);
}

static void notice_heavy(const HeavyCgroup *heavy, uint64_t span_usec) {
        log_event(LOG_INFO, MESSAGE_ID_HEAVY,
                  LOG_FIELDS({"CGROUP", heavy->name},
                             {"CURRENT_BYTES", .number = (int64_t) heavy->current_bytes},
                             {"GAINED_BYTES", .number = heavy->gained_bytes},
                             {"STALLED_USEC", .number = (int64_t) heavy->stalled_usec},
                             {"SPAN_USEC", .number = (int64_t) span_usec}),
                  "%s has %" PRIu64 " MiB, %+" PRIi64 " MiB and %" PRIu64 " ms of stalls in %" PRIu64 " s",
                  heavy->name, heavy->current_bytes / MIB, heavy->gained_bytes / (int64_t) MIB,
                  heavy->stalled_usec / USEC_PER_MSEC, span_usec / USEC_PER_SEC);
}

void agent_notice_ask(Agent *agent) {
        HeavyCgroup heavy[HEAVIEST_MAX];
        uint64_t now_usec = agent->snapshot.now_usec, span_usec;

        if (agent->noticed_usec > 0 && now_usec - agent->noticed_usec < NOTICE_INTERVAL_USEC)
                return;
        agent->noticed_usec = now_usec;
        notice_ask(agent);
        if (!agent->heaviest)
                return;

        size_t n = heaviest_look(agent->heaviest, now_usec, heavy, &span_usec);
        for (size_t i = 0; i < n; i++)
                notice_heavy(&heavy[i], span_usec);
}
