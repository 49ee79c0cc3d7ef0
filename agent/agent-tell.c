/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the guest's own people are told: each thing that happens goes into the history, and where an application
 * could use it, to the bus as a signal. Nothing is allocated here: it runs with the sample.
 *
 * A shrink is announced once for all of its steps, and only when the guest agreed to one: a refused request takes
 * nothing. A growth is told when its wave is over, with all that came.
 */

#include "agent/agent-internal.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "agent/messages.h"
#include "common/bus-agent.h"
#include "common/log.h"
#include "common/units.h"

static uint64_t realtime_usec(const Agent *agent) {
        uint64_t usec = 0;

        (void) sd_event_now(agent->event, CLOCK_REALTIME, &usec);
        return usec;
}

void agent_tell(Agent *agent, HistoryKind kind, uint64_t bytes, uint64_t id, const char *reason) {
        HistoryEntry entry = {
                .realtime_usec = realtime_usec(agent),
                .kind = kind,
                .bytes = bytes,
                .id = id,
                .reason = reason,
        };

        history_put(&agent->history, &entry);
}

void agent_tell_urgency(Agent *agent) {
        Urgency urgency = agent->demand.urgency;
        uint64_t need = agent->demand.need_bytes > 0 ? (uint64_t) agent->demand.need_bytes : 0;

        if (agent->demand.rose)
                agent_tell(agent, HISTORY_ALARM, need, 0, cause_to_string(agent->demand.cause));
        if (urgency > agent->told_urgency && agent->bus)
                bus_low_memory(agent->bus, urgency, need);
        agent->told_urgency = urgency;
}

void agent_tell_grow_notice(Agent *agent, const MessageGrowNotice *notice) {
        const char *why = cause_to_string(agent->demand.cause);
        uint64_t balloon = agent->snapshot.balloon_bytes;

        agent_tell_grown(agent); /* this wave ends the one before */
        agent->grown_told = false;
        agent->ask = (StatusAsk){
                .by = STATUS_ASKER_GUEST,
                .why = why,
                .id = notice->id,
                .bytes = notice->bytes,
                .realtime_usec = realtime_usec(agent),
                .balloon_target_bytes = notice->balloon ? u64_sub(balloon, notice->bytes) : UINT64_MAX,
        };
        agent_tell(agent, HISTORY_GROW_NOTICE, notice->bytes, notice->id, why);
}

void agent_tell_grown(Agent *agent) {
        const GrowWatch *grow = &agent->grow;
        uint64_t bytes = u64_sub(grow->told_usable_bytes, grow->usable_bytes);

        if (!grow->moved || agent->grown_told)
                return;
        agent->grown_told = true;
        agent_tell(agent, HISTORY_GROWN, bytes, grow->id, "");
        if (log_limit_allows(&agent->log_limit, agent->snapshot.now_usec, NULL))
                log_event(LOG_INFO, MESSAGE_ID_GROWN,
                          LOG_FIELDS({"GROW_ID", .number = (int64_t) grow->id},
                                     {"BYTES", .number = (int64_t) bytes},
                                     {"PROMISED_BYTES", .number = (int64_t) grow->bytes},
                                     {"TOTAL_BYTES", .number = (int64_t) agent->snapshot.total_bytes}),
                          "Grown by %" PRIu64 " of %" PRIu64 " MiB", bytes / MIB, grow->bytes / MIB);
        if (agent->bus)
                bus_grown(agent->bus, bytes, grow->id);
}

void agent_tell_shrink(Agent *agent, const MessageShrinkRequest *request) {
        uint64_t bytes = u64_max(request->bytes, request->remaining_bytes);

        if (!shrinker_in_flight(agent->shrinker))
                return; /* refused: agent_tell_said() knows why */
        if (agent->ask.by == STATUS_ASKER_HOST && agent->ask.id == request->id) {
                if (request->balloon)
                        agent->ask.balloon_target_bytes =
                                u64_add(agent->snapshot.balloon_bytes, request->bytes);
                return;
        }
        agent->ask = (StatusAsk){
                .by = STATUS_ASKER_HOST,
                .why = "host",
                .id = request->id,
                .bytes = bytes,
                .realtime_usec = realtime_usec(agent),
                .balloon_target_bytes = request->balloon
                                                ? u64_add(agent->snapshot.balloon_bytes, request->bytes)
                                                : UINT64_MAX,
        };
        agent_tell(agent, HISTORY_SHRINK_PREPARE, bytes, request->id, "");
        if (log_limit_allows(&agent->log_limit, agent->snapshot.now_usec, NULL))
                log_event(LOG_INFO, MESSAGE_ID_SHRINK_BEGUN,
                          LOG_FIELDS({"SHRINK_ID", .number = (int64_t) request->id},
                                     {"WANTED_BYTES", .number = (int64_t) bytes}),
                          "Shrink %" PRIu64 ": the host takes %" PRIu64 " MiB", request->id, bytes / MIB);
        if (agent->bus)
                bus_shrink_prepare(agent->bus, bytes, request->id);
}

static void tell_shrunk(Agent *agent, uint64_t id, uint64_t bytes) {
        agent_tell(agent, HISTORY_SHRUNK, bytes, id, "");
        log_event(LOG_DEBUG, MESSAGE_ID_SHRUNK,
                  LOG_FIELDS({"SHRINK_ID", .number = (int64_t) id}, {"BYTES", .number = (int64_t) bytes},
                             {"TOTAL_BYTES", .number = (int64_t) agent->snapshot.total_bytes}),
                  "Shrink %" PRIu64 ": %" PRIu64 " MiB have gone", id, bytes / MIB);
}

void agent_tell_block_failed(Agent *agent, const BlockFate *fate) {
        agent_tell(agent, HISTORY_BLOCK_FAILED, fate->bytes, fate->block, "");
        if (!log_limit_allows(&agent->log_limit, agent->snapshot.now_usec, NULL))
                return;
        log_event_errno(LOG_WARNING, fate->error, MESSAGE_ID_BLOCK_FAILED,
                        LOG_FIELDS({"BLOCK", .number = (int64_t) fate->block},
                                   {"KIND", block_kind_to_string(fate->kind)},
                                   {"BYTES", .number = (int64_t) fate->bytes}),
                        "Memory block %" PRIu64 " of %" PRIu64 " MiB could not be put online: %m",
                        fate->block, fate->bytes / MIB);
}

void agent_tell_said(Agent *agent, const Message *message) {
        if (message->type == MESSAGE_SHRINK_OFFER && message->shrink_offer.offered_bytes == 0)
                agent_tell(agent, HISTORY_SHRINK_REFUSED, 0, message->shrink_offer.id,
                           refusal_reason_to_string(message->shrink_offer.reason));
        if (message->type == MESSAGE_RESIZE_CONFIRM && message->resize_confirm.delta_bytes < 0)
                tell_shrunk(agent, message->resize_confirm.id,
                            UINT64_C(0) - (uint64_t) message->resize_confirm.delta_bytes);
}

void agent_tell_session(Agent *agent, const MessageWelcome *welcome) {
        if (!welcome) {
                agent_tell_grown(agent);
                agent->bridge_version[0] = '\0';
                agent_tell(agent, HISTORY_SESSION_CLOSED, 0, 0, "");
                return;
        }
        memcpy(agent->bridge_version, welcome->bridge_version, sizeof(agent->bridge_version));
        agent_tell(agent, HISTORY_SESSION_OPENED, 0, welcome->session, "");
}

static void agent_fill_status(Status *ret, void *userdata) {
        const Agent *agent = userdata;
        MessageHello hello = {};

        agent_session_handlers.fill_hello(&hello, userdata);
        *ret = (Status){
                .session = channel_is_open(agent->channel)                     ? STATUS_SESSION_OPEN
                           : channel_port_state(agent->channel) == PORT_ABSENT ? STATUS_SESSION_NO_PORT
                                                                               : STATUS_SESSION_WAITING,
                .capabilities = hello.capabilities,
                .n_missing = hello.n_missing,
                .report = agent_report(agent),
                .block_size_bytes = hello.block_size_bytes,
                .balloon_in_total = agent->snapshot.balloon_in_total,
                .delay_usec = agent->demand_config.actuator_delay_usec,
                .ask = agent->ask,
        };
        memcpy(ret->missing, hello.missing, sizeof(ret->missing));
        memcpy(ret->n_refused, channel_counters(agent->channel)->n_refused, sizeof(ret->n_refused));
        memcpy(ret->kernel_release, hello.kernel_release, sizeof(ret->kernel_release));
        memcpy(ret->bridge_version, agent->bridge_version, sizeof(ret->bridge_version));
}

int agent_new_bus(Agent *agent) {
        int r, socket_error;

        agent->ask.balloon_target_bytes = UINT64_MAX;
        agent->bus_source = (BusSource){.status = agent_fill_status, .history = &agent->history};
        r = bus_new(agent->event, agent->root, &agent->bus_source, agent, &agent->bus, &socket_error);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                log_warning_errno(r, "Working without the bus: %m");
        else if (socket_error < 0)
                log_warning_errno(socket_error, "Working without %s: %m", AGENT_BUS_SOCKET);
        return 0;
}
