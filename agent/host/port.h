/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The way to the host as a byte stream that comes and goes: a virtio-serial port, or a Unix socket in
 * its place. Bytes only; what they mean is the session's business.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/macro.h"
#include "common/rootdir.h"

typedef enum PortState {
        PORT_ABSENT, /* no port, or somebody else has it: looked for by a timer */
        PORT_AWAY,   /* open, and nobody on the host side */
        PORT_UP,     /* both sides are there */
        PORT_STATE_MAX,
} PortState;

typedef struct Port Port;

/*
 * Each is called as the last act of a handler of the loop; up() also by port_start(), down() also by port_send(). The
 * port may not be freed inside.
 */
typedef struct PortHandlers {
        void (*up)(void *userdata);   /* a new connection: nothing of the one before holds */
        void (*down)(void *userdata); /* the connection is over; bytes not yet taken are gone */
        void (*received)(const uint8_t *data, size_t size, void *userdata);
        void (*writable)(void *userdata); /* port_send() will take a frame again */
} PortHandlers;

/*
 * path: see port_find(). Does nothing yet: port_start() does. root and handlers are borrowed for the
 * port's life, path is copied. Returns 0 or -errno.
 */
int port_new(sd_event *event, const RootDir *root, const char *path, const PortHandlers *handlers,
             void *userdata, Port **ret);
Port *port_free(Port *port);
DEFINE_CLEANUP_FUNC(Port, port_free)

/*
 * Makes the first attempt, and arms the later ones whatever its result. May call up().
 * Returns 0, -ENOENT if this machine has no such port, or -errno of the attempt.
 */
int port_start(Port *port);

PortState port_state(const Port *port);

/*
 * Writes a frame of at most FRAME_ENCODED_MAX bytes; what the kernel does not take at once is kept and
 * sent when it can be. Never blocks.
 * Returns 0, -EBUSY while an earlier frame is still kept (writable() will be called), or -ENOTCONN.
 */
int port_send(Port *port, const uint8_t *frame, size_t size);

/* True if port_send() takes a frame now. */
bool port_can_send(const Port *port);

/* The peer has proved that it speaks: the next reconnect need not wait long. */
void port_settled(Port *port);
