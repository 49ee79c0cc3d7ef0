/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A range of memory that the host is about to remove: refused like a shrink if the guest cannot do without it, taken offline
 * beside the loop, answered when that is over. Whatever goes wrong on the way leaves the guest as it was.
 *
 * Taken memory belongs to whoever asked. If the session ends before the answer is out, nobody is left who would remove the
 * DIMM or give it back, so the agent brings it back itself.
 */

#include "agent/agent-internal.h"

#include <inttypes.h>

#include "agent/messages.h"
#include "common/log.h"
#include "common/units.h"

static void agent_refuse_range(Agent *agent, uint64_t id, RefusalReason reason) {
        if (log_limit_allows(&agent->log_limit, agent->snapshot.now_usec, NULL))
                log_event(LOG_INFO, MESSAGE_ID_RANGE_REFUSED,
                          LOG_FIELDS({"RANGE_ID", .number = (int64_t) id},
                                     {"REASON", refusal_reason_to_string(reason)}),
                          "Range %" PRIu64 " refused: %s", id, refusal_reason_to_string(reason));
        agent_answer(agent, &(MessageCommandResult){.id = id, .outcome = COMMAND_REFUSED, .reason = reason});
}

void agent_range(Agent *agent, const MessageRange *command, bool back) {
        BlockRangeCommand range = {
                .back = back,
                .id = command->id,
                .address = command->address,
                .bytes = command->bytes,
                .deadline_usec = command->deadline_usec,
        };
        RefusalReason reason = REFUSAL_UNSUPPORTED;
        uint64_t bytes = 0;
        ShrinkAsk ask;

        agent_sample(agent);
        if (!channel_is_open(agent->channel)) /* lost over what the sample had to say */
                return;
        if (agent->blocks)
                reason = block_service_check_range(agent->blocks, &range, &bytes);
        ask = (ShrinkAsk){.id = range.id, .bytes = bytes > 0 ? bytes : range.bytes};
        if (reason != REFUSAL_NONE)
                agent_trace(TRACE_BUSY, &ask, &(ShrinkPlan){.verdict = SHRINK_REFUSED, .reason = reason},
                            agent);
        else if (back || bytes == 0)
                agent_trace(TRACE_RANGE_BACK, &ask, NULL, agent);
        else
                reason = shrinker_check_range(agent->shrinker, range.id, bytes, &agent->snapshot,
                                              &agent->demand);
        if (reason != REFUSAL_NONE) {
                agent_refuse_range(agent, range.id, reason);
                return;
        }

        agent->range_orphaned = false;
        block_service_start_range(agent->blocks, &range);
        agent_wake(agent); /* at the pace of a shrink from now on */
}

void agent_stop_range(Agent *agent, bool orphaned) {
        if (!agent->blocks || !block_service_is_ranging(agent->blocks))
                return;
        agent->range_orphaned = agent->range_orphaned || orphaned;
        block_service_cancel_range(agent->blocks);
}

static void agent_bring_back(Agent *agent, const BlockRangeCommand *command) {
        BlockRangeCommand range = *command;
        uint64_t bytes;

        range.back = true;
        range.deadline_usec = USEC_INFINITY;
        if (block_service_check_range(agent->blocks, &range, &bytes) == REFUSAL_NONE && bytes > 0)
                block_service_start_range(agent->blocks, &range);
}

static void log_range(const BlockRangeResult *result) {
        const BlockRangeCommand *command = &result->command;
        const char *what = command->back ? "online" : "offline";
        const LogField id = {"RANGE_ID", .number = (int64_t) command->id}, wanted = {"WANTED", what},
                       bytes = {"BYTES", .number = (int64_t) result->bytes};

        if (result->error > 0)
                log_event_errno(LOG_NOTICE, -result->error, MESSAGE_ID_RANGE_FAILED,
                                LOG_FIELDS(id, wanted, bytes),
                                "Range %" PRIu64 " is not %s, and as it was but for %" PRIu64 " MiB: %m",
                                command->id, what, command->back ? 0 : result->bytes / MIB);
        else
                log_event(LOG_INFO, MESSAGE_ID_RANGE_DONE, LOG_FIELDS(id, wanted, bytes),
                          "Range %" PRIu64 " is %s: %" PRIu64 " MiB", command->id, what, result->bytes / MIB);
}

void agent_on_range(const BlockRangeResult *result, void *userdata) {
        Agent *agent = userdata;
        const BlockRangeCommand *command = &result->command;
        bool orphaned = agent->range_orphaned;

        log_range(result);
        agent_sample(agent); /* what was taken is confirmed before the command is */
        if (!command->back && result->error > 0) {
                /* Else the host would see a shrink in flight until the watch over it lapses, 6 s later. */
                shrinker_range_failed(agent->shrinker, command->id);
                agent_report_now(agent);
        }
        if (orphaned) {
                if (!command->back && result->error == 0)
                        agent_bring_back(agent, command);
                return;
        }
        agent_answer(agent, &(MessageCommandResult){
                                    .id = command->id,
                                    .outcome = result->error > 0 ? COMMAND_FAILED : COMMAND_DONE,
                                    .error = (unsigned) result->error,
                                    .bytes = result->bytes,
                            });
}
