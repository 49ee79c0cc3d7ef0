/* SPDX-License-Identifier: Apache-2.0 */

/*
 * DIMMs of one VM: what policy and guest allow, and what was left half done. A bridge that ends between the guest's
 * "it is offline" and the pull leaves memory that nobody uses: the guest keeps it so, also over a restart of its agent,
 * until it is told. So each new session hears of every DIMM of ours that is plugged.
 */

#include "host-bridge/guests/vm-internal.h"

#define ANSWER_USEC (5 * USEC_PER_SEC)

/* A DIMM that the guest could not put offline: what is pinned there may go, but not soon. */
#define STUCK_USEC (600 * USEC_PER_SEC)

void vm_allow_dimms(Vm *vm) {
        /* Where they do not fit each other vm-lacks.c says so. */
        (void) memory_model_allow_dimms(&vm->model, vm->policy.dimm_bytes, vm->hello.block_size_bytes);
        if (vm->stuck_dimms != 0 && vm_now() >= vm->stuck_until_usec)
                vm->stuck_dimms = 0;
        for (unsigned i = 0; i < MEMORY_MODEL_DIMMS_MAX; i++)
                vm->model.dimm[i].stuck = (vm->stuck_dimms & (1U << i)) != 0;
}

void vm_note_stuck_dimm(Vm *vm, unsigned number) {
        vm->stuck_dimms |= 1U << number;
        vm->stuck_until_usec = u64_add(vm_now(), STUCK_USEC);
        vm_allow_dimms(vm);
}

int vm_send_range(Vm *vm, MessageType type, uint64_t id, const Dimm *dimm, uint64_t life_usec) {
        Message message = {
                .type = type,
                .range =
                        {
                                .id = id,
                                .deadline_usec =
                                        session_guest_usec(vm->session, u64_add(vm_now(), life_usec)),
                                .address = dimm->address,
                                .bytes = dimm->size_bytes,
                        },
        };

        return session_send(vm->session, &message);
}

void vm_return_dimms(Vm *vm) {
        if (!vm->dimms_due || !vm_is_managed(vm) || !vm->monitor_up || !vm->model.known || !vm->session ||
            !session_is_open(vm->session) || vm->resize)
                return;

        vm->dimms_due = false;
        for (unsigned i = 0; i < MEMORY_MODEL_DIMMS_MAX; i++)
                if (vm->model.dimm[i].size_bytes > 0)
                        (void) vm_send_range(vm, MESSAGE_ONLINE_RANGE, vm->env->next_id(vm->env->userdata),
                                             &vm->model.dimm[i], ANSWER_USEC);
}
