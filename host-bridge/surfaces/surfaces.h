/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* All who look: the control socket, the metrics, and the audit. */

#include <systemd/sd-event.h>

#include "common/macro.h"
#include "host-bridge/surfaces/bus.h"
#include "host-bridge/surfaces/http.h"
#include "host-bridge/surfaces/record.h"
#include "host-bridge/surfaces/snapshot.h"

typedef struct Surfaces Surfaces;

typedef struct SurfacesOptions {
        const char *socket_path;
        const char *system_bus; /* its socket; NULL: off */
        HttpAddress metrics_listen;
        int metrics_fd;         /* of the service manager, and taken over; < 0: none */
        const char *audit_path; /* NULL: none */
        ConfigView config;      /* outlives the Surfaces */
        const Control *control; /* borrowed */
} SurfacesOptions;

/*
 * Without a control socket the bridge can not be asked, so that is an error (logged); any other surface that fails costs
 * itself and a warning. source and record are borrowed and must outlive the Surfaces. Returns 0 or -errno.
 */
int surfaces_new(sd_event *event, const SurfacesOptions *options, const SnapshotSource *source,
                 Record *record, Surfaces **ret);
/* A VM has come, or is about to go; userdata: the Surfaces. */
void surfaces_tell_vm(const char *vm, bool there, void *userdata);

Surfaces *surfaces_free(Surfaces *surfaces);
DEFINE_CLEANUP_FUNC(Surfaces, surfaces_free)
