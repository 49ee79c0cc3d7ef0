/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The events of one connection to libvirt, from a thread of the module to whoever listens. For libvirt-module.c alone. */

#include <libvirt/libvirt.h>

#include "host-bridge/vmm/libvirt-api.h"

#define LIBVIRT_EVENTS_MAX 16U

typedef struct LibvirtSink LibvirtSink;

typedef struct LibvirtEvents {
        LibvirtSink *sink; /* NULL: nothing was made */
        int callbacks[LIBVIRT_EVENTS_MAX];
        unsigned n_callbacks;
} LibvirtEvents;

/* events is zeroed before. Returns 0 or -ENOMEM. */
int libvirt_events_init(LibvirtEvents *events, LibvirtEventHandler handler, void *userdata);
void libvirt_events_done(LibvirtEvents *events);

/* One that an older libvirtd does not know is done without: events are hints, the slow round reads all. */
void libvirt_events_subscribe(LibvirtEvents *events, virConnectPtr connection);
void libvirt_events_unsubscribe(LibvirtEvents *events, virConnectPtr connection);

/* No event is delivered any more on return. */
void libvirt_events_silence(LibvirtEvents *events);
