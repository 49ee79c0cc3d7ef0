/* SPDX-License-Identifier: Apache-2.0 */

/*
 * libvirt.so: the table of libvirt-api.h over libvirt's own C API, and never QMP through libvirt's
 * virDomainQemuMonitorCommand(), which may crash libvirtd (kernel-qemu.md 9.2).
 *
 * libvirt wants an event loop, for events and for the keepalive that ends calls into a dead libvirtd. Its own default one
 * runs in a thread of this module. Adapting sd_event to it was rejected: libvirt calls such a loop from every
 * thread that makes a call, and sd_event belongs to one.
 */

#include <errno.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <libxml/parser.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/macro.h"
#include "host-bridge/vmm/dimm-name.h"
#include "host-bridge/vmm/libvirt-domain.h"
#include "host-bridge/vmm/libvirt-events.h"

/* A libvirtd that answers nothing at all is given up after 15 s; the bridge's own deadlines are shorter. */
#define KEEPALIVE_SEC   5
#define KEEPALIVE_COUNT 3U

extern const LibvirtApi memtide_libvirt_api;

struct LibvirtConnection {
        virConnectPtr libvirt;
        LibvirtEvents events;
};

/* -- errors ---------------------------------------------------------------------------------------- */

static int code_of(int code) {
        switch (code) {

        case VIR_ERR_NO_DOMAIN:
                return -ENOENT;

        case VIR_ERR_DEVICE_MISSING:
                return -ENODEV;

        case VIR_ERR_NO_CONNECT:
        case VIR_ERR_INVALID_CONN:
        case VIR_ERR_RPC:
        case VIR_ERR_SYSTEM_ERROR:
                return -ENOTCONN;

        default: /* libvirt's, not an enum of ours */
                return -EIO;
        }
}

static int fail(char error[static LIBVIRT_TEXT_MAX]) {
        const char *text = virGetLastErrorMessage();

        (void) snprintf(error, LIBVIRT_TEXT_MAX, "%s", text ?: "unknown");
        return code_of(virGetLastErrorCode());
}

static void ignore_error(void *userdata, virErrorPtr error) {
        /* It is in the caller's hands already; libvirt would print it to stderr. */
}

/* -- the loop -------------------------------------------------------------------------------------- */

static void *run_events(void *userdata) {
        for (;;)
                if (virEventRunDefaultImpl() < 0) {
                        /* A loop that fails at once must not spin; calls then end by the bridge's deadlines alone. */
                        const struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};

                        (void) nanosleep(&pause, NULL);
                }
        return NULL;
}

static int start_result;

static void start(void) {
        sigset_t all, before;
        pthread_t thread;

        xmlInitParser();
        virSetErrorFunc(NULL, ignore_error);
        if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0) {
                start_result = -EIO;
                return;
        }
        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the bridge's loop's */
        start_result = -pthread_create(&thread, NULL, run_events, NULL);
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (start_result == 0)
                (void) pthread_detach(thread);
}

/* -- the table ------------------------------------------------------------------------------------- */

static void module_close(LibvirtConnection *connection) {
        if (!connection)
                return;

        libvirt_events_silence(&connection->events);
        if (connection->libvirt) {
                libvirt_events_unsubscribe(&connection->events, connection->libvirt);
                (void) virConnectClose(connection->libvirt);
        }
        libvirt_events_done(&connection->events);
        free(connection);
}

static void module_closep(LibvirtConnection **connection) {
        module_close(*connection);
}

static int module_open(const char *uri, LibvirtEventHandler handler, void *userdata, LibvirtConnection **ret,
                       char error[static LIBVIRT_TEXT_MAX]) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        _cleanup_(module_closep) LibvirtConnection *connection = NULL;

        (void) pthread_once(&once, start);
        if (start_result < 0) {
                (void) snprintf(error, LIBVIRT_TEXT_MAX, "libvirt's event loop could not be started");
                return start_result;
        }
        connection = calloc(1, sizeof(*connection));
        if (!connection)
                return -ENOMEM;
        if (libvirt_events_init(&connection->events, handler, userdata) < 0)
                return -ENOMEM;
        connection->libvirt = virConnectOpen(uri);
        if (!connection->libvirt)
                return fail(error);
        (void) virConnectSetKeepAlive(connection->libvirt, KEEPALIVE_SEC, KEEPALIVE_COUNT);
        libvirt_events_subscribe(&connection->events, connection->libvirt);

        *ret = TAKE_PTR(connection);
        return 0;
}

static int module_list(LibvirtConnection *connection, char (**ret)[LIBVIRT_UUID_MAX], size_t *ret_n,
                       char error[static LIBVIRT_TEXT_MAX]) {
        virDomainPtr *domains = NULL;
        char(*uuids)[LIBVIRT_UUID_MAX];
        size_t n = 0;
        int n_domains;

        n_domains = virConnectListAllDomains(connection->libvirt, &domains, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
        if (n_domains < 0)
                return fail(error);
        uuids = calloc((size_t) n_domains + 1, sizeof(*uuids));
        for (int i = 0; i < n_domains; i++) {
                if (uuids && virDomainGetUUIDString(domains[i], uuids[n]) >= 0)
                        n++;
                (void) virDomainFree(domains[i]);
        }
        free(domains);
        if (!uuids)
                return -ENOMEM;
        *ret = uuids;
        *ret_n = n;
        return 0;
}

static void domain_freep(virDomainPtr *domain) {
        if (*domain)
                (void) virDomainFree(*domain);
}

static void read_state(virDomainPtr domain, LibvirtDomain *ret) {
        virDomainJobInfo job = {.type = VIR_DOMAIN_JOB_NONE};
        int state = VIR_DOMAIN_NOSTATE;

        ret->running = virDomainGetState(domain, &state, NULL, 0) >= 0 &&
                       (state == VIR_DOMAIN_RUNNING || state == VIR_DOMAIN_BLOCKED);
        ret->busy = virDomainGetJobInfo(domain, &job) >= 0 && job.type != VIR_DOMAIN_JOB_NONE;
}

static int read_balloon(virDomainPtr domain, MemoryModel *model, char error[static LIBVIRT_TEXT_MAX]) {
        virDomainMemoryStatStruct stats[VIR_DOMAIN_MEMORY_STAT_NR];
        int n;

        if (!model->has_balloon)
                return 0;
        n = virDomainMemoryStats(domain, stats, VIR_DOMAIN_MEMORY_STAT_NR, 0);
        if (n < 0)
                return fail(error);
        for (int i = 0; i < n; i++)
                if (stats[i].tag == VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON) {
                        model->balloon_actual_bytes = u64_mul(stats[i].val, KIB);
                        return 0;
                }
        model->has_balloon = false; /* QEMU has none, whatever the XML says */
        return 0;
}

static int read_xml(virDomainPtr domain, LibvirtDomain *ret, char error[static LIBVIRT_TEXT_MAX]) {
        _cleanup_free_ char *xml = virDomainGetXMLDesc(domain, 0);
        int r;

        if (!xml)
                return fail(error);
        r = libvirt_domain_parse(xml, ret);
        if (r >= 0)
                return 0;
        (void) snprintf(error, LIBVIRT_TEXT_MAX, "its XML makes no sense");
        return r == -ENOMEM ? r : -EIO;
}

static int module_read(LibvirtConnection *connection, const char *uuid, LibvirtDomain *ret,
                       char error[static LIBVIRT_TEXT_MAX]) {
        _cleanup_(domain_freep) virDomainPtr domain = NULL;
        int r;

        domain = virDomainLookupByUUIDString(connection->libvirt, uuid);
        if (!domain)
                return fail(error);
        r = read_xml(domain, ret, error);
        if (r < 0)
                return r;
        read_state(domain, ret);
        return read_balloon(domain, &ret->model, error);
}

static int module_set_balloon(LibvirtConnection *connection, const char *uuid, uint64_t value_bytes,
                              char error[static LIBVIRT_TEXT_MAX]) {
        _cleanup_(domain_freep) virDomainPtr domain = NULL;

        domain = virDomainLookupByUUIDString(connection->libvirt, uuid);
        if (!domain || virDomainSetMemoryFlags(domain, value_bytes / KIB, VIR_DOMAIN_AFFECT_LIVE) < 0)
                return fail(error);
        return 0;
}

static int module_set_virtio_mem(LibvirtConnection *connection, const char *uuid, const char *device,
                                 uint64_t requested_bytes, char error[static LIBVIRT_TEXT_MAX]) {
        _cleanup_(domain_freep) virDomainPtr domain = NULL;
        _cleanup_free_ char *xml = NULL, *element = NULL;
        int r;

        domain = virDomainLookupByUUIDString(connection->libvirt, uuid);
        if (!domain)
                return fail(error);
        xml = virDomainGetXMLDesc(domain, 0);
        if (!xml)
                return fail(error);
        r = libvirt_domain_request(xml, device, requested_bytes, &element);
        if (r < 0) {
                (void) snprintf(error, LIBVIRT_TEXT_MAX, "it has no virtio-mem device %s", device);
                return r == -ENOMEM ? r : -EIO;
        }
        if (virDomainUpdateDeviceFlags(domain, element, VIR_DOMAIN_AFFECT_LIVE) < 0)
                return fail(error);
        return 0;
}

/* libvirt makes and frees the backend itself, also where QEMU refuses the device. */
static int module_plug_dimm(LibvirtConnection *connection, const char *uuid, unsigned number, uint64_t bytes,
                            char error[static LIBVIRT_TEXT_MAX]) {
        _cleanup_(domain_freep) virDomainPtr domain = NULL;
        char element[LIBVIRT_DOMAIN_DIMM_MAX];
        LibvirtDomain now;
        uint64_t there;
        int r;

        domain = virDomainLookupByUUIDString(connection->libvirt, uuid);
        if (!domain)
                return fail(error);
        r = read_xml(domain, &now, error);
        if (r < 0)
                return r;
        there = now.model.dimm[number].size_bytes;
        if (there == bytes)
                return 0;
        if (there > 0) {
                (void) snprintf(error, LIBVIRT_TEXT_MAX, "there is a DIMM of that name and of another size");
                return -EIO;
        }
        libvirt_domain_dimm(&now, number, bytes, element);
        return virDomainAttachDeviceFlags(domain, element, VIR_DOMAIN_AFFECT_LIVE) < 0 ? fail(error) : 0;
}

/* By its alias: virDomainDetachDeviceFlags() would keep a worker waiting for the guest. */
static int module_pull_dimm(LibvirtConnection *connection, const char *uuid, unsigned number,
                            char error[static LIBVIRT_TEXT_MAX]) {
        _cleanup_(domain_freep) virDomainPtr domain = NULL;
        char alias[DIMM_NAME_MAX];

        domain = virDomainLookupByUUIDString(connection->libvirt, uuid);
        if (!domain)
                return fail(error);
        (void) snprintf(alias, sizeof(alias), LIBVIRT_ALIAS_PREFIX DIMM_NAME_PREFIX "%u", number);
        return virDomainDetachDeviceAlias(domain, alias, VIR_DOMAIN_AFFECT_LIVE) < 0 ? fail(error) : 0;
}

__attribute__((__visibility__("default"))) const LibvirtApi memtide_libvirt_api = {
        .version = LIBVIRT_API_VERSION,
        .open = module_open,
        .close = module_close,
        .list = module_list,
        .read = module_read,
        .set_balloon = module_set_balloon,
        .set_virtio_mem = module_set_virtio_mem,
        .plug_dimm = module_plug_dimm,
        .pull_dimm = module_pull_dimm,
};
