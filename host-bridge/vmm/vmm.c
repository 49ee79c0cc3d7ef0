/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What every hand does with its owner. He may free it inside the handler, also while an outer call tells him something:
 * each level has a flag of its own on the stack, and passes the news up. Rejected: a count of references, which would let a
 * hand that its owner has let go of live on and speak.
 */

#include "host-bridge/vmm/vmm.h"

bool vmm_tell(Vmm *vmm, const VmmEvent *event) {
        bool freed = false, *outer = vmm->freed;

        vmm->freed = &freed;
        vmm->handler(vmm, event, vmm->userdata);
        if (!freed)
                vmm->freed = outer;
        else if (outer)
                *outer = true;
        return !freed;
}

bool vmm_tell_run_state(Vmm *vmm, bool running) {
        if (vmm->state_told && vmm->running == running)
                return true;
        vmm->state_told = true;
        vmm->running = running;
        return vmm_tell(vmm, &(VmmEvent){.kind = running ? VMM_RUNNING : VMM_PAUSED});
}

bool vmm_tell_lost(Vmm *vmm, const char *why) {
        vmm->state_told = false;
        if (vmm->lost_told)
                return true;
        vmm->lost_told = true;
        return vmm_tell(vmm, &(VmmEvent){.kind = VMM_LOST, .text = why});
}

bool vmm_tell_connected(Vmm *vmm) {
        vmm->lost_told = false;
        return vmm_tell(vmm, &(VmmEvent){.kind = VMM_CONNECTED});
}
