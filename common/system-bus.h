/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Objects on the system bus of this machine, each under its well-known name, where there is a bus: whenever it comes
 * and as long as it stays. Nothing here waits for it.
 */

#include <stddef.h>
#include <systemd/sd-event.h>

#include "common/bus-server.h"
#include "common/macro.h"

#define SYSTEM_BUS_OBJECTS_MAX 4U

typedef struct SystemBus SystemBus;

/*
 * Looks for the bus at socket_path, now and whenever it appears. The name that is asked for is that of the object's
 * interface; what objects point at is borrowed for the SystemBus' life. Returns 0 or -errno.
 */
int system_bus_new(sd_event *event, const char *socket_path, const BusObject *objects, size_t n_objects,
                   SystemBus **ret);
SystemBus *system_bus_free(SystemBus *bus);
DEFINE_CLEANUP_FUNC(SystemBus, system_bus_free)

/* Calls visit for the connection, if the name of the object at index is ours now. */
void system_bus_visit(SystemBus *bus, size_t index, void (*visit)(sd_bus *bus, const void *what),
                      const void *what);

/* Emits a signal of the object at index, if its name is ours now. Allocates only then. */
void system_bus_emit(SystemBus *bus, size_t index, const char *member, const char *types, ...);
