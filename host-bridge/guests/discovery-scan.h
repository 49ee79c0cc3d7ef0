/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One look: the discovery folder and the policies, merged into the list of VMs. */

#include <stdbool.h>
#include <stddef.h>

#include "host-bridge/guests/discovery.h"

/*
 * Returns 0 with *ret (freed by the caller) sorted by name, or -errno: half a list is never returned, since
 * VMs would seem to have vanished.
 */
int discovery_scan(const char *vms_dir, const VmConfig *configs, size_t n_configs,
                   const DiscoveryDefaults *defaults, DiscoveredVm **ret, size_t *ret_n);
