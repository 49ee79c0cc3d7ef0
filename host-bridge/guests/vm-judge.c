/* SPDX-License-Identifier: Apache-2.0 */

/*
 * From figures to decisions. A VM is judged on each report and alarm, never on a poll, and never twice on the same
 * figures: after a resize has closed, only what the guest and the hypervisor say next counts, or the guest's last
 * alarm would be answered again.
 */

#include <stdio.h>

#include "host-bridge/guests/vm-internal.h"

#define DENIAL_REPEAT_USEC (60 * USEC_PER_SEC) /* of the same rule */
#define DENIAL_LEAST_USEC  (10 * USEC_PER_SEC) /* of any, also to a guest that is in need and calm by turns */

bool vm_is_left_alone(const Vm *vm, uint64_t now_usec) {
        return vm->rival.n_yields >= RIVAL_YIELDS_MAX || now_usec < vm->rival.yield_until_usec ||
               now_usec < vm->hold_until_usec;
}

static bool can_be_judged(const Vm *vm, uint64_t now_usec) {
        bool speaking = vm->monitor_up && vm->sizes.known && !vm->paused && vm->session &&
                        session_is_open(vm->session);

        return speaking && !vm_is_left_alone(vm, now_usec) && !vm->resize && vm->guest.known &&
               vm->guest.arrived_usec > vm->closed_usec && vm->model_usec > vm->closed_usec;
}

ArbiterVm vm_subject(const Vm *vm, uint64_t now_usec) {
        const ModelSizes *sizes = &vm->sizes;

        return (ArbiterVm){
                .controlled = vm_is_controlled(vm),
                .fresh = u64_sub(now_usec, vm->guest.arrived_usec) <= vm->env->session.stale_usec,
                .min_bytes = vm_min_bytes(vm),
                .max_bytes = vm->policy.max_bytes,
                .size_bytes = sizes->size_bytes,
                .committed_bytes = vm->committed_bytes,
                .ceiling_bytes = sizes->ceiling_bytes,
                .block_bytes = sizes->grow_block_bytes,
                .take_block_bytes = sizes->shrink_block_bytes,
                .device_floor_bytes = sizes->floor_bytes,
                .dimm_too_large = sizes->grows_by_dimm &&
                                  !planner_dimm_fits(sizes->dimm_unit_bytes, vm->guest.plug_budget_bytes),
                .urgency = vm->guest.urgency,
                .need_bytes = vm->guest.need_bytes,
                .usable_bytes = vm->guest.usable_bytes,
                .floor_bytes = vm->guest.floor_bytes,
                .calm_since_usec = vm->calm_since_usec,
                .last_grow_usec = vm->last_grow_usec,
                .peak_bytes =
                        arbiter_peak_bytes(&vm->peak, vm->env->arbiter.calm_before_shrink_usec, now_usec),
                .last_refusal_usec = vm->last_refusal_usec,
                .n_refusals = vm->n_refusals,
                .held_until_usec = vm->held_until_usec,
                .last_failure_usec = vm->last_failure_usec,
                .n_failures = vm->n_failures,
                .last_shrink_usec = vm->last_shrink_usec,
                .vm_class = vm->policy.vm_class,
                .limiter = vm->limiter,
                .pressed = vm->pressure.pressed,
                .quarantined = vm->trust.doubt != DOUBT_NONE,
                .fair_bytes = vm->round.fair_bytes,
                .target_bytes = vm->round.target_bytes,
                .served = vm->waiting_usec != 0 && vm->env->donated_usec >= vm->waiting_usec,
                .ask_bytes = vm->round.ask_bytes,
                .ask_rule = vm->round.ask_rule,
                .ask_level = vm->round.ask_level,
        };
}

static DecisionInputs inputs_of(const Vm *vm, uint64_t now_usec) {
        return (DecisionInputs){
                .urgency = vm->guest.urgency,
                .cause = vm->guest.cause,
                .usable_bytes = vm->guest.usable_bytes,
                .available_bytes = vm->guest.available_bytes,
                .used_bytes = vm->guest.used_bytes,
                .demand_bytes = vm->guest.demand_bytes,
                .floor_bytes = vm->guest.floor_bytes,
                .need_bytes = vm->guest.need_bytes,
                .time_to_exhaustion_usec = vm->guest.time_to_exhaustion_usec,
                .fall_bytes_per_sec = vm->guest.fall_bytes_per_sec,
                .size_bytes = vm->sizes.size_bytes,
                .min_bytes = vm_min_bytes(vm),
                .max_bytes = vm_max_bytes(vm),
                .budget_bytes = vm->env->ledger->budget_bytes,
                .budget_used_bytes = vm->env->ledger->committed_bytes,
                .report_age_usec = u64_sub(now_usec, vm->guest.arrived_usec),
                .harm_stalled_usec = vm->harm.stalled_usec,
                .harm_kills = vm->harm.kills,
        };
}

Decision vm_decision(const Vm *vm, const ArbiterVerdict *verdict, uint64_t now_usec) {
        Decision decision = {
                .id = vm->env->next_id(vm->env->userdata),
                .kind = verdict->kind,
                .rule = verdict->rule,
                .inputs = inputs_of(vm, now_usec),
                .wanted_bytes = verdict->bytes,
                .alarm_usec = vm->guest.arrived_usec,
        };

        decision.realtime_usec = clock_realtime_usec();
        (void) snprintf(decision.vm, sizeof(decision.vm), "%s", vm->name);
        return decision;
}

static bool is_repetition(const Vm *vm, DecisionRule rule, uint64_t now_usec) {
        uint64_t age_usec = u64_sub(now_usec, vm->denied_usec);

        if (vm->denied_usec == 0)
                return false;
        return age_usec < DENIAL_LEAST_USEC || (vm->denied_rule == rule && age_usec < DENIAL_REPEAT_USEC);
}

/* Not each time: a guest in need repeats itself many times a second, and the record and the log are the host's. */
static void deny(Vm *vm, const ArbiterVerdict *verdict, uint64_t now_usec) {
        Decision decision;

        if (is_repetition(vm, verdict->rule, now_usec))
                return;
        vm->denied_rule = verdict->rule;
        vm->denied_usec = now_usec;

        decision = vm_decision(vm, verdict, now_usec);
        vm_carry(vm, &decision, now_usec);
}

/*
 * What would have been done counts as not achieved, since the guest is as it was: the holds after refusals and failures
 * then keep an idle or needy guest from being decided about on each report.
 */
static void shadow(Vm *vm, Decision *decision, uint64_t now_usec) {
        uint64_t size = decision->inputs.size_bytes;

        decision->result = RESULT_SHADOW;
        decision->closed_usec = now_usec;
        vm->n_shadowed++;
        vm->shadow_bytes = decision->kind == DECISION_GROW ? u64_add(size, decision->wanted_bytes)
                                                           : u64_sub(size, decision->wanted_bytes);
        vm_note_result(vm, decision, now_usec);
        vm->env->record(decision, vm->env->userdata);
}

/* What is granted is spent at once, so that a second grant within the same second knows of it. */
void vm_spend(Vm *vm, const Decision *decision, uint64_t bytes, uint64_t now_usec) {
        LimiterBounds bounds = {
                .size_bytes = decision->inputs.size_bytes,
                .reach_bytes = decision->inputs.max_bytes,
                .tight = vm->env->round.level > POOL_FULL,
        };

        limiter_spend(&vm->limiter, &bounds, bytes, now_usec);
}

void vm_carry(Vm *vm, Decision *decision, uint64_t now_usec) {
        if (decision->kind == DECISION_DENY) {
                decision->result = RESULT_DENIED;
                decision->closed_usec = now_usec;
                vm->env->record(decision, vm->env->userdata);
                return;
        }
        if (decision->kind == DECISION_GROW) {
                vm_spend(vm, decision, decision->wanted_bytes, now_usec);
                vm->waiting_usec = 0;
        }
        vm->round.ask_bytes = 0; /* it is answered, whatever becomes of it */
        if (vm_is_managed(vm))
                vm_begin(vm, decision);
        else
                shadow(vm, decision, now_usec);
}

ArbiterHost vm_host(const Vm *vm) {
        const VmEnv *env = vm->env;

        return (ArbiterHost){
                .budget_bytes = env->ledger->budget_bytes,
                .committed_bytes = env->ledger->committed_bytes,
                .round = env->round,
                .pressed = env->pressed,
        };
}

static void judge(Vm *vm, bool in_round, uint64_t now_usec) {
        const VmEnv *env = vm->env;
        ArbiterHost host = vm_host(vm);
        ArbiterVerdict verdict;
        ArbiterVm subject;

        if (!can_be_judged(vm, now_usec))
                return;
        subject = vm_subject(vm, now_usec);
        subject.in_round = in_round || !env->want_round;
        verdict = arbiter_judge(&env->arbiter, &host, &subject, now_usec);
        if (verdict.round && !in_round) {
                vm_want_round(vm);
                /* A part of what it wants may be another's part: the round follows within this dispatch of the loop. */
                if (verdict.act && verdict.kind == DECISION_GROW && env->want_round)
                        return;
        }
        if (!verdict.act)
                vm_arm(vm, verdict.wake_usec);
        else if (verdict.kind == DECISION_DENY) {
                deny(vm, &verdict, now_usec);
                if (verdict.wake_usec != USEC_INFINITY)
                        vm_arm(vm, verdict.wake_usec);
        } else {
                Decision decision = vm_decision(vm, &verdict, now_usec);

                vm_carry(vm, &decision, now_usec);
        }
}

void vm_judge(Vm *vm, uint64_t now_usec) {
        judge(vm, false, now_usec);
}

void vm_round_judge(Vm *vm, uint64_t now_usec) {
        judge(vm, true, now_usec);
}
