/* SPDX-License-Identifier: Apache-2.0 */

/* Wiring: each surface is told where to look, and the record is told who wants to hear of decisions. */

#include "host-bridge/surfaces/surfaces.h"

#include <assert.h>

#include "common/log.h"
#include "host-bridge/surfaces/audit.h"

struct Surfaces {
        Record *record;
        Bus *bus;
        Http *http;   /* NULL: off */
        Audit *audit; /* NULL: off */
        MetricsResizes resizes;
};

static void on_decision(const Decision *decision, const Decision *before, void *userdata) {
        Surfaces *surfaces = userdata;

        if (record_is_final(decision, before))
                metrics_count(&surfaces->resizes, decision);
        else if (before)
                metrics_count_late(&surfaces->resizes, decision, before);
        if (surfaces->audit)
                audit_put(surfaces->audit, decision);
        bus_tell(surfaces->bus, decision);
}

static void start_http(Surfaces *surfaces, sd_event *event, const SurfacesOptions *options,
                       const SnapshotSource *source) {
        const HttpAddress *address = &options->metrics_listen;
        int r;

        if (address->family == 0) {
                (void) safe_close(options->metrics_fd);
                return;
        }
        r = http_new(event, address, options->metrics_fd, source, &surfaces->resizes, &surfaces->http);
        if (r < 0 && options->metrics_fd >= 0)
                (void) log_warning_errno(r, "The socket for metrics is of no use: there are none: %m");
        else if (r < 0)
                (void) log_warning_errno(r, "Could not listen on port %u: there are no metrics: %m",
                                         address->port);
}

static void start_audit(Surfaces *surfaces, sd_event *event, const char *path) {
        AuditOptions options = audit_defaults;
        int r;

        if (!path)
                return;
        options.path = path;
        r = audit_new(event, &options, &surfaces->audit);
        if (r < 0)
                (void) log_warning_errno(r, "Could not begin the audit %s: there is no history: %m", path);
}

static void join_system_bus(Surfaces *surfaces, sd_event *event, const char *socket_path) {
        int r;

        if (!socket_path)
                return;
        r = bus_join(surfaces->bus, event, socket_path);
        if (r < 0)
                (void) log_warning_errno(r, "Could not look for the system bus: %m");
}

int surfaces_new(sd_event *event, const SurfacesOptions *options, const SnapshotSource *source,
                 Record *record, Surfaces **ret) {
        _cleanup_(surfaces_freep) Surfaces *surfaces = NULL;
        int r;

        assert(event);
        assert(options && options->socket_path);
        assert(source);
        assert(record);
        assert(ret);

        surfaces = calloc(1, sizeof(*surfaces));
        if (!surfaces)
                return -ENOMEM;
        r = bus_new(event, options->socket_path, source, record, &surfaces->bus);
        if (r < 0)
                return log_error_errno(r, "Could not listen on %s: %m", options->socket_path);
        bus_set_control(surfaces->bus, options->control);
        join_system_bus(surfaces, event, options->system_bus);
        surfaces->record = record;
        record_watch(record, on_decision, surfaces);
        start_audit(surfaces, event, options->audit_path);
        bus_set_views(surfaces->bus, surfaces->audit, &options->config);
        start_http(surfaces, event, options, source);
        *ret = TAKE_PTR(surfaces);
        return 0;
}

void surfaces_tell_vm(const char *vm, bool there, void *userdata) {
        Surfaces *surfaces = userdata;

        assert(surfaces);

        bus_tell_vm(surfaces->bus, vm, there);
}

Surfaces *surfaces_free(Surfaces *surfaces) {
        if (!surfaces)
                return NULL;
        if (surfaces->record)
                record_unwatch(surfaces->record, surfaces);
        (void) http_free(surfaces->http);
        (void) audit_free(surfaces->audit); /* before the bus: what is still asked for is answered */
        (void) bus_free(surfaces->bus);
        free(surfaces);
        return NULL;
}
