/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The parts of one object: libvirt.c (the connection, calls, events) and libvirt-domains.c (which domains there are). */

#include <uthash.h>

#include "host-bridge/vmm/libvirt.h"

typedef struct LibvirtEntry {
        LibvirtDomain domain;
        Libvirt *libvirt;
        LibvirtCall *call; /* reads it */
        bool known;        /* domain has been read */
        bool stale;        /* and is to be read again */
        bool listed;       /* in the list under way */
        UT_hash_handle hh;
} LibvirtEntry;

struct Libvirt {
        LibvirtOptions options;
        WorkerPool *pool;
        LibvirtLine *line;
        sd_event_source *news, *timer, *settle;
        bool told_lost;
        uint64_t retry_usec;
        unsigned n_stuck; /* over the current connection */
        LibvirtCall *opening, *listing;
        bool list_again;
        LibvirtEntry *entries; /* hash by UUID */
        LibvirtListener *listeners;
        LibvirtHandler handler;
        void *userdata;
};

/* Arms a timer, usec from now. */
void libvirt_arm(sd_event_source *source, uint64_t usec);

/* To the listeners of one domain, or to all where its uuid is empty. */
void libvirt_tell(Libvirt *libvirt, const LibvirtEvent *event);

/* Looks which domains run, and reads those that are new or stale. */
void libvirt_list(Libvirt *libvirt);

/* The domain is to be read again by the next look. */
void libvirt_mark_stale(Libvirt *libvirt, const char *uuid);

/* Everything may have changed: all are looked at, and all listeners are told. */
void libvirt_read_all(Libvirt *libvirt);

/* Hands over the domains; a timer's handler. */
int libvirt_deliver(sd_event_source *source, uint64_t usec, void *userdata);

void libvirt_drop_entries(Libvirt *libvirt);
