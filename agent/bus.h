/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What this guest's own people can ask and hear: org.memtide.Agent1 by sd-bus, peer to peer on a Unix socket (no bus
 * daemon is needed) and on the system bus where there is one. Read-only.
 *
 *  object /org/memtide/Agent1
 *  GetStatus() -> a{sv}               the keys are those of status.c
 *  ListEvents(u most) -> aa{sv}       newest first: realtime_usec, what, bytes, id, times, reason
 *  signal ShrinkPrepare(t bytes, t id)   the host will take this much, the guest frees it now
 *  signal Grown(t bytes, t id)           this much has become usable
 *  signal LowMemory(y level, t bytes)    urgency rose to 50 low, 100 high, 255 critical; what the guest needs
 * On the system bus also org.freedesktop.LowMemoryMonitor, unless another program is that.
 */

#include <stdint.h>
#include <systemd/sd-event.h>

#include "agent/history.h"
#include "agent/status.h"
#include "common/macro.h"
#include "common/rootdir.h"

typedef struct Bus Bus;

typedef struct BusSource {
        void (*status)(Status *ret, void *userdata);
        const History *history; /* borrowed */
} BusSource;

/* Below root: the agent's own socket (its folder is made), and the bus daemon's. */
#define BUS_SOCKET        "run/memtide/agent.sock"
#define BUS_SYSTEM_SOCKET "run/dbus/system_bus_socket"

/*
 * Serves and looks for the system bus from now on. source is borrowed. Where one of the two ways cannot be had,
 * *ret_socket_error says why (negative errno, else 0) and the other one works. Returns 0 or -errno.
 */
int bus_new(sd_event *event, const RootDir *root, const BusSource *source, void *userdata, Bus **ret,
            int *ret_socket_error);
Bus *bus_free(Bus *bus);
DEFINE_CLEANUP_FUNC(Bus, bus_free)

/*
 * Each notes what is to be told; it is told when nothing else is to be done. Allocates nothing here, nor later when
 * nobody listens. Of two that nobody could be told yet, the latest wins.
 */
void bus_shrink_prepare(Bus *bus, uint64_t bytes, uint64_t id);
void bus_grown(Bus *bus, uint64_t bytes, uint64_t id);
void bus_low_memory(Bus *bus, Urgency urgency, uint64_t need_bytes);
