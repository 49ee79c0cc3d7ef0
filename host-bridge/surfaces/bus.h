/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * org.memtide.Bridge1 by sd-bus, served peer to peer on a Unix socket: no bus daemon is needed.
 *
 *  object /org/memtide/Bridge1
 *  GetBridge() -> a{sv}                       budget, what is committed, version
 *  ListVms() -> aa{sv}                        every VM, in the order of names
 *  GetVm(s name) -> a{sv}                     one; error org.memtide.Error.NoSuchVm
 *  ListDecisions(s vm, u most) -> aa{sv}      of this run, newest first; "" means of all VMs
 *  ListHistory(s vm, u most) -> aa{sv}        the same from the audit; error org.memtide.Error.NoHistory
 *  ListConfig() -> aa{sv}                     section, key, value; file and line where it is not the default
 *  Diagnose(s vm) -> aa{sv}                   what a VM lacks, and the fix of each; "" means all VMs
 *  PlanResize(s vm, t bytes) -> a{sv} aa{sv}  what Resize would decide, and the steps that it would take
 *  Resize(s vm, t bytes) -> a{sv}             begins it; errors NoSuchVm, Busy, NotReady
 *  Hold(s vm, t usec)                         no decision of the bridge's own meanwhile; UINT64_MAX: until Resume
 *  Resume(s vm)                               ends a hold, and a yield to somebody else
 *  signal DecisionChanged(t id, s vm, s kind, s rule, s result)  as it is made and as it is closed
 * Each VM is an object too: see bus-vms.h.
 * The keys of the dictionaries are those of fields.c. Resize, Hold and Resume are for root and the bridge's own user.
 */

#include <systemd/sd-event.h>

#include "common/config.h"
#include "common/macro.h"
#include "host-bridge/surfaces/audit.h"
#include "host-bridge/surfaces/control.h"
#include "host-bridge/surfaces/record.h"
#include "host-bridge/surfaces/snapshot.h"

#define BUS_OBJECT_PATH      "/org/memtide/Bridge1"
#define BUS_INTERFACE        "org.memtide.Bridge1"
#define BUS_ERROR_NO_VM      "org.memtide.Error.NoSuchVm"
#define BUS_ERROR_NO_HISTORY "org.memtide.Error.NoHistory"
#define BUS_ERROR_BUSY       "org.memtide.Error.Busy"
#define BUS_ERROR_NOT_READY  "org.memtide.Error.NotReady"

/* Most decisions in one answer. */
#define BUS_DECISIONS_MAX 256U

typedef struct Bus Bus;

/*
 * Listens on socket_path (mode 0600; a stale socket is replaced). source and record are borrowed and must outlive
 * the Bus. Returns 0 or -errno.
 */
int bus_new(sd_event *event, const char *socket_path, const SnapshotSource *source, const Record *record,
            Bus **ret);

/* The configuration in force, with the origin of each value. */
typedef struct ConfigView {
        const ConfigTable *table; /* NULL: none is shown */
        const void *config;
        const ConfigOrigin *origins;
} ConfigView;

/* What ListHistory and ListConfig show, borrowed. audit: NULL for none; it must be freed before the Bus. */
void bus_set_views(Bus *bus, Audit *audit, const ConfigView *config);

/* What Resize and the others do, borrowed. Without it they fail. */
void bus_set_control(Bus *bus, const Control *control);

/*
 * The same object on the system bus at socket_path as well, under the name of its interface, whenever there is a bus. Its
 * policy (org.memtide.Bridge1.conf) says who may call what. Returns 0 or -errno.
 */
int bus_join(Bus *bus, sd_event *event, const char *socket_path);

/* Tells everybody who listens. */
void bus_tell(Bus *bus, const Decision *decision);

/* A VM has come, or is about to go. */
void bus_tell_vm(Bus *bus, const char *vm, bool there);

/* Closes every connection and removes the socket. */
Bus *bus_free(Bus *bus);
DEFINE_CLEANUP_FUNC(Bus, bus_free)
