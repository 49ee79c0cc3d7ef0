/* SPDX-License-Identifier: Apache-2.0 */

/* One VM in a round over all: its figures in, its part out. */

#include <assert.h>

#include "host-bridge/guests/vm-internal.h"

/* Silent for so long, a guest may have grown its need unseen (pressure-control.md c, rule 5). */
#define SILENT_USEC (30 * USEC_PER_SEC)

void vm_want_round(const Vm *vm) {
        if (vm->env->want_round)
                vm->env->want_round(vm->env->userdata);
}

/* Of a shrink under way: it may still be vetoed, and then the next round asks others. */
static uint64_t giving_bytes(const Vm *vm) {
        return vm_is_shrinking(vm) ? vm->resize->decision.wanted_bytes : 0;
}

void vm_round_see(Vm *vm, uint64_t now_usec, RoundVm *ret) {
        ArbiterVm subject = vm_subject(vm, now_usec);

        assert(ret);

        *ret = (RoundVm){
                .vm_class = vm->policy.vm_class,
                .shares = vm->policy.shares,
                .min_bytes = subject.min_bytes,
                /* Nobody is asked to give for one that can not take it in. */
                .reach_bytes = subject.dimm_too_large ? u64_min(vm_max_bytes(vm), vm->committed_bytes)
                                                      : vm_max_bytes(vm),
                .controlled = vm_is_managed(vm) && vm->sizes.known,
                .size_bytes = subject.size_bytes,
                .committed_bytes = vm->committed_bytes,
                .known = vm->guest.known && subject.fresh && !vm_is_left_alone(vm, now_usec),
                .quarantined = vm->trust.doubt != DOUBT_NONE,
                .silent = u64_sub(now_usec, vm->guest.arrived_usec) > SILENT_USEC,
                .urgency = subject.urgency,
                .activity = vm->activity,
                .demand_bytes = u64_shift(subject.size_bytes, subject.need_bytes),
                .floor_bytes = arbiter_lowest_bytes(&subject),
                .fall_bytes_per_sec = vm->guest.fall_bytes_per_sec,
                .giving_bytes = giving_bytes(vm),
        };
        for (PoolLevel level = POOL_FULL; level < POOL_LEVEL_MAX && !vm->resize; level++)
                ret->spare_bytes[level] = arbiter_spare_bytes(&vm->env->arbiter, &subject, level, now_usec);
}

void vm_round_take(Vm *vm, const RoundVm *found, uint64_t now_usec) {
        assert(found);

        vm->round = (RoundPart){
                .fair_bytes = found->fair_bytes,
                .target_bytes = found->target_bytes,
                .ask_bytes = found->ask_bytes,
                .ask_rule = found->ask_rule,
                .ask_level = found->ask_level,
        };
        if (!found->waits)
                vm->waiting_usec = vm->guest.urgency >= URGENCY_HIGH ? vm->waiting_usec : 0;
        else if (vm->waiting_usec == 0)
                vm->waiting_usec = now_usec;
}
