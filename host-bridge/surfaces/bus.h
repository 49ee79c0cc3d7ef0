/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * org.memtide.Bridge1 by sd-bus, served peer to peer on a Unix socket: no bus daemon is needed. Read-only.
 *
 *  object /org/memtide/Bridge1
 *  GetBridge() -> a{sv}                       budget, what is committed, version
 *  ListVms() -> aa{sv}                        every VM, in the order of names
 *  GetVm(s name) -> a{sv}                     one; error org.memtide.Error.NoSuchVm
 *  ListDecisions(s vm, u most) -> aa{sv}      newest first; "" means of all VMs
 * The keys of the dictionaries are those of fields.c.
 */

#include <systemd/sd-event.h>

#include "common/macro.h"
#include "host-bridge/surfaces/record.h"
#include "host-bridge/surfaces/snapshot.h"

#define BUS_OBJECT_PATH "/org/memtide/Bridge1"
#define BUS_INTERFACE   "org.memtide.Bridge1"
#define BUS_ERROR_NO_VM "org.memtide.Error.NoSuchVm"

/* Most decisions in one answer. */
#define BUS_DECISIONS_MAX 256U

typedef struct Bus Bus;

/*
 * Listens on socket_path (mode 0600; a stale socket is replaced). source and record are borrowed and must outlive
 * the Bus. Returns 0 or -errno.
 */
int bus_new(sd_event *event, const char *socket_path, const SnapshotSource *source, const Record *record,
            Bus **ret);

/* Closes every connection and removes the socket. */
Bus *bus_free(Bus *bus);
DEFINE_CLEANUP_FUNC(Bus, bus_free)
