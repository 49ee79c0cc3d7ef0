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

static void allow_dimms(Vm *vm, MemoryModel *model) {
        /* Where they do not fit each other vm-lacks.c says so. */
        (void) memory_model_allow_dimms(model, vm->policy.dimm_bytes, vm->guest_block_bytes);
        if (vm->stuck_dimms != 0 && clock_monotonic_usec() >= vm->stuck_until_usec)
                vm->stuck_dimms = 0;
        for (unsigned i = 0; i < MEMORY_MODEL_DIMMS_MAX; i++)
                model->dimm[i].stuck = (vm->stuck_dimms & (1U << i)) != 0;
}

int vm_keep_model(Vm *vm, MemoryModel *model) {
        int r;

        allow_dimms(vm, model);
        r = sparse_set(&vm->model, model, sizeof(*model));
        if (r <= 0)
                return r;
        vm->sizes = (ModelSizes){
                .known = model->known,
                .boot_bytes = model->boot_bytes,
                .size_bytes = memory_model_size_bytes(model),
                .committed_bytes = memory_model_committed_bytes(model),
                .balloon_bytes = memory_model_balloon_bytes(model),
                .ceiling_bytes = memory_model_ceiling_bytes(model),
                .floor_bytes = memory_model_floor_bytes(model),
                .grow_block_bytes = memory_model_grow_block_bytes(model),
                .shrink_block_bytes = memory_model_shrink_block_bytes(model),
                .grows_by_dimm = memory_model_grows_by_dimm(model),
                .dimm_unit_bytes = model->dimm_unit_bytes,
        };
        return 0;
}

void vm_forget_model(Vm *vm) {
        vm->model = sparse_free(vm->model);
        vm->sizes = (ModelSizes){};
}

void vm_allow_dimms(Vm *vm) {
        MemoryModel model = vm_model(vm);

        if (vm->model)
                (void) vm_keep_model(vm, &model); /* out of memory: with the next reading */
}

void vm_note_stuck_dimm(Vm *vm, unsigned number) {
        vm->stuck_dimms |= 1U << number;
        vm->stuck_until_usec = u64_add(clock_monotonic_usec(), STUCK_USEC);
        vm_allow_dimms(vm);
}

int vm_send_range(Vm *vm, MessageType type, uint64_t id, const Dimm *dimm, uint64_t life_usec) {
        Message message = {
                .type = type,
                .range =
                        {
                                .id = id,
                                .deadline_usec =
                                        session_guest_usec(vm->session,
                                                           u64_add(clock_monotonic_usec(), life_usec)),
                                .address = dimm->address,
                                .bytes = dimm->size_bytes,
                        },
        };

        return session_send(vm->session, &message);
}

void vm_return_dimms(Vm *vm) {
        MemoryModel model;

        if (!vm->dimms_due || !vm_is_managed(vm) || !vm->monitor_up || !vm->sizes.known || !vm->session ||
            !session_is_open(vm->session) || vm->resize)
                return;

        model = vm_model(vm);
        vm->dimms_due = false;
        for (unsigned i = 0; i < MEMORY_MODEL_DIMMS_MAX; i++)
                if (model.dimm[i].size_bytes > 0)
                        (void) vm_send_range(vm, MESSAGE_ONLINE_RANGE, vm->env->next_id(vm->env->userdata),
                                             &model.dimm[i], ANSWER_USEC);
}
