/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The way to libvirtd: one connection, kept; the domains that run; their events. Its calls block and may hang, so each
 * is a worker's (worker-pool.h), and the loop only hears of the outcome.
 */

#include <stddef.h>
#include <systemd/sd-event.h>

#include "host-bridge/vmm/libvirt-line.h"

typedef struct Libvirt Libvirt;

typedef struct LibvirtOptions {
        const LibvirtApi *api; /* lives for ever */
        const char *uri;       /* NULL: the system's libvirtd, and not a word while there is none */
        WorkerPoolOptions workers;
        uint64_t retry_min_usec; /* first wait after a loss; doubles */
        uint64_t retry_max_usec;
        uint64_t list_usec; /* between two looks at all domains: events may be lost */
} LibvirtOptions;

extern const LibvirtOptions libvirt_defaults; /* without api and uri */

/* Every domain that runs and has the port; borrowed for the call. Also called when one of them has changed. */
typedef void (*LibvirtHandler)(const LibvirtDomain *const *domains, size_t n, void *userdata);

/* The first attempt to connect is made from the event loop. Returns 0 or -errno. */
int libvirt_new(sd_event *event, const LibvirtOptions *options, LibvirtHandler handler, void *userdata,
                Libvirt **ret);
Libvirt *libvirt_free(Libvirt *libvirt);
DEFINE_CLEANUP_FUNC(Libvirt, libvirt_free)

/* Who wants to hear of one domain. The member is the listener's; it is zeroed before. */
typedef struct LibvirtListener LibvirtListener;
struct LibvirtListener {
        /* LIBVIRT_CLOSED: there is no connection any more; LIBVIRT_DOMAINS: there may be news of any kind */
        void (*handler)(LibvirtListener *listener, const LibvirtEvent *event);
        char uuid[LIBVIRT_UUID_MAX];
        LibvirtListener *next, *prev;
};
void libvirt_listen(Libvirt *libvirt, LibvirtListener *listener);
void libvirt_unlisten(Libvirt *libvirt, LibvirtListener *listener);

/* NULL without memory. See libvirt_submit(). */
LibvirtCall *libvirt_call(Libvirt *libvirt, LibvirtVerb verb, const char *uuid,
                          void (*done)(PoolJob *job, PoolOutcome outcome, void *owner));

/* A worker makes the call; done follows, from the loop. The caller tells libvirt_note() of the outcome. */
void libvirt_submit(Libvirt *libvirt, LibvirtCall *call, void *owner);

/* What an outcome says about the connection. To be called first in done. */
void libvirt_note(Libvirt *libvirt, const LibvirtCall *call, PoolOutcome outcome);

bool libvirt_is_connected(const Libvirt *libvirt);
