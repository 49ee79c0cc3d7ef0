/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the life of a port (port.c) and its bytes (port-io.c) have in common. No other file includes this. */

#include "agent/host/port.h"
#include "common/log.h"
#include "common/units.h"
#include "proto/frame.h"

struct Port {
        const RootDir *root;
        char *path;
        const PortHandlers *handlers;
        void *userdata;

        sd_event *event;
        sd_event_source *io, *timer;
        int fd;
        bool socket;
        PortState state;
        LogLimit log_limit; /* a host can come and go as often as it likes */
        int last_error;     /* of the last attempt to open, so that a change is logged and a state is not */
        uint64_t backoff_usec;

        uint64_t tick_usec; /* start of the present budget tick */
        size_t tick_bytes;
        bool throttled;

        uint8_t pending[FRAME_ENCODED_MAX];
        size_t pending_size, pending_done;
        bool resting; /* the kernel had no room for the rest: tried again by the timer */
};

/* The one timer: what it is for hangs on the state. */
void port_arm(Port *port, uint64_t delay_usec);

/* Tells epoll what shall wake us in the present state. */
void port_watch(Port *port);

/* The descriptor is of no use any more. */
void port_lose(Port *port, int error);

/* The host side has closed; the descriptor stays good. */
void port_hang_up(Port *port);

uint64_t port_now(const Port *port);

/* Returns what poll(2) says now of the descriptor. */
short port_poll(const Port *port);

void port_forget_output(Port *port);

/* Writes what is pending. Returns true if the port is still up. */
bool port_flush(Port *port);

/* One read, within the budget. */
void port_read(Port *port);
