/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a recording is to have, as a row: called where a pure core has just answered, and before anything follows from that,
 * so that rows are in the order in which the cores were asked.
 */

#include "agent/agent-internal.h"

void agent_trace(TraceWhat what, const ShrinkAsk *ask, const ShrinkPlan *plan, void *userdata) {
        const Agent *agent = userdata;
        TraceRow row;

        if (!agent->recorder)
                return;
        row = (TraceRow){.what = what};
        if (what == TRACE_SAMPLE) {
                row.config = agent->demand_config;
                row.snapshot = agent->snapshot;
                row.demand = agent->demand;
        }
        if (what == TRACE_CONFIGURE) {
                row.shrink_config = agent_shrink_config(agent);
                row.can_reclaim = shrinker_can_reclaim(agent->shrinker);
        }
        if (what == TRACE_GROW_NOTICE)
                row.plug_budget_bytes = demand_plug_budget_bytes(&agent->snapshot);
        if (ask)
                row.ask = *ask;
        if (plan)
                row.plan = *plan;
        recorder_take(agent->recorder, &row);
}
