/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The owner's own: agent.c makes and unmakes it, agent-sample.c looks, agent-command.c obeys. */

#include "agent/agent.h"
#include "agent/blocks/service.h"
#include "agent/grow-watch.h"
#include "agent/host/channel.h"
#include "agent/identity.h"
#include "agent/policy/demand.h"
#include "agent/report.h"
#include "agent/shrinker.h"
#include "agent/signals/psi.h"
#include "agent/signals/sampler.h"
#include "common/log.h"

struct Agent {
        const RootDir *root;
        const AgentConfig *config;
        const AgentOptions *options;

        sd_event *event;
        sd_event_source *sample_timer;
        Sampler *sampler;
        PsiTrigger *psi_trigger; /* NULL: none */
        BlockService *blocks;    /* NULL: no memory hotplug */
        Shrinker *shrinker;
        Channel *channel;

        Identity identity;
        DemandConfig demand_config;
        DemandState demand_state;
        Snapshot snapshot; /* the last one */
        Demand demand;     /* made of it */
        GrowWatch grow;
        LogLimit log_limit; /* of what the host can make it say */

        bool psi_triggered;
        uint64_t everything_usec; /* when every file was last read */
        uint64_t report_interval_usec;
        uint64_t reported_usec,
                report_promised_usec; /* the last report, and when it said that the next would come */
};

/* Looks now, and does all that follows from it: watches, alarms, reports, the next look. */
void agent_sample(Agent *agent);

/* Has agent_sample() called soon, once for however many reasons. */
void agent_wake(Agent *agent);

/* Says how things are, whatever was said before. */
void agent_report_now(Agent *agent);

/* A handler of the sample timer. */
int agent_on_sample_timer(sd_event_source *source, uint64_t usec, void *userdata);

extern const SessionHandlers agent_session_handlers;
extern const ShrinkerHandlers agent_shrinker_handlers;
