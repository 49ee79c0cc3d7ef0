/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A size that an operator asks for, held to what the policy, the devices and the host budget allow; and the steps that it
 * would take. Pure. An operator is obeyed where an idle guest would not be asked yet, but a shrink stays a conversation
 * that the guest may refuse, and silence holds the size against an operator too.
 */

#include <stddef.h>

#include "host-bridge/policy/arbiter.h"
#include "host-bridge/policy/planner.h"

/*
 * The way from vm->size_bytes to target_bytes. Without act the VM has that size already, to less than a block. What is
 * granted may be less than what was asked for; a denial names the bound that leaves nothing of it.
 */
ArbiterVerdict operator_judge(const ArbiterHost *host, const ArbiterVm *vm, uint64_t target_bytes);

typedef struct OperatorPlan {
        bool growing;
        uint64_t bytes;
        uint64_t guest_block_bytes, available_bytes, plug_budget_bytes; /* the guest's */
} OperatorPlan;

/*
 * The steps as they would be if each did all that it is asked for. Returns how many stand in ret; size says where the last
 * one leads, so that a caller sees whether more than n_max would follow.
 */
size_t operator_preview(const MemoryModel *model, const OperatorPlan *plan, PlanStep *ret, size_t n_max,
                        uint64_t *ret_size_bytes);
