/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One D-Bus object served peer to peer on a Unix socket: no bus daemon is needed. */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "common/macro.h"

typedef struct BusServer BusServer;

/* Everything is borrowed for the server's life. */
typedef struct BusObject {
        const char *path, *interface;
        const sd_bus_vtable *vtable;
        void *userdata; /* of the vtable's functions */
        int (*extend)(sd_bus *bus,
                      void *userdata); /* more of it, for that connection's life; NULL: nothing */
} BusObject;

/*
 * Listens on socket_path (mode 0600). A socket that nobody serves any more is replaced.
 * Returns 0, -EADDRINUSE if somebody does, or -errno.
 */
int bus_server_new(sd_event *event, const char *socket_path, const BusObject *object, BusServer **ret);

/* Closes every connection and removes the socket. */
BusServer *bus_server_free(BusServer *server);
DEFINE_CLEANUP_FUNC(BusServer, bus_server_free)

/* Calls visit for the connection of every client that reads. */
void bus_server_visit(BusServer *server, void (*visit)(sd_bus *bus, const void *what), const void *what);

/* Emits a signal of the object to every client; values as those of sd_bus_message_append(). Allocates per client. */
void bus_server_emit(BusServer *server, const char *member, const char *types, ...);
