/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The shell of memtide-agent in small: samples, alarms, reports, offers and confirmations at the times and with the
 * bases of agent/agent-sample.c, agent/grow-watch.c and agent/shrinker.c. A liar's agent is its own.
 */

#include "sim.h"

#define SAMPLE_SHRINK_USEC (20 * USEC_PER_MSEC)
#define SAMPLE_GROW_USEC   (50 * USEC_PER_MSEC)
#define REPORT_FLIGHT_USEC (50 * USEC_PER_MSEC)
#define REPORT_URGENT_USEC (100 * USEC_PER_MSEC)
#define REPORT_CALM_USEC   USEC_PER_SEC
#define OFFLINE_TICK       (4 * MIB) /* 0.8 GiB/s */

static bool speaks(const SimGuest *guest) {
        return guest->config.character != SIM_SILENT || guest->now_usec < guest->config.silent_from_usec;
}

static void say(SimGuest *guest, SimMessage message) {
        if (!speaks(guest) || guest->n_messages >= SIM_MESSAGES_MAX)
                return;
        message.demand = guest->demand;
        message.usable_bytes = sim_guest_usable_bytes(guest);
        message.available_bytes = sim_guest_available_bytes(guest);
        message.plug_budget_bytes = demand_plug_budget_bytes(&guest->snapshot);
        guest->messages[guest->n_messages++] = message;
}

static void look(SimGuest *guest) {
        uint64_t inflated = memory_model_balloon_bytes(&guest->model);
        uint64_t available = sim_guest_available_bytes(guest);

        guest->snapshot = (Snapshot){
                .now_usec = guest->now_usec,
                .has = SNAPSHOT_HAS_MEMINFO | SNAPSHOT_HAS_PSI | SNAPSHOT_HAS_VMSTAT,
                .total_bytes =
                        sim_guest_usable_bytes(guest) + (guest->config.balloon_in_total ? inflated : 0),
                .available_bytes = available,
                .free_bytes = u64_sub(available, guest->cache_bytes),
                .inactive_file_bytes = guest->cache_bytes,
                .balloon_bytes = inflated,
                .balloon_in_total = guest->config.balloon_in_total,
                .psi_some_usec = guest->psi_usec,
                .pgscan_kswapd = guest->scanned,
                .oom_kill = guest->oom_kills,
                .page_size_bytes = 4 * KIB,
        };
        guest->demand = demand_step(&guest->demand_config, &guest->demand_state, &guest->snapshot);
}

static void watch_growth(SimGuest *guest) {
        uint64_t usable = snapshot_usable_bytes(&guest->snapshot);

        if (!guest->grow_open || usable == guest->grow_told_bytes)
                return;
        guest->grow_told_bytes = usable;
        guest->grow_open = u64_sub(usable, guest->grow_from_bytes) < guest->grow_bytes;
        say(guest, (SimMessage){
                           .kind = SIM_CONFIRM,
                           .id = guest->grow_id,
                           .delta_bytes = u64_delta(usable, guest->grow_from_bytes),
                   });
}

static void answer(SimGuest *guest, const ShrinkAsk *ask, const ShrinkPlan *plan) {
        if (plan->freed_bytes > 0)
                demand_learn_probe(&guest->demand_state, plan->freed_bytes, plan->back_bytes);
        say(guest, (SimMessage){
                           .kind = SIM_OFFER,
                           .id = ask->id,
                           .step = ask->step,
                           .bytes = plan->verdict == SHRINK_OFFERED ? plan->offered_bytes : 0,
                           .reason = plan->reason,
                           .hold_usec = plan->hold_usec,
                   });
}

static void watch_shrink(SimGuest *guest) {
        ShrinkAsk ask = guest->shrink.ask;
        ShrinkPlan plan =
                shrink_watch(&guest->shrink_config, &guest->shrink, &guest->snapshot, &guest->demand);

        if (plan.verdict == SHRINK_MOVED || plan.verdict == SHRINK_CONFIRMED)
                say(guest, (SimMessage){
                                   .kind = SIM_CONFIRM,
                                   .id = ask.id,
                                   .step = ask.step,
                                   .delta_bytes = plan.delta_bytes,
                                   .stall_usec = plan.stall_usec,
                           });
        else if (plan.verdict == SHRINK_VETO)
                say(guest, (SimMessage){.kind = SIM_ALARM, .id = ask.id});
        else if (plan.verdict == SHRINK_OFFERED || plan.verdict == SHRINK_REFUSED)
                answer(guest, &ask, &plan);
}

static uint64_t report_interval_usec(const SimGuest *guest) {
        if (guest->shrink.open)
                return REPORT_FLIGHT_USEC;
        return guest->demand.urgency >= URGENCY_HIGH || guest->grow_open ? REPORT_URGENT_USEC
                                                                         : REPORT_CALM_USEC;
}

static uint64_t sample_interval_usec(const SimGuest *guest) {
        uint64_t usec = u64_min(guest->demand.next_sample_usec, USEC_PER_SEC);

        if (guest->shrink.open)
                usec = u64_min(usec, SAMPLE_SHRINK_USEC);
        return guest->grow_open ? u64_min(usec, SAMPLE_GROW_USEC) : usec;
}

static void sample(SimGuest *guest) {
        look(guest);
        watch_growth(guest);
        watch_shrink(guest);
        if (guest->demand.rose)
                say(guest, (SimMessage){.kind = SIM_ALARM});
        if (guest->now_usec >= u64_min(guest->report_usec + report_interval_usec(guest),
                                       guest->report_usec + REPORT_CALM_USEC)) {
                guest->report_usec = guest->now_usec;
                say(guest, (SimMessage){.kind = SIM_REPORT});
        }
        guest->sample_usec = guest->now_usec + sample_interval_usec(guest);
}

static void lie(SimGuest *guest) {
        look(guest);
        guest->demand.urgency = URGENCY_CRITICAL;
        guest->demand.cause = CAUSE_PREDICT;
        guest->demand.need_bytes = (int64_t) MEMORY_BYTES_MAX;
        guest->demand.demand_bytes = MEMORY_BYTES_MAX;
        say(guest, (SimMessage){.kind = SIM_ALARM});
        guest->sample_usec = guest->now_usec + SAMPLE_GROW_USEC;
}

void sim_guest_notice(SimGuest *guest, const SimNotice *notice) {
        guest->grow_open = true;
        guest->grow_id = notice->id;
        guest->grow_bytes = notice->bytes;
        guest->grow_from_bytes = guest->grow_told_bytes = snapshot_usable_bytes(&guest->snapshot);
        if (guest->config.character == SIM_LIAR)
                say(guest, (SimMessage){
                                   .kind = SIM_CONFIRM,
                                   .id = notice->id,
                                   .delta_bytes = (int64_t) MEMORY_BYTES_MAX,
                           });
        else
                sample(guest);
}

/* memory.reclaim, as far as there is cache; it takes no time here. */
static ShrinkPlan reclaim(SimGuest *guest, const ShrinkPlan *plan) {
        uint64_t before = guest->snapshot.free_bytes, drop = u64_min(plan->reclaim_bytes, guest->cache_bytes);

        guest->cache_bytes -= drop;
        guest->now_usec++; /* a sample of its own */
        look(guest);
        return shrink_freed(&guest->shrink_config, &guest->shrink, &guest->snapshot, &guest->demand, before);
}

void sim_guest_ask(SimGuest *guest, const ShrinkAsk *ask) {
        ShrinkPlan plan;

        if (guest->config.character == SIM_LIAR) {
                say(guest,
                    (SimMessage){.kind = SIM_OFFER, .id = ask->id, .step = ask->step, .bytes = UINT64_MAX});
                return;
        }
        sample(guest);
        plan = shrink_ask(&guest->shrink_config, &guest->shrink, ask, &guest->snapshot, &guest->demand, true);
        if (plan.verdict == SHRINK_RECLAIM)
                plan = reclaim(guest, &plan);
        if (plan.verdict != SHRINK_WAITING)
                answer(guest, ask, &plan);
        guest->sample_usec = u64_min(guest->sample_usec, guest->now_usec + SAMPLE_SHRINK_USEC);
}

/* Part by part, as blocks go, and back to the start when one does not. */
static void work_offline(SimGuest *guest) {
        uint64_t part = u64_min(OFFLINE_TICK, guest->offline_left_bytes);

        if (guest->offline_left_bytes == 0)
                return;
        if (!sim_guest_take_offline(guest, part)) {
                sim_guest_online(guest);
                say(guest, (SimMessage){.kind = SIM_PREPARED, .id = guest->offline_id});
                return;
        }
        guest->offline_left_bytes -= part;
        if (guest->offline_left_bytes > 0)
                return;
        sample(guest); /* what was taken is confirmed first */
        say(guest, (SimMessage){.kind = SIM_PREPARED, .id = guest->offline_id, .bytes = 1});
}

void sim_agent_tick(SimGuest *guest) {
        work_offline(guest);
        if (guest->now_usec < guest->sample_usec)
                return;
        if (guest->config.character == SIM_LIAR)
                lie(guest);
        else
                sample(guest);
}

void sim_guest_offline(SimGuest *guest, uint64_t id, const Dimm *dimm) {
        guest->offline_id = id;
        if (guest->config.character == SIM_LIAR)
                say(guest, (SimMessage){.kind = SIM_PREPARED, .id = id, .bytes = 1});
        else
                guest->offline_left_bytes =
                        u64_sub(dimm->size_bytes, guest->model.dimm_bytes - guest->dimm_online_bytes);
}

void sim_guest_online(SimGuest *guest) {
        guest->offline_left_bytes = 0;
        guest->dimm_held = false;
}
