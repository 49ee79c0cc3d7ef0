/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the loadable module does for the bridge: calls of libvirt, each of which blocks, and events. Values in, values
 * out. The module knows no loop, no log and no policy, so that the bridge needs no libvirt to be built, started or
 * tested, and a test's module can stand in for it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "host-bridge/policy/memory-model.h"
#include "host-bridge/vmm/vmm.h"

#define LIBVIRT_API_VERSION 2U
#define LIBVIRT_API_SYMBOL  "memtide_libvirt_api"

#define LIBVIRT_UUID_MAX   37U /* with its NUL */
#define LIBVIRT_NAME_MAX   256U
#define LIBVIRT_POLICY_MAX 1024U
#define LIBVIRT_TEXT_MAX   256U

#define LIBVIRT_PORT      "org.memtide.agent.0"
#define LIBVIRT_NAMESPACE "https://memtide.org/xmlns/policy/1"

/* Before the name of a DIMM of ours: libvirt wants it of an alias that it did not make. */
#define LIBVIRT_ALIAS_PREFIX "ua-"

typedef struct LibvirtConnection LibvirtConnection;

typedef enum LibvirtEventKind {
        LIBVIRT_CLOSED,    /* the connection is no more; uuid is empty */
        LIBVIRT_DOMAINS,   /* a domain has come or gone */
        LIBVIRT_POLICY,    /* its metadata has changed */
        LIBVIRT_SIZE,      /* memory, or a device, has changed: read it */
        LIBVIRT_DIMM_KEPT, /* the guest did not let go of a DIMM of ours */
        LIBVIRT_RESET,
        LIBVIRT_PAUSED,
        LIBVIRT_RESUMED,
        LIBVIRT_SHUTDOWN,
        LIBVIRT_EVENT_KIND_MAX,
} LibvirtEventKind;

typedef struct LibvirtEvent {
        LibvirtEventKind kind;
        char uuid[LIBVIRT_UUID_MAX];
        unsigned dimm; /* LIBVIRT_DIMM_KEPT: its number */
} LibvirtEvent;

/* Called from a thread of the module. */
typedef void (*LibvirtEventHandler)(const LibvirtEvent *event, void *userdata);

/* A running domain as its live XML and its statistics have it. */
typedef struct LibvirtDomain {
        char uuid[LIBVIRT_UUID_MAX];
        char name[LIBVIRT_NAME_MAX];
        bool has_port; /* a virtio-serial port LIBVIRT_PORT */
        char channel
                [VMM_ADDRESS_MAX]; /* the socket of it; empty: it is no Unix socket, or its path is too long */
        char policy[LIBVIRT_POLICY_MAX]; /* its metadata, written as a file of vm.d; empty: it has none */
        bool running;                    /* not paused, not shut down */
        bool busy;                       /* libvirt has a job on it: a migration, a snapshot, a dump */
        bool has_numa;                   /* libvirt then wants a node of each DIMM */
        MemoryModel model;
        unsigned n_unusable; /* virtio-mem devices that can not be addressed */
} LibvirtDomain;

/*
 * All may be called from any thread, and several at once on one connection. Each returns 0 or -errno: -ENOTCONN if the
 * connection is gone, -ENOENT if the domain is, -ENODEV if the device is, -EIO for every other error; error then has
 * libvirt's words.
 */
typedef struct LibvirtApi {
        unsigned version;
        int (*open)(const char *uri, LibvirtEventHandler handler, void *userdata, LibvirtConnection **ret,
                    char error[static LIBVIRT_TEXT_MAX]);
        /* No event is delivered any more on return. NULL is allowed. */
        void (*close)(LibvirtConnection *connection);
        /* The UUIDs of the domains that run; *ret is freed by the caller. */
        int (*list)(LibvirtConnection *connection, char (**ret)[LIBVIRT_UUID_MAX], size_t *ret_n,
                    char error[static LIBVIRT_TEXT_MAX]);
        int (*read)(LibvirtConnection *connection, const char *uuid, LibvirtDomain *ret,
                    char error[static LIBVIRT_TEXT_MAX]);
        /* value as in QMP: what is left of boot RAM and DIMMs. Rounded down to KiB. */
        int (*set_balloon)(LibvirtConnection *connection, const char *uuid, uint64_t value_bytes,
                           char error[static LIBVIRT_TEXT_MAX]);
        int (*set_virtio_mem)(LibvirtConnection *connection, const char *uuid, const char *device,
                              uint64_t requested_bytes, char error[static LIBVIRT_TEXT_MAX]);
        /* DIMM number of ours, on the first NUMA node. Well, too, if it is there in that size. */
        int (*plug_dimm)(LibvirtConnection *connection, const char *uuid, unsigned number, uint64_t bytes,
                         char error[static LIBVIRT_TEXT_MAX]);
        /* Asks the guest to let go of it, and does not wait: a reading tells, or LIBVIRT_DIMM_KEPT. */
        int (*pull_dimm)(LibvirtConnection *connection, const char *uuid, unsigned number,
                         char error[static LIBVIRT_TEXT_MAX]);
} LibvirtApi;
