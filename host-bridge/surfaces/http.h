/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* GET /metrics on a loopback address. */

#include <systemd/sd-event.h>

#include "common/macro.h"
#include "host-bridge/surfaces/metrics.h"
#include "host-bridge/surfaces/snapshot.h"

/* Loopback only: there is neither TLS nor a login here. */
typedef struct HttpAddress {
        int family; /* AF_INET: 127.0.0.1, AF_INET6: ::1, 0: do not listen */
        unsigned port;
} HttpAddress;

typedef struct Http Http;

/*
 * listen_fd: a socket that listens already, taken over in any case; < 0: one is made, on address. source and resizes are
 * borrowed and must outlive the Http. Returns 0, or -errno when it can not listen.
 */
int http_new(sd_event *event, const HttpAddress *address, int listen_fd, const SnapshotSource *source,
             const MetricsResizes *resizes, Http **ret);
Http *http_free(Http *http);
DEFINE_CLEANUP_FUNC(Http, http_free)
