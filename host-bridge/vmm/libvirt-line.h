/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The connection to libvirtd as the workers use it: calls take the one that is current when they begin, and the last
 * who uses one that is not current any more closes it. Nothing here blocks but a call, in its worker.
 */

#include <stddef.h>

#include "host-bridge/vmm/libvirt-api.h"
#include "host-bridge/vmm/worker-pool.h"

typedef struct LibvirtLine LibvirtLine;

typedef enum LibvirtVerb {
        LIBVIRT_OPEN,           /* uri -> opened, which is not current yet */
        LIBVIRT_LIST,           /* -> uuids, n_uuids */
        LIBVIRT_READ,           /* uuid -> domain */
        LIBVIRT_SET_BALLOON,    /* uuid, bytes */
        LIBVIRT_SET_VIRTIO_MEM, /* uuid, device, bytes */
        LIBVIRT_PLUG_DIMM,      /* uuid, dimm, bytes */
        LIBVIRT_PULL_DIMM,      /* uuid, dimm */
        LIBVIRT_VERB_MAX,
} LibvirtVerb;

typedef struct LibvirtOpened LibvirtOpened; /* a connection and who uses it */

typedef struct LibvirtCall {
        PoolJob job; /* first */
        LibvirtLine *line;
        LibvirtVerb verb;
        /* in */
        char *uri; /* LIBVIRT_OPEN; the call's */
        char uuid[LIBVIRT_UUID_MAX], device[MEMORY_MODEL_ID_MAX];
        unsigned dimm; /* its number */
        uint64_t bytes;
        uint64_t id; /* the caller's */
        /* out */
        int r;
        char error[LIBVIRT_TEXT_MAX];
        LibvirtOpened *opened;
        char (*uuids)[LIBVIRT_UUID_MAX];
        size_t n_uuids;
        LibvirtDomain domain;
        uint64_t serial; /* of the connection that was used; see libvirt_line_serial_of() */
} LibvirtCall;

/* An event, or that some were lost. */
typedef struct LibvirtNews {
        LibvirtEvent event;
        bool lost; /* there were too many: everything may have changed */
} LibvirtNews;

/* fd becomes readable when there are news. Both are the line's; api lives for ever. */
int libvirt_line_new(const LibvirtApi *api, LibvirtLine **ret, int *ret_fd);

/* Calls that run still end by themselves. */
LibvirtLine *libvirt_line_free(LibvirtLine *line);
DEFINE_CLEANUP_FUNC(LibvirtLine, libvirt_line_free)

/* Takes the oldest news of the current connection; others' are dropped. Returns false if there are none. */
bool libvirt_line_take_news(LibvirtLine *line, LibvirtNews *ret);

/* Makes opened (NULL: none) the current one, and the line's. */
void libvirt_line_use(LibvirtLine *line, LibvirtOpened *opened);

/* 0: there is none. */
uint64_t libvirt_line_serial(LibvirtLine *line);

/* Of the connection that call uses, also while it runs. 0: none. */
uint64_t libvirt_line_serial_of(LibvirtLine *line, const LibvirtCall *call);

/* done is PoolJob's. Returns NULL without memory. It frees its uuids, and closes an opened one that nobody took. */
LibvirtCall *libvirt_call_new(LibvirtLine *line, LibvirtVerb verb, const char *uuid,
                              void (*done)(PoolJob *job, PoolOutcome outcome, void *owner));

/* Of one that was not submitted. NULL is allowed. */
void libvirt_call_free(LibvirtCall *call);
