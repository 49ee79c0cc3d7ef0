/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Which VMs the bridge has: as discovery says, each a Vm that serves itself. VMs are freed here only, from discovery's
 * delivery and at the end, so that none disappears inside a handler of its own.
 */

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "common/log.h"
#include "host-bridge/bridge-internal.h"

static const char *path_or_null(const char *path) {
        return path[0] != '\0' ? path : NULL;
}

static void entry_free(VmEntry *entry) {
        (void) vm_free(entry->vm);
        free(entry);
}

/* The texts themselves, of which the VM's parts have copies, were a tenth of a kilobyte for each VM once more. */
static uint64_t place_of(const DiscoveredVm *discovered) {
        uint64_t hash = HASH_EMPTY ^ discovered->hypervisor.origin;

        return hash_text(hash_text(hash, discovered->hypervisor.text), discovered->channel);
}

void bridge_watch_vms(Bridge *bridge, BridgeVmHandler handler, void *userdata) {
        assert(bridge);

        bridge->vm_handler = handler;
        bridge->vm_userdata = userdata;
}

static void tell(const Bridge *bridge, const char *vm, bool there) {
        if (bridge->vm_handler)
                bridge->vm_handler(vm, there, bridge->vm_userdata);
}

static void drop_vm(Bridge *bridge, VmEntry *entry) {
        log_info("VM %s: no more", vm_name(entry->vm));
        tell(bridge, vm_name(entry->vm), false);
        assert(bridge->vms && entry->hh.tbl); /* it is in the table: else uthash would follow NULL */
        bridge->walked = NULL;
        bridge->loose = true;
        bridge->n_changes++;
        arbitration_abandon(bridge->arbitration);
        fd_store_drop_channel(bridge->fd_store, vm_name(entry->vm));
        HASH_DEL(bridge->vms, entry);
        entry_free(entry);
}

VmEntry *bridge_find(const Bridge *bridge, const char *name) {
        VmEntry *entry;

        HASH_FIND_STR(bridge->vms, name, entry);
        return entry;
}

static VmEntry *add_vm(Bridge *bridge, const DiscoveredVm *discovered) {
        const char *name;
        VmEntry *entry;
        int r;

        entry = calloc(1, sizeof(*entry));
        if (!entry) {
                log_error("VM %s: out of memory", discovered->name);
                return NULL;
        }
        entry->place = place_of(discovered);
        r = vm_new(&bridge->env, discovered->name, &discovered->policy, path_or_null(discovered->channel),
                   &discovered->hypervisor, &entry->vm);
        if (r < 0) {
                (void) log_error_errno(r, "VM %s: could not be taken up: %m", discovered->name);
                entry_free(entry);
                return NULL;
        }

        name = vm_name(entry->vm);
        HASH_ADD_KEYPTR(hh, bridge->vms, name, strlen(name), entry);
        bridge->loose = bridge->unsorted = true;
        bridge->n_changes++;
        arbitration_renew(bridge->arbitration);
        bridge_restore(bridge, entry);
        log_info("VM %s: %s%s%s", discovered->name,
                 vm_mode_to_string(discovered->policy.controlled ? discovered->policy.mode
                                                                 : VM_MODE_OBSERVED),
                 discovered->channel[0] != '\0' ? "" : ", without a channel",
                 discovered->hypervisor.origin != VMM_ORIGIN_NONE ? "" : ", without a monitor");
        tell(bridge, name, true);
        return entry;
}

static void take_vm(Bridge *bridge, const DiscoveredVm *discovered) {
        VmEntry *entry = bridge_find(bridge, discovered->name);

        if (entry && entry->place != place_of(discovered)) {
                drop_vm(bridge, entry);
                entry = NULL;
        }
        if (!entry)
                entry = add_vm(bridge, discovered);
        if (!entry)
                return;
        vm_set_policy(entry->vm, &discovered->policy);
        entry->delivery = bridge->n_deliveries;
}

static int compare_entries(const VmEntry *a, const VmEntry *b) {
        return strcmp(vm_name(a->vm), vm_name(b->vm));
}

static void end_delivery(Bridge *bridge) {
        VmEntry *entry, *next;

        HASH_ITER (hh, bridge->vms, entry, next) {
                if (entry->delivery != bridge->n_deliveries)
                        drop_vm(bridge, entry);
        }
        if (bridge->unsorted) {
                HASH_SORT(bridge->vms, compare_entries);
                bridge->n_changes++;
                arbitration_renew(bridge->arbitration);
        }
        bridge->unsorted = false;
        bridge->walked = NULL;
}

void bridge_take_vm(DiscoveryStep step, const DiscoveredVm *vm, void *userdata) {
        Bridge *bridge = userdata;

        switch (step) {

        case DISCOVERY_BEGINS:
                bridge->n_deliveries++;
                return;

        case DISCOVERY_VM:
                take_vm(bridge, vm);
                return;

        case DISCOVERY_ENDS:
                end_delivery(bridge);
                return;
        }
}

void bridge_walk_vms(ArbitrationVisit visit, void *visit_userdata, void *userdata) {
        Bridge *bridge = userdata;

        for (VmEntry *entry = bridge->vms; entry; entry = entry->hh.next)
                visit(entry->vm, visit_userdata);
}

void bridge_drop_vms(Bridge *bridge) {
        VmEntry *entry, *next;

        bridge->walked = NULL;
        HASH_ITER (hh, bridge->vms, entry, next) {
                HASH_DEL(bridge->vms, entry);
                entry_free(entry);
        }
}
