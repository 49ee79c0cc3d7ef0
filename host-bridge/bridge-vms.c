/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Which VMs the bridge has: as discovery says, each a Vm that serves itself. VMs are freed here only, from discovery's
 * delivery and at the end, so that none disappears inside a handler of its own.
 */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "host-bridge/bridge-internal.h"

static const char *path_or_null(const char *path) {
        return path[0] != '\0' ? path : NULL;
}

static void drop_vm(Bridge *bridge, VmEntry *entry) {
        log_info("VM %s: no more", entry->discovered.name);
        assert(bridge->vms && entry->hh.tbl); /* it is in the table: else uthash would follow NULL */
        bridge->walked = NULL;
        fd_store_drop_channel(bridge->fd_store, entry->discovered.name);
        HASH_DEL(bridge->vms, entry);
        (void) vm_free(entry->vm);
        free(entry);
}

VmEntry *bridge_find(const Bridge *bridge, const char *name) {
        VmEntry *entry;

        HASH_FIND_STR(bridge->vms, name, entry);
        return entry;
}

static VmEntry *add_vm(Bridge *bridge, const DiscoveredVm *discovered) {
        VmEntry *entry;
        int r;

        entry = calloc(1, sizeof(*entry));
        if (!entry) {
                log_error("VM %s: out of memory", discovered->name);
                return NULL;
        }
        entry->discovered = *discovered;
        r = vm_new(&bridge->env, discovered->name, &discovered->policy, path_or_null(discovered->channel),
                   &discovered->hypervisor, &entry->vm);
        if (r < 0) {
                (void) log_error_errno(r, "VM %s: could not be taken up: %m", discovered->name);
                free(entry);
                return NULL;
        }

        HASH_ADD_STR(bridge->vms, discovered.name, entry);
        bridge_restore(bridge, entry);
        log_info("VM %s: %s%s%s", discovered->name,
                 vm_mode_to_string(discovered->policy.controlled ? discovered->policy.mode
                                                                 : VM_MODE_OBSERVED),
                 discovered->channel[0] != '\0' ? "" : ", without a channel",
                 discovered->hypervisor.origin != VMM_ORIGIN_NONE ? "" : ", without a monitor");
        return entry;
}

static void take_vm(Bridge *bridge, const DiscoveredVm *discovered) {
        VmEntry *entry = bridge_find(bridge, discovered->name);

        if (entry && (strcmp(entry->discovered.channel, discovered->channel) != 0 ||
                      !vmm_address_equal(&entry->discovered.hypervisor, &discovered->hypervisor))) {
                drop_vm(bridge, entry);
                entry = NULL;
        }
        if (!entry)
                entry = add_vm(bridge, discovered);
        if (!entry)
                return;
        entry->discovered.policy = discovered->policy;
        vm_set_policy(entry->vm, &discovered->policy);
        entry->seen = true;
}

static int compare_entries(const VmEntry *a, const VmEntry *b) {
        return strcmp(a->discovered.name, b->discovered.name);
}

void bridge_take_vms(const DiscoveredVm *vms, size_t n, void *userdata) {
        Bridge *bridge = userdata;
        VmEntry *entry, *next;

        for (entry = bridge->vms; entry; entry = entry->hh.next)
                entry->seen = false;
        for (size_t i = 0; i < n; i++)
                take_vm(bridge, &vms[i]);
        HASH_ITER (hh, bridge->vms, entry, next) {
                if (!entry->seen)
                        drop_vm(bridge, entry);
        }
        HASH_SORT(bridge->vms, compare_entries);
        bridge->walked = NULL;
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
                (void) vm_free(entry->vm);
                free(entry);
        }
}
