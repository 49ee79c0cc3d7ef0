/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One guest as the bridge knows it: what its hypervisor says, what its agent says, its policy, and the
 * resize that is open. It judges itself on every report and alarm, and carries out what the pure core decides.
 */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/macro.h"
#include "common/rootdir.h"
#include "host-bridge/guests/ledger.h"
#include "host-bridge/guests/session.h"
#include "host-bridge/lease.h"
#include "host-bridge/policy/arbiter.h"
#include "host-bridge/policy/resize.h"
#include "host-bridge/policy/trust.h"
#include "host-bridge/surfaces/control.h"
#include "host-bridge/surfaces/snapshot.h"
#include "host-bridge/vmm/vmm.h"

typedef struct Vm Vm;

typedef struct VmPolicy {
        VmMode mode;
        bool controlled; /* Max= is given; without it the VM is observed */
        bool has_min;
        uint64_t min_bytes;  /* without has_min: the smaller of boot RAM and the smallest size seen */
        uint64_t max_bytes;  /* UINT64_MAX: as far as its devices reach */
        uint64_t dimm_bytes; /* the size of a DIMM that may be plugged; 0: hands off DIMMs */
        VmClass vm_class;
        uint64_t shares; /* 0: SHARES_DEFAULT */
} VmPolicy;

/* What all VMs of a bridge share; lives as long as they do. */
typedef struct VmEnv {
        sd_event *event;
        ArbiterConfig arbiter; /* its budget is the ledger's */
        ResizeConfig resize;
        SessionOptions session;
        Ledger *ledger;
        /* A hand on the hypervisor at address, for the VM name. Returns 0 or -errno. */
        int (*open_vmm)(const VmmAddress *address, const char *name, VmmOwner owner, void *userdata,
                        Vmm **ret);
        /*
         * A connection to the channel of name at path that was kept over a restart, as fd_store_take_channel(), and a new
         * one to keep. NULL: nobody keeps any.
         */
        int (*take_channel)(const char *name, const char *path, void *userdata);
        void (*keep_channel)(const char *name, int fd, void *userdata);
        /* A fresh decision id, and a place for decisions: new, or the same one changed. */
        uint64_t (*next_id)(void *userdata);
        void (*record)(const Decision *decision, void *userdata);
        /* A VM wants what only a round can say, or has given something: one is due soon. NULL: there are none. */
        void (*want_round)(void *userdata);
        void *userdata;

        Leases *leases; /* NULL: no other bridge is looked for */
        const char *runtime_dir;
        bool lease_told; /* that leases is of no use */

        const RootDir *root;             /* NULL: the hypervisors' cgroups are not looked at */
        uint64_t pressure_limit_percent; /* of theirs and of the host; UINT64_MAX: nobody looks */
        bool cgroups_told;               /* that one could not be read: named once */

        RoundFindings round;   /* of the last one */
        bool pressed;          /* the host stalls on memory */
        uint64_t donated_usec; /* when a VM last gave for another that waited */
} VmEnv;

/* name is valid (vm_name_is_valid()). channel_path may be NULL: none. Returns 0 or -errno. */
int vm_new(VmEnv *env, const char *name, const VmPolicy *policy, const char *channel_path,
           const VmmAddress *address, Vm **ret);
Vm *vm_free(Vm *vm);
DEFINE_CLEANUP_FUNC(Vm, vm_free)

const char *vm_name(const Vm *vm);
void vm_set_policy(Vm *vm, const VmPolicy *policy);

/* The configuration is another: what was counted by the times of the old one is counted anew. */
void vm_reconfigured(Vm *vm);

/* What an operator asks for; the results of resizing are those of control.h. */
int vm_operator_resize(Vm *vm, uint64_t target_bytes, bool forecast, ControlPlan *ret);
/* Nothing is decided by the bridge itself until then, host monotonic; USEC_INFINITY: until it is resumed. */
void vm_operator_hold(Vm *vm, uint64_t until_usec);
void vm_operator_resume(Vm *vm);

/* The slow round: what has no event of its own. */
void vm_tick(Vm *vm, uint64_t now_usec);

/*
 * A round: vm_round_see() what it needs to know of the VM, vm_round_take() what it found, and then, those first who come
 * first, vm_round_judge().
 */
void vm_round_see(Vm *vm, uint64_t now_usec, RoundVm *ret);
void vm_round_take(Vm *vm, const RoundVm *found, uint64_t now_usec);
void vm_round_judge(Vm *vm, uint64_t now_usec);

void vm_snapshot(const Vm *vm, uint64_t now_usec, VmSnapshot *ret);
