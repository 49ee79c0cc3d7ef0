/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The shell of memtide-bridge in small, as in host-bridge/guests/: a VM is judged on each report and alarm,
 * never twice on the same figures, and what its resize may still need stays reserved. The hypervisor
 * answers a tick later, and says what it has every 100 ms.
 */

#include "sim.h"

#include <stdlib.h>

#define READING_USEC (100 * USEC_PER_MSEC)
#define STALE_USEC   (3 * USEC_PER_SEC)
#define ROUND_USEC   USEC_PER_SEC

uint64_t sim_committed_of(const SimVm *vm) {
        uint64_t bytes = memory_model_committed_bytes(&vm->model);

        /* QEMU tells no balloon's target: what it was told to let go and the guest has not taken yet. */
        if (vm->balloon_commanded)
                bytes += u64_sub(memory_model_balloon_bytes(&vm->model), vm->balloon_target_bytes);
        return u64_max(bytes, resize_reserved_bytes(&vm->resize));
}

uint64_t sim_committed_sum(const Sim *sim) {
        uint64_t bytes = 0;

        for (unsigned i = 0; i < sim->n_vms; i++)
                bytes = u64_add(bytes, sim_committed_of(&sim->vms[i]));
        return bytes;
}

static void keep(SimVm *vm, const Decision *decision) {
        if (vm->n_decisions >= SIM_DECISIONS_MAX)
                abort(); /* it hunts */
        vm->decisions[vm->n_decisions++] = *decision;
}

static void finish(Sim *sim, SimVm *vm) {
        const Decision *decision = &vm->resize.decision;
        bool done = decision->result == RESULT_DONE;

        vm->closed_usec = sim->now_usec;
        vm->model_usec = 0; /* a fresh reading, before it is judged again */
        if (decision->kind == DECISION_SHRINK) {
                vm->n_refusals = done ? 0 : vm->n_refusals + 1;
                vm->last_refusal_usec = done ? vm->last_refusal_usec : sim->now_usec;
                if (decision->confirmed_bytes < 0)
                        vm->last_shrink_usec = sim->now_usec;
                if (decision->confirmed_bytes < 0 && decision->rule == RULE_SHRINK_DONOR)
                        sim->donated_usec = sim->now_usec;
                sim->round_wanted = sim->round_wanted || sim->found.n_waiting > 0;
        } else if (done || decision->result == RESULT_PARTIAL) {
                vm->last_grow_usec = sim->now_usec;
                vm->last_failure_usec = vm->n_failures = 0;
        } else {
                vm->last_failure_usec = sim->now_usec;
                vm->n_failures++;
        }
        if (decision->kind == DECISION_GROW)
                limiter_refund(&vm->limiter,
                               u64_sub(decision->wanted_bytes, decision->confirmed_bytes > 0
                                                                       ? (uint64_t) decision->confirmed_bytes
                                                                       : 0));
        keep(vm, decision);
}

static void carry_out(Sim *sim, SimVm *vm, const ResizeAction *action) {
        const Decision *decision = &vm->resize.decision;

        if (action->online.size_bytes > 0)
                sim_guest_online(&vm->guest);
        switch (action->kind) {

        case RESIZE_WAIT:
                return;

        case RESIZE_PREPARE:
                sim_guest_offline(&vm->guest, decision->id, &action->offline);
                return;

        case RESIZE_ASK:
                sim_guest_ask(&vm->guest,
                              &(ShrinkAsk){
                                      .id = decision->id,
                                      .step = action->step_number,
                                      .bytes = action->bytes,
                                      .remaining_bytes = action->remaining_bytes,
                                      .deadline_usec = sim->now_usec + vm->resize.config.offer_timeout_usec,
                                      .balloon = action->step.actuator == ACTUATOR_BALLOON,
                                      .last = action->last,
                              });
                return;

        case RESIZE_COMMAND:
                if (action->notice)
                        sim_guest_notice(&vm->guest, &(SimNotice){decision->id, action->bytes});
                sim_guest_command(&vm->guest, &action->step);
                if (action->step.actuator == ACTUATOR_BALLOON) {
                        vm->balloon_commanded = true;
                        vm->balloon_target_bytes = action->step.to_bytes;
                }
                vm->n_commands++;
                vm->n_replies++;
                return;

        case RESIZE_FINISH:
                finish(sim, vm);
                return;
        }
}

static ResizeEvent event_of(const Sim *sim, const SimVm *vm, ResizeEventKind kind) {
        return (ResizeEvent){
                .kind = kind,
                .now_usec = sim->now_usec,
                .model = &vm->model,
                .available_bytes = vm->last.available_bytes,
                .plug_budget_bytes = vm->last.plug_budget_bytes,
        };
}

static void feed(Sim *sim, SimVm *vm, const ResizeEvent *event) {
        ResizeAction action = resize_feed(&vm->resize, event);

        carry_out(sim, vm, &action);
}

static void feed_kind(Sim *sim, SimVm *vm, ResizeEventKind kind) {
        ResizeEvent event = event_of(sim, vm, kind);

        feed(sim, vm, &event);
}

ArbiterVm sim_subject(const Sim *sim, const SimVm *vm) {
        uint64_t window_usec = sim->arbiter.calm_before_shrink_usec;

        return (ArbiterVm){
                .controlled = true,
                .fresh = sim->now_usec - vm->reported_usec <= STALE_USEC,
                .min_bytes = vm->min_bytes,
                .max_bytes = vm->max_bytes,
                .size_bytes = memory_model_size_bytes(&vm->model),
                .committed_bytes = sim_committed_of(vm),
                .ceiling_bytes = memory_model_ceiling_bytes(&vm->model),
                .block_bytes = memory_model_grow_block_bytes(&vm->model),
                .take_block_bytes = memory_model_shrink_block_bytes(&vm->model),
                .device_floor_bytes = memory_model_floor_bytes(&vm->model),
                .urgency = vm->last.demand.urgency,
                .need_bytes = vm->last.demand.need_bytes,
                .usable_bytes = vm->last.usable_bytes,
                .floor_bytes = vm->last.demand.floor_bytes,
                .peak_bytes = arbiter_peak_bytes(&vm->peak, window_usec, sim->now_usec),
                .calm_since_usec = vm->calm_since_usec,
                .last_grow_usec = vm->last_grow_usec,
                .last_refusal_usec = vm->last_refusal_usec,
                .n_refusals = vm->n_refusals,
                .held_until_usec = vm->held_until_usec,
                .last_failure_usec = vm->last_failure_usec,
                .n_failures = vm->n_failures,
                .last_shrink_usec = vm->last_shrink_usec,
                .vm_class = vm->vm_class,
                .limiter = vm->limiter,
                .fair_bytes = vm->round.fair_bytes,
                .target_bytes = vm->round.target_bytes,
                .served = vm->waiting_usec != 0 && sim->donated_usec >= vm->waiting_usec,
                .ask_bytes = vm->round.ask_bytes,
                .ask_rule = vm->round.ask_rule,
                .ask_level = vm->round.ask_level,
        };
}

static Decision decision_of(Sim *sim, const SimVm *vm, const ArbiterVerdict *verdict) {
        return (Decision){
                .id = sim->next_id++,
                .kind = verdict->kind,
                .rule = verdict->rule,
                .wanted_bytes = verdict->bytes,
                .alarm_usec = vm->reported_usec,
                .inputs = {.size_bytes = memory_model_size_bytes(&vm->model),
                           .min_bytes = vm->min_bytes,
                           .max_bytes = u64_min(vm->max_bytes, memory_model_ceiling_bytes(&vm->model))},
        };
}

static void spend(const Sim *sim, SimVm *vm, const Decision *decision) {
        LimiterBounds bounds = {
                .size_bytes = decision->inputs.size_bytes,
                .reach_bytes = decision->inputs.max_bytes,
                .tight = sim->found.level > POOL_FULL,
        };

        limiter_spend(&vm->limiter, &bounds, decision->wanted_bytes, sim->now_usec);
        vm->waiting_usec = 0;
}

static void act(Sim *sim, SimVm *vm, const ArbiterVerdict *verdict) {
        Decision decision = decision_of(sim, vm, verdict);
        ResizeEvent first;
        ResizeAction action;

        if (verdict->kind == DECISION_DENY) {
                if (vm->denied_rule != verdict->rule)
                        keep(vm, &decision);
                vm->denied_rule = verdict->rule;
                return;
        }
        vm->denied_rule = RULE_NONE;
        vm->round.ask_bytes = 0;
        if (verdict->kind == DECISION_GROW)
                spend(sim, vm, &decision);
        first = event_of(sim, vm, RESIZE_EVENT_HEARD);
        action = resize_begin(&vm->resize, &sim->resize, &decision, 128 * MIB, &first);
        carry_out(sim, vm, &action);
}

void sim_judge(Sim *sim, SimVm *vm, bool in_round) {
        ArbiterVm subject = sim_subject(sim, vm);
        ArbiterHost host = {
                .budget_bytes = sim->budget_bytes,
                .committed_bytes = sim_committed_sum(sim),
                .round = sim->found,
                .pressed = sim->pressed,
        };
        ArbiterVerdict verdict;

        if (!vm->known || resize_is_open(&vm->resize) || vm->reported_usec <= vm->closed_usec ||
            vm->model_usec == 0)
                return;
        subject.in_round = in_round;
        verdict = arbiter_judge(&sim->arbiter, &host, &subject, sim->now_usec);
        if (verdict.round && !in_round) {
                sim->round_wanted = true;
                if (verdict.act && verdict.kind == DECISION_GROW)
                        return;
        }
        if (verdict.wake_usec != USEC_INFINITY)
                vm->wake_usec = u64_min(vm->wake_usec, verdict.wake_usec);
        if (verdict.act)
                act(sim, vm, &verdict);
}

static void judge(Sim *sim, SimVm *vm) {
        sim_judge(sim, vm, false);
}

static void take_mood(Sim *sim, SimVm *vm, const SimMessage *message) {
        bool stop = resize_is_open(&vm->resize) && !vm->resize.growing &&
                    ((message->id != 0 && message->id == vm->resize.decision.id) ||
                     message->demand.urgency >= URGENCY_HIGH);

        vm->known = true;
        vm->reported_usec = sim->now_usec;
        if (message->demand.urgency != URGENCY_NONE)
                vm->calm_since_usec = 0;
        else if (vm->calm_since_usec == 0)
                vm->calm_since_usec = sim->now_usec;
        if (message->kind == SIM_REPORT) {
                arbiter_peak_note(&vm->peak, sim->arbiter.calm_before_shrink_usec,
                                  message->demand.demand_bytes, sim->now_usec);
                activity_note(&vm->activity, message->demand.used_bytes, message->usable_bytes,
                              sim->now_usec);
        }
        feed_kind(sim, vm, stop ? RESIZE_EVENT_VETO : RESIZE_EVENT_HEARD);
        judge(sim, vm);
}

static void take(Sim *sim, SimVm *vm, const SimMessage *message) {
        ResizeEvent event;

        vm->last = *message;
        if (message->kind == SIM_REPORT || message->kind == SIM_ALARM) {
                take_mood(sim, vm, message);
                return;
        }
        if (message->id != vm->resize.decision.id)
                return;
        if (message->kind == SIM_PREPARED) {
                feed_kind(sim, vm, message->bytes > 0 ? RESIZE_EVENT_PREPARED : RESIZE_EVENT_UNPREPARED);
                return;
        }
        if (message->kind == SIM_OFFER && message->bytes == 0)
                vm->held_until_usec = sim->now_usec + message->hold_usec;
        if (message->kind == SIM_CONFIRM)
                vm->model_usec = sim->now_usec; /* a reading with each */
        event = event_of(sim, vm, message->kind == SIM_OFFER ? RESIZE_EVENT_OFFER : RESIZE_EVENT_CONFIRM);
        event.step = message->step;
        event.bytes = message->bytes;
        event.delta_bytes = message->delta_bytes;
        event.reason = message->reason;
        event.stall_usec = message->stall_usec;
        feed(sim, vm, &event);
}

static void tick_vm(Sim *sim, SimVm *vm) {
        SimMessage messages[SIM_MESSAGES_MAX];
        unsigned n_messages = vm->guest.n_messages, n_replies = vm->n_replies;

        for (unsigned i = 0; i < n_messages; i++)
                messages[i] = vm->guest.messages[i];
        vm->guest.n_messages = vm->n_replies = 0;

        for (unsigned i = 0; i < n_replies; i++)
                feed_kind(sim, vm, RESIZE_EVENT_ACCEPTED);
        if (sim->now_usec >= vm->model_usec) {
                vm->model = vm->guest.model;
                vm->model_usec = sim->now_usec + READING_USEC;
                feed_kind(sim, vm, RESIZE_EVENT_MODEL);
                judge(sim, vm);
        }
        for (unsigned i = 0; i < n_messages; i++)
                take(sim, vm, &messages[i]);
        if (sim->now_usec >= resize_deadline_usec(&vm->resize))
                feed_kind(sim, vm, RESIZE_EVENT_TICK);
        if (sim->now_usec >= vm->wake_usec) {
                vm->wake_usec = sim->now_usec + ROUND_USEC;
                judge(sim, vm);
        }
}

void sim_init(Sim *sim) {
        *sim = (Sim){
                .next_id = 1,
                .budget_bytes = UINT64_MAX,
                .pool_bytes = UINT64_MAX,
                .arbiter =
                        {
                                .shrink_idle = true,
                                .shrink_scarcity = true,
                                .calm_before_shrink_usec = 8 * USEC_PER_SEC,
                                .hold_after_grow_usec = 10 * USEC_PER_SEC,
                                .hold_after_refusal_usec = 10 * USEC_PER_SEC,
                                .dead_band_bytes = 64 * MIB,
                        },
        };
}

SimVm *sim_add(Sim *sim, const SimGuestConfig *guest, uint64_t min_bytes, uint64_t max_bytes) {
        SimVm *vm = &sim->vms[sim->n_vms++];

        sim_guest_init(&vm->guest, guest);
        vm->model = vm->guest.model;
        vm->min_bytes = min_bytes;
        vm->max_bytes = max_bytes;
        return vm;
}

void sim_run(Sim *sim, uint64_t until_usec) {
        for (; sim->now_usec < until_usec; sim->now_usec += SIM_TICK_USEC) {
                uint64_t size = 0;

                for (unsigned i = 0; i < sim->n_vms; i++)
                        sim_guest_tick(&sim->vms[i].guest, sim->now_usec + SIM_TICK_USEC);
                for (unsigned i = 0; i < sim->n_vms; i++) {
                        tick_vm(sim, &sim->vms[i]);
                        size += memory_model_size_bytes(&sim->vms[i].guest.model);
                }
                sim_round(sim);
                sim->worst_committed_bytes = u64_max(sim->worst_committed_bytes, sim_committed_sum(sim));
                sim->worst_size_bytes = u64_max(sim->worst_size_bytes, size);
        }
}

static bool moved(const Decision *decision) {
        return decision->requested_bytes > 0;
}

unsigned sim_count(const SimVm *vm, DecisionKind kind, uint64_t since_usec) {
        unsigned n = 0;

        for (unsigned i = 0; i < vm->n_decisions; i++)
                n += vm->decisions[i].kind == kind && moved(&vm->decisions[i]) &&
                     vm->decisions[i].closed_usec >= since_usec;
        return n;
}

unsigned sim_reversals(const SimVm *vm, uint64_t since_usec) {
        DecisionKind before = DECISION_KIND_MAX;
        unsigned n = 0;

        for (unsigned i = 0; i < vm->n_decisions; i++) {
                const Decision *decision = &vm->decisions[i];

                if (!moved(decision))
                        continue;
                n += before != DECISION_KIND_MAX && decision->kind != before &&
                     decision->closed_usec >= since_usec;
                before = decision->kind;
        }
        return n;
}

const Decision *sim_last(const SimVm *vm, DecisionKind kind) {
        for (unsigned i = vm->n_decisions; i > 0; i--)
                if (vm->decisions[i - 1].kind == kind)
                        return &vm->decisions[i - 1];
        return NULL;
}
