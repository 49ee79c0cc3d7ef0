/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Not a mode of the arbiter: that one asks what a guest lacks, this one where a person wants it. Both end at the same
 * bounds, and the same resize carries either out.
 *
 * The preview plans each step on a model in which the one before has been fulfilled; the real thing plans on what the
 * hypervisor then says. So it is a forecast, and told as one.
 */

#include "host-bridge/policy/operator.h"

static ArbiterVerdict verdict(DecisionKind kind, DecisionRule rule, uint64_t bytes) {
        return (ArbiterVerdict){
                .act = true, .kind = kind, .rule = rule, .bytes = bytes, .wake_usec = USEC_INFINITY};
}

static ArbiterVerdict judge_grow(const ArbiterHost *host, const ArbiterVm *vm, uint64_t wanted) {
        uint64_t block = u64_max(vm->block_bytes, 1), reach = u64_min(vm->max_bytes, vm->ceiling_bytes);
        /* From what is promised to it already, not from its size: a late arrival counts. */
        uint64_t room = u64_sub(reach, u64_max(vm->size_bytes, vm->committed_bytes));
        uint64_t unreserved = host->budget_bytes == UINT64_MAX
                                      ? UINT64_MAX
                                      : u64_sub(host->budget_bytes, host->committed_bytes);
        uint64_t grant =
                u64_min(u64_align_up(wanted, block), u64_align_down(u64_min(room, unreserved), block));

        if (room >= block && vm->dimm_too_large)
                return verdict(DECISION_DENY, RULE_DENY_PLUG, wanted);
        if (grant > 0)
                return verdict(DECISION_GROW, RULE_OPERATOR, grant);
        if (room >= block)
                return verdict(DECISION_DENY, RULE_DENY_BUDGET, wanted);
        return verdict(DECISION_DENY, vm->max_bytes < vm->ceiling_bytes ? RULE_DENY_MAX : RULE_DENY_CEILING,
                       wanted);
}

static ArbiterVerdict judge_shrink(const ArbiterVm *vm, uint64_t target_bytes) {
        uint64_t block = u64_max(vm->block_bytes, 1);
        uint64_t lowest = u64_max(vm->min_bytes, vm->device_floor_bytes);
        uint64_t take = u64_align_down(u64_sub(vm->size_bytes, u64_max(target_bytes, lowest)), block);

        if (take > 0)
                return verdict(DECISION_SHRINK, RULE_OPERATOR, take);
        return verdict(DECISION_DENY,
                       vm->min_bytes >= vm->device_floor_bytes ? RULE_DENY_MIN : RULE_DENY_FLOOR,
                       vm->size_bytes - target_bytes);
}

ArbiterVerdict operator_judge(const ArbiterHost *host, const ArbiterVm *vm, uint64_t target_bytes) {
        uint64_t block = u64_max(vm->block_bytes, 1);
        bool grows = target_bytes > vm->size_bytes;
        uint64_t wanted = grows ? target_bytes - vm->size_bytes : vm->size_bytes - target_bytes;

        if (wanted < block)
                return (ArbiterVerdict){.wake_usec = USEC_INFINITY};
        if (!vm->controlled)
                return verdict(DECISION_DENY, RULE_DENY_OBSERVED, wanted);
        if (!vm->fresh)
                return verdict(DECISION_DENY, RULE_DENY_SILENT, wanted);
        return grows ? judge_grow(host, vm, wanted) : judge_shrink(vm, target_bytes);
}

static void fulfil(MemoryModel *model, const PlanStep *step) {
        switch (step->actuator) {

        case ACTUATOR_BALLOON:
                model->balloon_actual_bytes = memory_model_balloon_value(model, step->to_bytes);
                return;

        case ACTUATOR_VIRTIO_MEM:
                model->virtio_mem[step->device].size_bytes = step->to_bytes;
                model->virtio_mem[step->device].requested_bytes = step->to_bytes;
                return;

        case ACTUATOR_DIMM:
                memory_model_set_dimm(model, step->device, step->to_bytes);
                return;

        case ACTUATOR_NONE:
        case ACTUATOR_MAX:
                return;
        }
}

size_t operator_preview(const MemoryModel *model, const OperatorPlan *plan, PlanStep *ret, size_t n_max,
                        uint64_t *ret_size_bytes) {
        MemoryModel next = *model;
        uint64_t left = plan->bytes;
        size_t n = 0;

        while (n < n_max) {
                PlanStep step = plan->growing ? planner_grow(&next, left, plan->plug_budget_bytes)
                                              : planner_shrink(&next, left, plan->guest_block_bytes,
                                                               plan->available_bytes);
                int64_t delta = plan_step_delta_bytes(&step);

                if (step.actuator == ACTUATOR_NONE || delta == 0)
                        break;
                left = u64_sub(left, delta < 0 ? UINT64_C(0) - (uint64_t) delta : (uint64_t) delta);
                fulfil(&next, &step);
                ret[n++] = step;
        }
        *ret_size_bytes = memory_model_size_bytes(&next);
        return n;
}
