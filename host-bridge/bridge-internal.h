/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The parts of one object: bridge.c (life), bridge-vms.c (which VMs there are), bridge-snapshot.c (who looks) and
 * bridge-control.c (what operators ask for).
 */

#include <time.h>
#include <uthash.h>

#include "host-bridge/arbitration.h"
#include "host-bridge/bridge.h"
#include "host-bridge/guests/discovery.h"
#include "host-bridge/guests/domains.h"
#include "host-bridge/guests/vm.h"
#include "host-bridge/rounds.h"

typedef struct VmEntry {
        Vm *vm; /* its name is the key */
        /* A hash of its channel and its hypervisor as they are in use: another place is another VM. */
        uint64_t place;
        uint64_t delivery; /* in which it was there last */
        UT_hash_handle hh;
} VmEntry;

struct Bridge {
        VmEnv env;
        Ledger ledger;
        Record *record;
        Discovery *discovery;
        Domains *domains; /* NULL: libvirt is not spoken to */
        Rounds *rounds;
        Arbitration *arbitration;
        const RootDir *root;
        bool adopt;
        FdStore *fd_store;
        uint64_t
                settle_usec; /* when what nobody has claimed in it is given up; USEC_INFINITY: that is done */
        char *runtime_dir;
        Leases *leases;
        bool forgetting;      /* of the code that starting took */
        unsigned n_forgotten; /* objects */
        bool loose;           /* VMs have come or gone: what that took is to be let go of, once they are up */
        VmEntry *vms;         /* hash by name */
        uint64_t n_deliveries, n_changes; /* of VMs: come, gone, put in order */
        bool unsorted;                    /* VMs have come since they were in the order of names */
        BridgeVmHandler vm_handler;       /* or NULL */
        void *vm_userdata;
        /* where the last snapshot was taken: a walk by index is a walk along the list. NULL: nowhere */
        VmEntry *walked;
        size_t walked_index;
        SnapshotSource snapshots;
        Control control;
};

/* Host monotonic, of the loop. */
static inline uint64_t bridge_now(const Bridge *bridge) {
        uint64_t now_usec;

        (void) sd_event_now(bridge->env.event, CLOCK_MONOTONIC, &now_usec);
        return now_usec;
}

/* NULL: there is none. */
VmEntry *bridge_find(const Bridge *bridge, const char *name);

/* A VM is new: what operators asked for in an earlier run of the bridge. */
void bridge_restore(const Bridge *bridge, VmEntry *entry);

/* A delivery of discovery: VMs come, change and go. */
void bridge_take_vm(DiscoveryStep step, const DiscoveredVm *vm, void *userdata);

/* Visits every VM; userdata is the bridge. */
void bridge_walk_vms(ArbitrationVisit visit, void *visit_userdata, void *userdata);

/* The end: all of them. */
void bridge_drop_vms(Bridge *bridge);

void bridge_fill_snapshots(Bridge *bridge);
void bridge_fill_control(Bridge *bridge);
