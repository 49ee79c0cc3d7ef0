/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One look at the guest: read, update, ask the pure core, carry out. Nothing here allocates, waits or
 * logs on the ordinary way: it runs when there is no memory left.
 *
 * How often, and of which files, is the estimator's word (1 s, meminfo and PSI when calm; 50 ms and vmstat when hot), but
 * for what is in flight: 20 ms while a shrink may have to be stopped, 50 ms while memory is on its way. A report goes
 * with a look and is never later than the last one has promised, since the host takes silence for a sign.
 */

#include "agent/agent-internal.h"

#include <assert.h>
#include <inttypes.h>

#include "agent/messages.h"
#include "common/log.h"
#include "common/units.h"

#define SAMPLE_SHRINK_USEC (20 * USEC_PER_MSEC)
#define SAMPLE_GROW_USEC   (50 * USEC_PER_MSEC)
#define SAMPLE_LEAST_USEC  (10 * USEC_PER_MSEC)
#define EVERYTHING_USEC    (10 * USEC_PER_SEC) /* whatever the tier: for what is shown, not for the estimator */
#define IN_FLIGHT_USEC     USEC_PER_SEC        /* and while memory moves */

#define REPORT_FLIGHT_USEC (50 * USEC_PER_MSEC)
#define REPORT_URGENT_USEC (100 * USEC_PER_MSEC)

/* Memory is on its way out. */
static bool agent_in_flight(const Agent *agent) {
        return shrinker_in_flight(agent->shrinker) ||
               (agent->blocks && block_service_is_ranging(agent->blocks));
}

static uint64_t agent_report_interval_usec(const Agent *agent) {
        if (agent_in_flight(agent))
                return REPORT_FLIGHT_USEC;
        if (agent->demand.urgency >= URGENCY_HIGH || agent->grow.open)
                return REPORT_URGENT_USEC;
        return agent->report_interval_usec;
}

static uint64_t agent_sample_interval_usec(const Agent *agent) {
        uint64_t usec = agent->demand.next_sample_usec;

        if (agent_in_flight(agent))
                usec = u64_min(usec, SAMPLE_SHRINK_USEC);
        if (agent->grow.open)
                usec = u64_min(usec, SAMPLE_GROW_USEC);
        return u64_clamp(usec, SAMPLE_LEAST_USEC, USEC_PER_SEC);
}

static uint64_t agent_everything_usec(const Agent *agent) {
        return shrinker_in_flight(agent->shrinker) || agent->grow.open ? IN_FLIGHT_USEC : EVERYTHING_USEC;
}

static void agent_look(Agent *agent) {
        unsigned what = SNAPSHOT_HAS_MEMINFO | SNAPSHOT_HAS_PSI;
        uint64_t now_usec = 0, total_bytes = agent->snapshot.total_bytes;

        (void) sd_event_now(agent->event, CLOCK_MONOTONIC, &now_usec);
        if (agent->psi_triggered || agent->demand.tier != SAMPLE_CALM || agent_in_flight(agent))
                what |= SNAPSHOT_HAS_VMSTAT;
        if (agent->walk_due || agent_in_flight(agent))
                what |= SNAPSHOT_HAS_HELD;
        if (agent->demand.walk_cgroups || agent->walk_due || shrinker_decides(agent->shrinker, now_usec))
                what |= SNAPSHOT_HAS_VMSTAT | SNAPSHOT_HAS_CGROUPS;
        if (agent->zones_usec == 0 || now_usec - agent->zones_usec >= agent->demand.zones_interval_usec)
                what |= SNAPSHOT_HAS_ZONES;
        if (agent->everything_usec == 0 ||
            now_usec - agent->everything_usec >= agent_everything_usec(agent)) {
                what |= SNAPSHOT_HAS_VMSTAT | SNAPSHOT_HAS_ZONES;
                agent->everything_usec = now_usec;
        }
        if (what & SNAPSHOT_HAS_ZONES)
                agent->zones_usec = now_usec;

        agent->walk_due = false;

        sampler_read(agent->sampler, what, &agent->snapshot);
        agent->snapshot.offlining_bytes = agent->blocks ? block_service_offlining_bytes(agent->blocks) : 0;
        agent->snapshot.psi_triggered = agent->psi_triggered;
        agent->psi_triggered = false;
        agent->demand = demand_step(&agent->demand_config, &agent->demand_state, &agent->snapshot);
        if (agent->snapshot.total_bytes != total_bytes) /* a zone may have come, or the balloon have moved */
                agent->everything_usec = 0;
        if (agent->blocks)
                block_service_want_kernel_zone(agent->blocks, agent->demand.fired & 1U << CAUSE_KERNEL_ZONE);
}

static ReportInput agent_report_input(const Agent *agent) {
        ReportInput input = {
                .snapshot = &agent->snapshot,
                .demand = &agent->demand,
                .plug_budget_bytes = demand_plug_budget_bytes(&agent->snapshot),
                .interval_usec = agent_report_interval_usec(agent),
                .frames_dropped = channel_frames_dropped(agent->channel),
                .frames_void = channel_frames_void(agent->channel),
        };

        if (agent->blocks)
                block_service_counts(agent->blocks, &input.blocks_online, &input.blocks_offline);
        return input;
}

MessageReport agent_report(const Agent *agent) {
        ReportInput input = agent_report_input(agent);

        return report_make(&input).report;
}

void agent_report_now(Agent *agent) {
        ReportInput input = agent_report_input(agent);
        Message message = report_make(&input);

        agent->reported_usec = agent->snapshot.now_usec;
        agent->report_promised_usec = u64_add(agent->reported_usec, message.report.interval_usec);
        (void) channel_send(agent->channel, &message);
}

static void agent_alarm(Agent *agent, uint64_t veto_id) {
        ReportInput input = agent_report_input(agent);
        Message message = report_alarm(&input, veto_id);

        (void) channel_send(agent->channel, &message);
}

/* Learns from each growth how long it takes from the alarm to usable memory: a quarter of what is new. */
static void agent_learn_delay(Agent *agent, uint64_t latency_usec) {
        uint64_t old = agent->demand_config.actuator_delay_usec;

        agent->demand_config.actuator_delay_usec =
                u64_clamp((3 * old + u64_min(latency_usec, 10 * USEC_PER_SEC)) / 4, USEC_PER_MSEC,
                          10 * USEC_PER_SEC);
        log_debug("Growth took %" PRIu64 " us, planning with %" PRIu64 " us", latency_usec,
                  agent->demand_config.actuator_delay_usec);
}

static void agent_say(Message *message, void *userdata) {
        Agent *agent = userdata;

        if (message->type == MESSAGE_RESIZE_CONFIRM && agent->blocks)
                block_service_counts(agent->blocks, &message->resize_confirm.blocks_online,
                                     &message->resize_confirm.blocks_offline);
        agent_tell_said(agent, message);
        (void) channel_send(agent->channel, message);
}

static void agent_watch_growth(Agent *agent) {
        uint64_t id = agent->grow.id;
        GrowStep step = grow_watch_step(&agent->grow, &agent->snapshot);
        Message message;

        if (!step.confirm)
                return;
        if (step.first)
                agent_learn_delay(agent, step.delay_usec);

        message = (Message){
                .type = MESSAGE_RESIZE_CONFIRM,
                .monotonic_usec = agent->snapshot.now_usec,
                .resize_confirm =
                        {
                                .id = id,
                                .delta_bytes = step.delta_bytes,
                                .usable_bytes = snapshot_usable_bytes(&agent->snapshot),
                                .latency_usec = step.latency_usec,
                                .stall_usec = step.stall_usec,
                        },
        };
        agent_say(&message, agent);
        if (step.whole || !agent->grow.open)
                agent_tell_grown(agent);
}

static void agent_on_veto(uint64_t id, const ShrinkPlan *plan, void *userdata) {
        Agent *agent = userdata;

        log_event(LOG_NOTICE, MESSAGE_ID_SHRINK_VETOED,
                  LOG_FIELDS({"SHRINK_ID", .number = (int64_t) id},
                             {"EVIDENCE", shrink_evidence_to_string(plan->evidence)},
                             {"AMOUNT", .number = (int64_t) plan->evidence_amount},
                             {"LATENCY_USEC", .number = (int64_t) plan->latency_usec}),
                  "Shrink %" PRIu64 " vetoed: %s of %" PRIu64 " in %" PRIu64 " ms", id,
                  shrink_evidence_to_string(plan->evidence), plan->evidence_amount,
                  plan->latency_usec / USEC_PER_MSEC);
        agent_stop_range(agent, false);
        agent_alarm(agent, id);
        agent_tell(agent, HISTORY_VETO, 0, id, "");
}

/* Cache that came back is hot, what stayed away is not. */
static void agent_on_probed(const ShrinkPlan *plan, void *userdata) {
        Agent *agent = userdata;

        agent_trace(TRACE_LEARN, NULL, plan, agent);
        demand_learn_probe(&agent->demand_state, plan->freed_bytes, plan->back_bytes);
        if (plan->back_bytes > 0 && log_limit_allows(&agent->log_limit, agent->snapshot.now_usec, NULL))
                log_event(LOG_INFO, MESSAGE_ID_NEEDED_BACK,
                          LOG_FIELDS({"FREED_BYTES", .number = (int64_t) plan->freed_bytes},
                                     {"BACK_BYTES", .number = (int64_t) plan->back_bytes},
                                     {"HOLD_USEC", .number = (int64_t) plan->hold_usec}),
                          "Of %" PRIu64 " MiB reclaimed for the host, %" PRIu64
                          " MiB were needed: no more for %" PRIu64 " s",
                          plan->freed_bytes / MIB, plan->back_bytes / MIB, plan->hold_usec / USEC_PER_SEC);
}

static void agent_on_reclaimed(void *userdata) {
        Agent *agent = userdata;

        agent->walk_due = true;
        agent_sample(agent);
        shrinker_reclaimed(agent->shrinker, &agent->snapshot, &agent->demand);
}

const ShrinkerHandlers agent_shrinker_handlers = {
        .trace = agent_trace,
        .say = agent_say,
        .veto = agent_on_veto,
        .probed = agent_on_probed,
        .reclaimed = agent_on_reclaimed,
};

static void agent_arm(Agent *agent, uint64_t usec) {
        int r;

        r = sd_event_source_set_time(agent->sample_timer, usec);
        if (r >= 0)
                r = sd_event_source_set_enabled(agent->sample_timer, SD_EVENT_ONESHOT);
        if (r < 0)
                log_error_errno(r, "Failed to arm the sample timer: %m");
}

/*
 * Not at once after the last look: a wave of blocks has two reasons per block, and on the only CPU of a guest a look
 * for each took 0.5 of the 3.4 ms per block (6.1 under TCG). What is armed is never earlier than this.
 */
void agent_wake(Agent *agent) {
        agent_arm(agent, u64_add(agent->snapshot.now_usec, SAMPLE_LEAST_USEC));
}

void agent_sample(Agent *agent) {
        uint64_t now_usec, due_usec;

        assert(agent);

        agent_look(agent);
        now_usec = agent->snapshot.now_usec;

        shrinker_sample(agent->shrinker, &agent->snapshot, &agent->demand);
        agent_watch_growth(agent);

        if (agent->demand.urgency < URGENCY_HIGH || agent->grow.moved)
                agent->asked_usec = 0;
        if (agent->demand.rose) {
                if (agent->demand.urgency >= URGENCY_HIGH && agent->asked_usec == 0)
                        agent->asked_usec = now_usec;
                agent_stop_range(agent, false);
                agent_alarm(agent, 0);
                agent_report_now(agent);
                agent_notice_ask(agent);
        }
        agent_notice_oom(agent);
        agent_notice_mark(agent);

        agent_tell_urgency(agent);

        due_usec = u64_min(u64_add(agent->reported_usec, agent_report_interval_usec(agent)),
                           agent->report_promised_usec);
        if (now_usec >= due_usec)
                agent_report_now(agent);

        due_usec = u64_min(u64_add(agent->reported_usec, agent_report_interval_usec(agent)),
                           agent->report_promised_usec);
        agent_arm(agent, u64_min(u64_add(now_usec, agent_sample_interval_usec(agent)),
                                 u64_max(due_usec, now_usec + SAMPLE_LEAST_USEC)));
}

int agent_on_sample_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        agent_sample(userdata);
        return 0;
}
