/* SPDX-License-Identifier: Apache-2.0 */

/*
 * libvirt's events, as the bridge takes them: which domain, and that it is time to look. Most of what an event says is left
 * out: it may be old by the time it is heard, or lost, and a reading is the truth. Rejected: to subscribe for each
 * domain, which is nine calls more for each, and none for one that has just come.
 */

#include "host-bridge/vmm/libvirt-events.h"

#include <errno.h>
#include <libvirt/libvirt.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/macro.h"
#include "host-bridge/vmm/dimm-name.h"

/* Where events go. Each registered callback holds it, since libvirt may deliver one while it is taken away. */
struct LibvirtSink {
        pthread_mutex_t mutex;
        unsigned n_refs;
        LibvirtEventHandler handler; /* NULL: nobody listens any more */
        void *userdata;
};

static void sink_unref(void *userdata) {
        LibvirtSink *sink = userdata;
        bool last;

        (void) pthread_mutex_lock(&sink->mutex);
        last = --sink->n_refs == 0;
        (void) pthread_mutex_unlock(&sink->mutex);
        if (!last)
                return;
        (void) pthread_mutex_destroy(&sink->mutex);
        free(sink);
}

static void sink_ref(LibvirtSink *sink) {
        (void) pthread_mutex_lock(&sink->mutex);
        sink->n_refs++;
        (void) pthread_mutex_unlock(&sink->mutex);
}

static void tell_event(LibvirtSink *sink, LibvirtEvent event, virDomainPtr domain) {
        if (domain && virDomainGetUUIDString(domain, event.uuid) < 0)
                return;
        (void) pthread_mutex_lock(&sink->mutex);
        if (sink->handler)
                sink->handler(&event, sink->userdata);
        (void) pthread_mutex_unlock(&sink->mutex);
}

static void tell(LibvirtSink *sink, LibvirtEventKind kind, virDomainPtr domain) {
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
_Static_assert(ELEMENTSOF(subscriptions) <= LIBVIRT_EVENTS_MAX, "every callback's number is kept");

/* One that an older libvirtd does not know is done without: events are hints, the slow round reads all. */
void libvirt_events_subscribe(LibvirtEvents *events, virConnectPtr connection) {
        for (size_t i = 0; i < ELEMENTSOF(subscriptions); i++) {
                int id;

                sink_ref(events->sink);
                id = virConnectDomainEventRegisterAny(connection, NULL, subscriptions[i].id,
                                                      subscriptions[i].callback, events->sink, sink_unref);
                if (id < 0)
                        sink_unref(events->sink);
                else
                        events->callbacks[events->n_callbacks++] = id;
        }

        sink_ref(events->sink);
        if (virConnectRegisterCloseCallback(connection, on_close, events->sink, sink_unref) < 0)
                sink_unref(events->sink);
}

void libvirt_events_unsubscribe(LibvirtEvents *events, virConnectPtr connection) {
        for (unsigned i = 0; i < events->n_callbacks; i++)
                (void) virConnectDomainEventDeregisterAny(connection, events->callbacks[i]);
        (void) virConnectUnregisterCloseCallback(connection, on_close);
}

void libvirt_events_silence(LibvirtEvents *events) {
        if (!events->sink)
                return;
        (void) pthread_mutex_lock(&events->sink->mutex);
        events->sink->handler = NULL;
        (void) pthread_mutex_unlock(&events->sink->mutex);
}

int libvirt_events_init(LibvirtEvents *events, LibvirtEventHandler handler, void *userdata) {
        events->sink = malloc(sizeof(*events->sink));
        if (!events->sink)
                return -ENOMEM;
        *events->sink = (LibvirtSink){
                .mutex = PTHREAD_MUTEX_INITIALIZER,
                .n_refs = 1,
                .handler = handler,
                .userdata = userdata,
        };
        return 0;
}

void libvirt_events_done(LibvirtEvents *events) {
        if (events->sink)
                sink_unref(events->sink);
        events->sink = NULL;
}
