/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Each VM as an object of its own, below /org/memtide/Bridge1/vm, with a manager of objects at /org/memtide/Bridge1: for
 * programs that know D-Bus and not memtide. Read-only.
 *
 *  interface org.memtide.Vm1
 *  Name s, State s, SizeBytes t, CommittedBytes t, Urgency s, Fields a{sv} (as of GetVm; not in GetAll)
 */

#include <systemd/sd-bus.h>

#include "common/macro.h"
#include "host-bridge/surfaces/snapshot.h"

#define BUS_VM_PREFIX    "/org/memtide/Bridge1/vm"
#define BUS_VM_INTERFACE "org.memtide.Vm1"

typedef struct BusVms BusVms;

/* Returns 0 or -ENOMEM. */
int bus_vms_new(const SnapshotSource *source, BusVms **ret);
BusVms *bus_vms_free(BusVms *vms);
DEFINE_CLEANUP_FUNC(BusVms, bus_vms_free)

/* Serves them on that connection as long as it lives; vms is borrowed. Returns 0 or more, or -errno. */
int bus_vms_serve(BusVms *vms, sd_bus *bus);

/* VM's entry in an answer to GetManagedObjects, as sd-bus makes it. Returns 0 or more, or -errno. */
int bus_vms_append(sd_bus_message *reply, const VmSnapshot *vm);

/* InterfacesAdded once the VM is there, InterfacesRemoved while it still is. Returns 0 or more, or -errno. */
int bus_vms_tell(sd_bus *bus, const char *vm, bool there);
