/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One look: the discovery folder, the domains of libvirt and the policies, merged into the list of VMs. */

#include <stdbool.h>
#include <stddef.h>

#include "host-bridge/guests/discovery.h"

typedef struct DiscoverySources {
        const char *vms_dir;
        const VmConfig *configs; /* sorted by name */
        size_t n_configs;
        const DiscoveredVm *domains; /* of libvirt; any order, no name twice */
        size_t n_domains;
        DiscoveryDefaults defaults;
} DiscoverySources;

/*
 * Returns 0 with *ret (freed by the caller) sorted by name, or -errno: half a list is never returned, since
 * VMs would seem to have vanished.
 */
int discovery_scan(const DiscoverySources *sources, DiscoveredVm **ret, size_t *ret_n);
