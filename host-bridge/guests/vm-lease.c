/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One bridge resizes a VM. The other one observes it, says who has it, and takes over when that one is gone, from what
 * the hypervisor and fresh reports then say. Where no lease can be had at all (a trial by a user who may not write there)
 * the VM is resized as before: the channel and the monitor serve one client at a time, which is a weaker lease of its own.
 */

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host-bridge/guests/vm-internal.h"
#include "host-bridge/surfaces/messages.h"

#define HELD_USEC   (10 * USEC_PER_SEC) /* its VM may be another by then */
#define DENIED_USEC USEC_PER_SEC

static bool wants_lease(const Vm *vm) {
        return vm->env->leases && vm->session && vm->policy.controlled &&
               vm->policy.mode != VM_MODE_OBSERVED && vm->policy.mode != VM_MODE_SHADOW;
}

static void set_holder(Vm *vm, const char *holder) {
        bool before = vm->leased_by != NULL;
        char *text = holder ? strdup(holder) : NULL;

        free(vm->leased_by);
        vm->leased_by = text ?: (holder ? strdup("") : NULL);
        if (before == (holder != NULL))
                return;
        if (holder) {
                log_event(LOG_WARNING, MESSAGE_ID_LEASED, &(LogField){"VM_NAME", vm->name}, 1,
                          "VM %s: it is resized by %s, and only observed here", vm->name, holder);
                vm_feed_kind(vm, RESIZE_EVENT_LOST);
        } else
                log_info("VM %s: nobody else resizes it any more", vm->name);
        vm_begin_grace(vm);
}

void vm_renew_lease(Vm *vm, uint64_t now_usec) {
        char who[LEASE_HOLDER_MAX], holder[LEASE_HOLDER_MAX];
        int r;

        if (!wants_lease(vm)) {
                lease_drop(vm->env->leases, &vm->lease);
                set_holder(vm, NULL);
                vm->lease_due_usec = u64_add(now_usec, HELD_USEC);
                return;
        }
        (void) snprintf(who, sizeof(who), "process %ld (%s, as VM %s)\n", (long) getpid(),
                        vm->env->runtime_dir ?: "?", vm->name);
        r = lease_take(vm->env->leases, &vm->lease, session_path(vm->session), who, holder);
        vm->lease_due_usec = u64_add(now_usec, r == -EBUSY ? DENIED_USEC : HELD_USEC);
        if (r == -ENOTSOCK)
                return;
        if (r < 0 && r != -EBUSY && !vm->env->lease_told) {
                vm->env->lease_told = true;
                (void) log_info_errno(
                        r, "%s is of no use: another bridge that resizes the same VM is not noticed: %m",
                        leases_folder(vm->env->leases));
        }
        set_holder(vm, r == -EBUSY ? holder : NULL);
}

/*
 * A channel that is connected is that of the VM whose lease was taken then, whatever stands at its path by now: to look at ten
 * thousand paths each ten seconds was a twenty-fifth of the bridge's CPU.
 */
void vm_keep_lease(Vm *vm, uint64_t now_usec) {
        if (vm->lease.held && vm->session && session_is_connected(vm->session))
                vm->lease_due_usec = u64_add(now_usec, HELD_USEC);
        else
                vm_renew_lease(vm, now_usec);
}

void vm_follow_lease(Vm *vm) {
        if (wants_lease(vm) != (vm->lease.held || vm->leased_by))
                vm_renew_lease(vm, clock_monotonic_usec());
}
