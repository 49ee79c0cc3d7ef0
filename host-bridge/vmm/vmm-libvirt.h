/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The hypervisor's hand through libvirt: reads one domain, sends steps. */

#include <stdint.h>
#include <systemd/sd-event.h>

#include "host-bridge/vmm/libvirt.h"
#include "host-bridge/vmm/vmm.h"

typedef struct VmmLibvirtOptions {
        uint64_t retry_min_usec;    /* first wait after a failure; doubles; default 100 ms */
        uint64_t retry_max_usec;    /* default 5 s */
        uint64_t pull_timeout_usec; /* for a guest to let go of a DIMM that it has put offline; default 4 s */
        uint64_t poll_usec;         /* between readings while a command is unsettled; default 100 ms */
        uint64_t refresh_usec;      /* between readings otherwise; default 60 s */
} VmmLibvirtOptions;

extern const VmmLibvirtOptions vmm_libvirt_defaults;

/* uuid: of the domain. name stands in log lines. libvirt lives longer. Returns 0 or -errno. */
int vmm_libvirt_new(sd_event *event, Libvirt *libvirt, const char *name, const char *uuid,
                    const VmmLibvirtOptions *options, VmmOwner owner, Vmm **ret);
