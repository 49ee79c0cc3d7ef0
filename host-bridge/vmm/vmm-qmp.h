/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The hypervisor's hand over a QMP socket of QEMU: connects, reconnects, reads the model, sends steps. */

#include <stdint.h>
#include <systemd/sd-event.h>

#include "host-bridge/vmm/vmm.h"

typedef struct VmmQmpOptions {
        uint64_t handshake_timeout_usec; /* default 2 s */
        uint64_t reply_timeout_usec;     /* default 2 s */
        uint64_t retry_min_usec;         /* first wait after a loss; doubles; default 100 ms */
        uint64_t retry_max_usec;         /* default 5 s */
        uint64_t pull_timeout_usec;      /* of a guest that is to let go of a DIMM; default 4 s */
        uint64_t poll_usec;              /* between readings while a command is unsettled; default 100 ms */
        uint64_t refresh_usec;           /* between readings otherwise; default 60 s */
} VmmQmpOptions;

extern const VmmQmpOptions vmm_qmp_defaults;

/* name stands in log lines. The first attempt to connect is made from the event loop. Returns 0 or -errno. */
int vmm_qmp_new(sd_event *event, const char *name, const char *path, const VmmQmpOptions *options,
                VmmHandler handler, void *userdata, Vmm **ret);
