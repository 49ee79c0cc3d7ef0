/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The owner: all VMs, the budget over them, the record, and the rounds. */

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "common/macro.h"
#include "common/rootdir.h"
#include "host-bridge/bridge-config.h"
#include "host-bridge/fd-store.h"
#include "host-bridge/surfaces/control.h"
#include "host-bridge/surfaces/record.h"
#include "host-bridge/surfaces/snapshot.h"

typedef struct Bridge Bridge;

typedef struct BridgeOptions {
        const RootDir *root;     /* the host; lives as long as the bridge */
        const char *runtime_dir; /* a real path; discovery folder is vms/ below it; both must exist */
        const char *lease_dir;   /* a real path, that other bridges of the host use too */
        const char *policy_dir;  /* vm.d, below root */
        bool adopt;
        FdStore *fd_store; /* borrowed, and lives as long as the bridge */
        BridgeConfig config;
} BridgeOptions;

/* Returns 0, -EINVAL for an error in vm.d (logged), or -errno. */
int bridge_new(sd_event *event, const BridgeOptions *options, Bridge **ret);
Bridge *bridge_free(Bridge *bridge);
DEFINE_CLEANUP_FUNC(Bridge, bridge_free)

/*
 * Reads vm.d again and takes over config, but for its fixed keys. Returns 0, or -errno (-EINVAL: vm.d has an error, logged)
 * with everything as it was.
 */
int bridge_reload(Bridge *bridge, const BridgeConfig *config);

/* Called when a VM has come, and before it goes. NULL: nobody is told any more. */
typedef void (*BridgeVmHandler)(const char *vm, bool there, void *userdata);
void bridge_watch_vms(Bridge *bridge, BridgeVmHandler handler, void *userdata);

/* For the surfaces; all live as long as the bridge. */
const SnapshotSource *bridge_snapshots(const Bridge *bridge);
Record *bridge_record(const Bridge *bridge);
const Control *bridge_control(const Bridge *bridge);
