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

/* A libvirtd that answers nothing at all is given up after 15 s; the bridge's own deadlines are shorter. */
#define KEEPALIVE_SEC   5
#define KEEPALIVE_COUNT 3U

extern const LibvirtApi memtide_libvirt_api;

/* Where events go. Each registered callback holds it, since libvirt may deliver one while it is taken away. */
typedef struct Sink {
        pthread_mutex_t mutex;
        unsigned n_refs;
        LibvirtEventHandler handler; /* NULL: nobody listens any more */
        void *userdata;
} Sink;

struct LibvirtConnection {
        virConnectPtr libvirt;
        Sink *sink;
        int callbacks[16];
        unsigned n_callbacks;
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

/* -- events ---------------------------------------------------------------------------------------- */

static void sink_unref(void *userdata) {
        Sink *sink = userdata;
        bool last;

        (void) pthread_mutex_lock(&sink->mutex);
        last = --sink->n_refs == 0;
        (void) pthread_mutex_unlock(&sink->mutex);
        if (!last)
                return;
        (void) pthread_mutex_destroy(&sink->mutex);
        free(sink);
}

static void sink_ref(Sink *sink) {
        (void) pthread_mutex_lock(&sink->mutex);
        sink->n_refs++;
        (void) pthread_mutex_unlock(&sink->mutex);
}

static void tell_event(Sink *sink, LibvirtEvent event, virDomainPtr domain) {
        if (domain && virDomainGetUUIDString(domain, event.uuid) < 0)
                return;
        (void) pthread_mutex_lock(&sink->mutex);
        if (sink->handler)
                sink->handler(&event, sink->userdata);
        (void) pthread_mutex_unlock(&sink->mutex);
}

static void tell(Sink *sink, LibvirtEventKind kind, virDomainPtr domain) {
        tell_event(sink, (LibvirtEvent){.kind = kind}, domain);
}

static int on_lifecycle(virConnectPtr connection, virDomainPtr domain, int event, int detail,
                        void *userdata) {
        switch (event) {

        case VIR_DOMAIN_EVENT_SUSPENDED:
        case VIR_DOMAIN_EVENT_PMSUSPENDED:
                tell(userdata, LIBVIRT_PAUSED, domain);
                return 0;

        case VIR_DOMAIN_EVENT_RESUMED:
                tell(userdata, LIBVIRT_RESUMED, domain);
                return 0;

        case VIR_DOMAIN_EVENT_SHUTDOWN:
                tell(userdata, LIBVIRT_SHUTDOWN, domain);
                return 0;

        default: /* libvirt's: started, stopped, defined, and what is still to come */
                tell(userdata, LIBVIRT_DOMAINS, domain);
                return 0;
        }
}

static void on_reboot(virConnectPtr connection, virDomainPtr domain, void *userdata) {
        tell(userdata, LIBVIRT_RESET, domain);
}

static void on_balloon(virConnectPtr connection, virDomainPtr domain, unsigned long long kib,
                       void *userdata) {
        tell(userdata, LIBVIRT_SIZE, domain);
}

static void on_device(virConnectPtr connection, virDomainPtr domain, const char *alias, void *userdata) {
        tell(userdata, LIBVIRT_SIZE, domain);
}

static void on_device_kept(virConnectPtr connection, virDomainPtr domain, const char *alias, void *userdata) {
        LibvirtEvent event = {.kind = LIBVIRT_DIMM_KEPT, .dimm = MEMORY_MODEL_DIMMS_MAX};

        if (strncmp(alias, LIBVIRT_ALIAS_PREFIX, STRLEN(LIBVIRT_ALIAS_PREFIX)) == 0)
                event.dimm = dimm_name_number(alias + STRLEN(LIBVIRT_ALIAS_PREFIX));
        if (event.dimm == MEMORY_MODEL_DIMMS_MAX)
                event.kind = LIBVIRT_SIZE;
        tell_event(userdata, event, domain);
}

static void on_device_size(virConnectPtr connection, virDomainPtr domain, const char *alias,
                           unsigned long long kib, void *userdata) {
        tell(userdata, LIBVIRT_SIZE, domain);
}

static void on_metadata(virConnectPtr connection, virDomainPtr domain, int type, const char *uri,
                        void *userdata) {
        tell(userdata, LIBVIRT_POLICY, domain);
}

/* A migration or snapshot is over. */
static void on_job(virConnectPtr connection, virDomainPtr domain, virTypedParameterPtr parameters, int n,
                   void *userdata) {
        tell(userdata, LIBVIRT_SIZE, domain);
}

static void on_close(virConnectPtr connection, int reason, void *userdata) {
        tell(userdata, LIBVIRT_CLOSED, NULL);
}

static const struct {
        int id;
        virConnectDomainEventGenericCallback callback;
} subscriptions[] = {
        {VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle)},
        {VIR_DOMAIN_EVENT_ID_REBOOT, on_reboot},
        {VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_balloon)},
        {VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, VIR_DOMAIN_EVENT_CALLBACK(on_device)},
        {VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(on_device)},
        {VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED, VIR_DOMAIN_EVENT_CALLBACK(on_device_kept)},
        {VIR_DOMAIN_EVENT_ID_MEMORY_DEVICE_SIZE_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_device_size)},
        {VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_metadata)},
        {VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, VIR_DOMAIN_EVENT_CALLBACK(on_job)},
};
_Static_assert(ELEMENTSOF(subscriptions) <= ELEMENTSOF(((LibvirtConnection *) NULL)->callbacks),
               "every callback's number is kept");

/* One that an older libvirtd does not know is done without: events are hints, the slow round reads all. */
static void subscribe(LibvirtConnection *connection) {
        for (size_t i = 0; i < ELEMENTSOF(subscriptions); i++) {
                int id;

                sink_ref(connection->sink);
                id = virConnectDomainEventRegisterAny(connection->libvirt, NULL, subscriptions[i].id,
                                                      subscriptions[i].callback, connection->sink,
                                                      sink_unref);
                if (id < 0)
                        sink_unref(connection->sink);
                else
                        connection->callbacks[connection->n_callbacks++] = id;
        }

        sink_ref(connection->sink);
        if (virConnectRegisterCloseCallback(connection->libvirt, on_close, connection->sink, sink_unref) < 0)
                sink_unref(connection->sink);
}

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

        if (connection->sink) {
                (void) pthread_mutex_lock(&connection->sink->mutex);
                connection->sink->handler = NULL;
                (void) pthread_mutex_unlock(&connection->sink->mutex);
        }
        if (connection->libvirt) {
                for (unsigned i = 0; i < connection->n_callbacks; i++)
                        (void) virConnectDomainEventDeregisterAny(connection->libvirt,
                                                                  connection->callbacks[i]);
                (void) virConnectUnregisterCloseCallback(connection->libvirt, on_close);
                (void) virConnectClose(connection->libvirt);
        }
        if (connection->sink)
                sink_unref(connection->sink);
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
        connection->sink = malloc(sizeof(*connection->sink));
        if (!connection->sink)
                return -ENOMEM;
        *connection->sink = (Sink){
                .mutex = PTHREAD_MUTEX_INITIALIZER,
                .n_refs = 1,
                .handler = handler,
                .userdata = userdata,
        };
        connection->libvirt = virConnectOpen(uri);
        if (!connection->libvirt)
                return fail(error);
        (void) virConnectSetKeepAlive(connection->libvirt, KEEPALIVE_SEC, KEEPALIVE_COUNT);
        subscribe(connection);

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
