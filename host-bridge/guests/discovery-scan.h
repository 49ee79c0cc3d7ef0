/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One look: the discovery folder, the domains of libvirt and the policies, merged into the list of VMs; a piece at a time. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "host-bridge/guests/discovery.h"

typedef struct DiscoveryScan DiscoveryScan;

typedef struct DiscoverySources {
        const char *vms_dir;
        const VmConfig *configs; /* sorted by name */
        size_t n_configs;
        const DiscoveredVm *domains; /* of libvirt; any order, no name twice */
        size_t n_domains;
        DiscoveryDefaults defaults;
} DiscoverySources;

/* By which a folder is known to be as it was. Zero-initialised: it is not. */
typedef struct FolderMark {
        bool known;
        dev_t device;
        ino_t inode;
        struct timespec changed;
} FolderMark;

/* What sources point to is borrowed until it is freed. Returns 0 or -errno. */
int discovery_scan_new(const DiscoverySources *sources, DiscoveryScan **ret);
DiscoveryScan *discovery_scan_free(DiscoveryScan *scan);
DEFINE_CLEANUP_FUNC(DiscoveryScan, discovery_scan_free)

/*
 * Reads some of the folder. Returns 1 if there is more, 0 once all is known, or -errno: half a list is never handed out,
 * since VMs would seem to have vanished.
 */
int discovery_scan_proceed(DiscoveryScan *scan);

/* The next VM, once all is known, in no order; borrowed. NULL after the last. */
const DiscoveredVm *discovery_scan_next(DiscoveryScan *scan);

/* Of the folder as it was read; not known if it may change without being marked. */
FolderMark discovery_scan_mark(const DiscoveryScan *scan);

/* Whether another look would find the same. */
bool folder_is_as_marked(const char *path, const FolderMark *mark);
