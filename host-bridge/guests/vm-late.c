/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What comes of a VM's resizes when they are over. Few have any, and for a minute: the others hold a pointer for it. Out of
 * memory nothing is awaited, and the guest's reports still tell what it has.
 */

#include <stdlib.h>

#include "host-bridge/guests/vm-internal.h"

/* As vm_note_result() does for what came in time. The bucket was given back what did not come. */
static void note(Vm *vm, const Late *late, uint64_t now_usec) {
        const Decision *decision = &late->decision;

        if (decision->kind == DECISION_SHRINK) {
                vm->last_shrink_usec = now_usec;
                if (decision->rule == RULE_SHRINK_DONOR)
                        vm->env->donated_usec = now_usec;
                return;
        }
        vm->last_grow_usec = now_usec;
        vm->n_failures = 0;
        vm->last_failure_usec = 0;
        vm_spend(vm, decision, late->fresh_bytes, now_usec);
}

static void record_due(Vm *vm, uint64_t now_usec) {
        const Late *late;

        while ((late = late_next_due(vm->late))) {
                note(vm, late, now_usec);
                vm->env->record(&late->decision, vm->env->userdata);
        }
        if (vm->late->n > 0)
                return;
        free(vm->late);
        vm->late = NULL;
}

void vm_late_begin(Vm *vm, uint64_t now_usec) {
        static const LateList none = {0};

        if (!late_concerns(vm->late ?: &none, vm->resize))
                return;
        if (vm->late) {
                late_make_room(vm->late);
                record_due(vm, now_usec);
        }
        if (!vm->late)
                vm->late = calloc(1, sizeof(*vm->late));
        if (vm->late)
                late_begin(vm->late, vm->resize, now_usec);
}

void vm_late_new_step(Vm *vm) {
        if (vm->late)
                late_new_step(vm->late);
}

void vm_late_confirm(Vm *vm, const MessageResizeConfirm *confirm, uint64_t now_usec) {
        if (!vm->late)
                return;
        if (!vm->resize || confirm->id != vm->resize_id)
                late_take(vm->late, confirm->id, confirm->step, confirm->delta_bytes, now_usec);
        else if (vm->resize->growing)
                late_take_spare(vm->late, resize_spare_bytes(vm->resize, confirm->delta_bytes), now_usec);
        record_due(vm, now_usec);
}

void vm_late_end(Vm *vm, uint64_t end_usec, uint64_t now_usec) {
        if (!vm->late)
                return;
        late_end(vm->late, end_usec);
        record_due(vm, now_usec);
}
