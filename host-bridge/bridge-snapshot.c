/* SPDX-License-Identifier: Apache-2.0 */

/* The bridge and its VMs as plain values, for whoever looks. */

#include <assert.h>

#include "host-bridge/bridge-internal.h"

static void snapshot_bridge(void *userdata, BridgeSnapshot *ret) {
        const Bridge *bridge = userdata;

        *ret = (BridgeSnapshot){
                .budget_bytes = bridge->ledger.budget_bytes,
                .committed_bytes = bridge->ledger.committed_bytes,
                .pool_bytes = bridge->env.round.pool_target_bytes,
                .pool_level = bridge->env.round.level,
                .n_waiting = bridge->env.round.n_waiting,
                .pressed = bridge->env.pressed,
                .n_vms = HASH_COUNT(bridge->vms),
                .n_changes = bridge->n_changes,
                .now_usec = bridge_now(bridge),
                .version = MEMTIDE_VERSION,
        };
}

static bool snapshot_vm_at(void *userdata, size_t index, VmSnapshot *ret) {
        Bridge *bridge = userdata;
        bool onward = bridge->walked && index >= bridge->walked_index;
        VmEntry *entry = onward ? bridge->walked : bridge->vms;

        for (size_t i = onward ? bridge->walked_index : 0; entry && i < index; i++)
                entry = entry->hh.next;
        if (!entry)
                return false;
        bridge->walked = entry;
        bridge->walked_index = index;
        vm_snapshot(entry->vm, bridge_now(bridge), ret);
        return true;
}

static bool snapshot_vm_named(void *userdata, const char *name, VmSnapshot *ret) {
        const Bridge *bridge = userdata;
        const VmEntry *entry = bridge_find(bridge, name);

        if (!entry)
                return false;
        vm_snapshot(entry->vm, bridge_now(bridge), ret);
        return true;
}

void bridge_fill_snapshots(Bridge *bridge) {
        bridge->snapshots = (SnapshotSource){
                .userdata = bridge,
                .bridge = snapshot_bridge,
                .vm_at = snapshot_vm_at,
                .vm_named = snapshot_vm_named,
        };
}

const SnapshotSource *bridge_snapshots(const Bridge *bridge) {
        assert(bridge);

        return &bridge->snapshots;
}
