/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* When all VMs are looked at together: each second, and soon after one of them wants more than it may have by itself. */

#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/macro.h"
#include "host-bridge/guests/vm.h"

typedef struct Arbitration Arbitration;

/* Calls visit with each VM, in any order. */
typedef void (*ArbitrationVisit)(Vm *vm, void *userdata);
typedef void (*ArbitrationWalk)(ArbitrationVisit visit, void *visit_userdata, void *userdata);

typedef struct ArbitrationOptions {
        VmEnv *env;          /* its findings are written here */
        uint64_t pool_bytes; /* UINT64_MAX: by the budget */
        ArbitrationWalk walk;
        void *userdata; /* of walk */
} ArbitrationOptions;

int arbitration_new(sd_event *event, const ArbitrationOptions *options, Arbitration **ret);
Arbitration *arbitration_free(Arbitration *arbitration);
DEFINE_CLEANUP_FUNC(Arbitration, arbitration_free)

/* The round of each second begins, and with it each VM's vm_tick(); on many VMs it goes on in later turns of the loop. */
void arbitration_run(Arbitration *arbitration);

/* There are more VMs, or they stand in another order: the next round is to know. */
void arbitration_renew(Arbitration *arbitration);

/* A VM is about to be freed: the round under way, if there is one, ends here and begins anew. */
void arbitration_abandon(Arbitration *arbitration);

/* A round as soon as what is pending has been dispatched, but not more often than each 50 ms. */
void arbitration_soon(Arbitration *arbitration);
