/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Which VMs there are: sockets NAME.channel and NAME.qmp in the discovery folder, vm.d/NAME.conf, and
 * the domains of libvirt, which somebody else lists. The whole truth is delivered each time that something changed; who
 * owns VMs compares it with what it has.
 */

#include <systemd/sd-event.h>

#include "common/macro.h"
#include "common/rootdir.h"
#include "host-bridge/guests/vm-config.h"

typedef struct Discovery Discovery;

typedef struct DiscoveredVm {
        char name[DECISION_VM_NAME_MAX];
        char channel[VM_PATH_MAX]; /* empty: none */
        VmmAddress hypervisor;
        VmPolicy policy;
} DiscoveredVm;

/* Of VMs whose file does not say. */
typedef struct DiscoveryDefaults {
        VmMode mode;
        bool adopt; /* without Max=, Max=device holds; also without a file */
} DiscoveryDefaults;

typedef struct DiscoveryOptions {
        const RootDir *root;    /* vm.d is below it; lives as long as the discovery */
        const char *vms_dir;    /* the discovery folder, a real path; it must exist */
        const char *policy_dir; /* vm.d, below root */
        DiscoveryDefaults defaults;
} DiscoveryOptions;

/*
 * A delivery: a beginning, each VM once and in no order, an end. One that something overtakes has no end, and another
 * begins.
 */
typedef enum DiscoveryStep {
        DISCOVERY_BEGINS,
        DISCOVERY_VM,
        DISCOVERY_ENDS,
} DiscoveryStep;

/* vm: of DISCOVERY_VM, borrowed for the call; else NULL. */
typedef void (*DiscoveryHandler)(DiscoveryStep step, const DiscoveredVm *vm, void *userdata);

/*
 * Reads the policies and watches; the first delivery comes from the event loop. Returns 0, -EINVAL if a
 * file of vm.d has an error (all of them are logged), or -errno.
 */
int discovery_new(sd_event *event, const DiscoveryOptions *options, DiscoveryHandler handler, void *userdata,
                  Discovery **ret);
Discovery *discovery_free(Discovery *discovery);
DEFINE_CLEANUP_FUNC(Discovery, discovery_free)

/*
 * Looks again soon: at the folder, and at the policies if asked to. If one of those has an error now, all of
 * them stay as they were.
 */
void discovery_rescan(Discovery *discovery, bool policies);

/* For whom looks now and then: the same, unless nothing can have changed. */
void discovery_look(Discovery *discovery);

/* Reads the policies, and only if none has an error goes by them and by defaults. Returns 0, -EINVAL or -errno. */
int discovery_reload(Discovery *discovery, const DiscoveryDefaults *defaults);

/*
 * The domains of libvirt, from now on: name, channel, hypervisor, and in policy what the domain's own metadata says.
 * Copied. Returns 0 or -ENOMEM, and then knows those of before.
 */
int discovery_set_domains(Discovery *discovery, const DiscoveredVm *domains, size_t n);
