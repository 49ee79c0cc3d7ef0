/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The owner's own: agent.c makes and unmakes it, agent-sample.c looks, agent-command.c and agent-range.c obey,
 * agent-tell.c tells applications and agent-notice.c people, agent-trace.c whoever replays it.
 */

#include "agent/agent.h"
#include "agent/blocks/service.h"
#include "agent/bus.h"
#include "agent/grow-watch.h"
#include "agent/history.h"
#include "agent/host/channel.h"
#include "agent/identity.h"
#include "agent/policy/demand.h"
#include "agent/recorder.h"
#include "agent/report.h"
#include "agent/shrinker.h"
#include "agent/signals/heaviest.h"
#include "agent/signals/psi.h"
#include "agent/signals/sampler.h"
#include "common/log.h"

struct Agent {
        const RootDir *root;
        AgentConfig config; /* in force */
        const AgentOptions *options;

        sd_event *event;
        sd_event_source *sample_timer;
        Sampler *sampler;
        PsiTrigger *psi_trigger; /* NULL: none */
        BlockService *blocks;    /* NULL: no memory hotplug */
        Shrinker *shrinker;
        Channel *channel;
        Bus *bus;           /* NULL: none */
        Recorder *recorder; /* NULL: nobody wants a recording */
        BusSource bus_source;

        Identity identity;
        DemandConfig demand_config;
        DemandState demand_state;
        Snapshot snapshot; /* the last one */
        Demand demand;     /* made of it */
        GrowWatch grow;
        LogLimit log_limit; /* of what the host can make it say */

        Heaviest *heaviest; /* NULL: no cgroup v2 */
        uint64_t marked_usec, noticed_usec, noticed_oom_kills;

        bool range_orphaned; /* the session that asked for the range under way is over */

        bool psi_triggered;
        bool walk_due;                        /* the next look is to know what containers do */
        uint64_t everything_usec, zones_usec; /* when every file, and zoneinfo, was last read */
        uint64_t report_interval_usec, welcome_interval_usec; /* in force; the host's, 0 = no session */
        uint64_t asked_usec; /* an alarm has been waiting for memory since; 0 = none */
        uint64_t reported_usec,
                report_promised_usec; /* the last report, and when it said that the next would come */

        /* for the guest's own people */
        History history;
        StatusAsk ask;        /* the last */
        Urgency told_urgency; /* of the last sample */
        bool grown_told;      /* of the wave in grow */
        char bridge_version[MESSAGE_STRING_MAX + 1];
};

/* Looks now, and does all that follows from it: watches, alarms, reports, the next look. */
void agent_sample(Agent *agent);

/* Has agent_sample() called soon, once for however many reasons. */
void agent_wake(Agent *agent);

/* The journal's lines about who takes memory: opened at start, marked in quiet times, written with an ask or an OOM kill. */
void agent_notice_open(Agent *agent);
void agent_notice_mark(Agent *agent);
void agent_notice_ask(Agent *agent);
void agent_notice_oom(Agent *agent);

/* For the recording: see trace.h, and ShrinkerHandlers. */
void agent_trace(TraceWhat what, const ShrinkAsk *ask, const ShrinkPlan *plan, void *userdata);

/* A command's answer. */
void agent_answer(Agent *agent, const MessageCommandResult *result);

/* OfflineRange and OnlineRange, from their checks to their end. */
void agent_range(Agent *agent, const MessageRange *command, bool back);
void agent_on_range(const BlockRangeResult *result, void *userdata);

/* Takes nothing more, and brings back what was taken: the guest needs it, or nobody is there who asked for it. */
void agent_stop_range(Agent *agent, bool orphaned);

/* Says how things are, whatever was said before. */
void agent_report_now(Agent *agent);

/* What a report would say now. */
MessageReport agent_report(const Agent *agent);

/* A handler of the sample timer. */
int agent_on_sample_timer(sd_event_source *source, uint64_t usec, void *userdata);

int agent_new_bus(Agent *agent);

/* Watches for SIGHUP, which the caller has blocked. */
int agent_new_reload(Agent *agent);
void agent_reload(Agent *agent);

/* The modules' part of the configuration in force. */
BlockServiceConfig agent_blocks_config(const Agent *agent);
ShrinkConfig agent_shrink_config(const Agent *agent);

/* Each notes what has happened, and tells those who listen. reason: a word that is never freed, or "". */
void agent_tell(Agent *agent, HistoryKind kind, uint64_t bytes, uint64_t id, const char *reason);
void agent_tell_urgency(Agent *agent);
void agent_tell_grow_notice(Agent *agent, const MessageGrowNotice *notice); /* before its watch is opened */
void agent_tell_grown(Agent *agent);
void agent_tell_shrink(Agent *agent, const MessageShrinkRequest *request); /* after it was looked at */
void agent_tell_block_failed(Agent *agent, const BlockFate *fate);
void agent_tell_said(Agent *agent, const Message *message);           /* to the host */
void agent_tell_session(Agent *agent, const MessageWelcome *welcome); /* NULL: it is over */

extern const SessionHandlers agent_session_handlers;
extern const ShrinkerHandlers agent_shrinker_handlers;
