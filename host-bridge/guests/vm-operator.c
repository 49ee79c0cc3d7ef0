/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What an operator asks of one VM. A resize that is open is not replaced: its steps are under way, and the operator is
 * told to wait. A hold binds the judgement and not what is open, which ends by itself within its deadlines.
 */

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "host-bridge/guests/vm-internal.h"
#include "host-bridge/policy/operator.h"

static int can_be_told(const Vm *vm) {
        if (!vm->monitor_up || !vm->sizes.known || !vm->session || !session_is_open(vm->session))
                return -ENOTCONN;
        if (vm->paused)
                return -EHOSTDOWN;
        /* Planned on an older reading it would ask for what is there already. */
        if (vm->resize || vm->model_usec <= vm->closed_usec)
                return -EBUSY;
        return 0;
}

static void preview(const Vm *vm, ControlPlan *plan) {
        const Decision *decision = &plan->decision;
        OperatorPlan wanted = {
                .growing = decision->kind == DECISION_GROW,
                .bytes = decision->wanted_bytes,
                .guest_block_bytes = vm->guest_block_bytes,
                .available_bytes = vm->guest.available_bytes,
                .plug_budget_bytes = vm->guest.plug_budget_bytes,
        };
        const MemoryModel model = vm_model(vm);
        uint64_t moved;

        plan->n_steps = operator_preview(&model, &wanted, plan->steps, CONTROL_STEPS_MAX, &plan->size_bytes);
        for (size_t i = 0; i < plan->n_steps; i++)
                if (plan->steps[i].actuator == ACTUATOR_VIRTIO_MEM)
                        memcpy(plan->devices[i], model.virtio_mem[plan->steps[i].device].id,
                               sizeof(plan->devices[i]));
        moved = wanted.growing ? u64_sub(plan->size_bytes, decision->inputs.size_bytes)
                               : u64_sub(decision->inputs.size_bytes, plan->size_bytes);
        plan->more = plan->n_steps == CONTROL_STEPS_MAX && moved < decision->wanted_bytes;
}

int vm_operator_resize(Vm *vm, uint64_t target_bytes, bool forecast, ControlPlan *ret) {
        ArbiterHost host = vm_host(vm);
        uint64_t now_usec = clock_monotonic_usec();
        ArbiterVerdict verdict;
        ArbiterVm subject;
        int r;

        assert(ret);

        r = can_be_told(vm);
        if (r < 0)
                return r;

        subject = vm_subject(vm, now_usec);
        verdict = operator_judge(&host, &subject, target_bytes);
        memset(ret, 0, sizeof(*ret));
        ret->size_bytes = subject.size_bytes;
        if (!verdict.act) {
                ret->decision.kind = DECISION_KIND_MAX;
                return 0;
        }

        ret->decision = vm_decision(vm, &verdict, now_usec);
        ret->decision.inputs.target_bytes = target_bytes;
        ret->decision.alarm_usec = now_usec; /* there was none: what follows is timed from the asking */
        if (forecast) {
                ret->decision.id = 0;
                if (verdict.kind != DECISION_DENY)
                        preview(vm, ret);
                return 0;
        }
        vm_carry(vm, &ret->decision, now_usec); /* it may be over already */
        return 0;
}

void vm_operator_hold(Vm *vm, uint64_t until_usec) {
        assert(vm);

        vm->hold_until_usec = until_usec;
}

void vm_operator_resume(Vm *vm) {
        assert(vm);

        vm->hold_until_usec = 0;
        vm->rival.n_yields = 0;
        vm->rival.yield_until_usec = 0;
}
