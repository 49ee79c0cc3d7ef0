/* SPDX-License-Identifier: Apache-2.0 */

/* What the host says, once the session has found it valid: each command to the module that it is for. */

#include "agent/agent-internal.h"

#include <assert.h>
#include <inttypes.h>
#include <systemd/sd-daemon.h>

#include "agent/messages.h"
#include "common/log.h"
#include "common/units.h"

void agent_answer(Agent *agent, const MessageCommandResult *result) {
        Message message = {
                .type = MESSAGE_COMMAND_RESULT,
                .monotonic_usec = agent->snapshot.now_usec,
                .command_result = *result,
        };

        (void) channel_send(agent->channel, &message);
}

static void agent_answer_done(Agent *agent, uint64_t id) {
        agent_answer(agent, &(MessageCommandResult){.id = id, .outcome = COMMAND_DONE});
}

static void agent_tune(Agent *agent, const MessageTuning *tuning) {
        if (tuning->report_interval_usec > 0) {
                agent->welcome_interval_usec = tuning->report_interval_usec;
                agent->report_interval_usec =
                        u64_min(tuning->report_interval_usec, agent->config.report_interval_usec);
        }
        if (tuning->actuator_delay_usec > 0)
                agent->demand_config.actuator_delay_usec = tuning->actuator_delay_usec;
        agent_answer_done(agent, tuning->id);
}

/* Can the guest take it? Memory comes with a memmap of its own, and where that does not fit the remedy kills. */
static void agent_answer_notice(Agent *agent, const MessageGrowNotice *notice) {
        uint64_t budget = demand_plug_budget_bytes(&agent->snapshot);
        RefusalReason reason = demand_check_growth(&agent->snapshot, notice->bytes, notice->balloon);

        agent_trace(TRACE_GROW_NOTICE,
                    &(ShrinkAsk){.id = notice->id,
                                 .bytes = notice->bytes,
                                 .deadline_usec = notice->deadline_usec,
                                 .balloon = notice->balloon},
                    &(ShrinkPlan){.reason = reason}, agent);
        agent_answer(agent, &(MessageCommandResult){
                                    .id = notice->id,
                                    .outcome = reason == REFUSAL_NONE ? COMMAND_DONE : COMMAND_REFUSED,
                                    .reason = reason,
                                    .bytes = budget,
                            });
}

static void agent_on_command(const Message *command, void *userdata) {
        Agent *agent = userdata;
        uint64_t now_usec = 0;

        switch (command->type) {
        case MESSAGE_GROW_NOTICE:
                (void) sd_event_now(agent->event, CLOCK_MONOTONIC, &now_usec);
                agent_tell_grow_notice(agent, &command->grow_notice);
                grow_watch_open(&agent->grow, &command->grow_notice, &agent->snapshot, now_usec,
                                agent->asked_usec);
                agent_sample(agent);
                agent_answer_notice(agent, &command->grow_notice);
                return;

        case MESSAGE_SHRINK_REQUEST:
                agent->walk_due = true;
                agent_sample(agent);
                if (!channel_is_open(agent->channel)) /* lost over what the sample had to say */
                        return;
                shrinker_request(agent->shrinker, &command->shrink_request, &agent->snapshot, &agent->demand);
                agent_tell_shrink(agent, &command->shrink_request);
                agent_wake(agent); /* at the pace of a shrink from now on */
                return;

        case MESSAGE_OFFLINE_RANGE:
        case MESSAGE_ONLINE_RANGE:
                agent_range(agent, &command->range, command->type == MESSAGE_ONLINE_RANGE);
                return;

        case MESSAGE_TUNING:
                agent_tune(agent, &command->tuning);
                return;

        case MESSAGE_PING:
                agent_answer_done(agent, command->ping.id);
                return;

        case MESSAGE_HELLO:
        case MESSAGE_REPORT:
        case MESSAGE_ALARM:
        case MESSAGE_SHRINK_OFFER:
        case MESSAGE_RESIZE_CONFIRM:
        case MESSAGE_BLOCK_EVENT:
        case MESSAGE_COMMAND_RESULT:
        case MESSAGE_WELCOME:
        case MESSAGE_TYPE_MAX:
                break; /* the session passes no such thing */
        }
        assert(false);
}

/* The facilities that their modules know to be missing, with those that the agent itself has found so. */
static Identity agent_identity(const Agent *agent) {
        Identity identity = agent->identity;
        const MissingFacility *missing;
        size_t n;

        n = sampler_missing(agent->sampler, &missing);
        for (size_t i = 0; i < n; i++)
                (void) identity_miss(&identity, missing[i].facility, missing[i].error);
        if (agent->blocks && block_service_uevents_error(agent->blocks) > 0)
                (void) identity_miss(&identity, FACILITY_UEVENTS, block_service_uevents_error(agent->blocks));
        return identity;
}

static uint64_t agent_capabilities(const Agent *agent, const Identity *identity) {
        uint64_t capabilities = sampler_capabilities(agent->sampler);

        if (agent->psi_trigger)
                capabilities |= CAPABILITY_PSI_TRIGGERS;
        if (agent->blocks)
                capabilities |= CAPABILITY_BLOCKS;
        if (agent->blocks && block_service_kernel_onlines(agent->blocks))
                capabilities |= CAPABILITY_KERNEL_ONLINES;
        if (!identity_misses(identity, FACILITY_RECLAIM))
                capabilities |= CAPABILITY_RECLAIM;
        return capabilities;
}

static void agent_fill_hello(MessageHello *ret, void *userdata) {
        const Agent *agent = userdata;
        Identity identity = agent_identity(agent);

        report_hello(&identity, &agent->snapshot, agent_capabilities(agent, &identity),
                     agent->blocks ? block_service_block_size_bytes(agent->blocks) : 0, ret);
}

static void agent_on_opened(const MessageWelcome *welcome, void *userdata) {
        Agent *agent = userdata;

        agent->welcome_interval_usec = welcome->report_interval_usec;
        agent->report_interval_usec =
                u64_min(welcome->report_interval_usec, agent->config.report_interval_usec);
        if (log_limit_allows(&agent->log_limit, agent->snapshot.now_usec, NULL))
                log_event(LOG_INFO, MESSAGE_ID_SESSION_OPEN,
                          LOG_FIELDS({"SESSION", .number = welcome->session},
                                     {"BRIDGE_VERSION", welcome->bridge_version}),
                          "Session %" PRIu32 " with memtide-bridge %s", welcome->session,
                          welcome->bridge_version);
        (void) sd_notify(false, "STATUS=Reporting to the host");

        agent_tell_session(agent, welcome);
        agent->report_promised_usec = 0; /* the first report at once */
        agent_wake(agent);
}

static void agent_on_closed(void *userdata) {
        Agent *agent = userdata;

        shrinker_reset(agent->shrinker);
        agent_stop_range(agent, true);
        agent_tell_session(agent, NULL);
        agent->grow = (GrowWatch){};
        agent->welcome_interval_usec = 0;
        agent->report_interval_usec = agent->config.report_interval_usec;
        if (log_limit_allows(&agent->log_limit, agent->snapshot.now_usec, NULL))
                log_event(LOG_INFO, MESSAGE_ID_SESSION_OVER, NULL, 0, "The session is over");
        (void) sd_notify(false, "STATUS=Waiting for the host");
}

const SessionHandlers agent_session_handlers = {
        .fill_hello = agent_fill_hello,
        .opened = agent_on_opened,
        .closed = agent_on_closed,
        .command = agent_on_command,
};
