/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The VMs that libvirt runs and that carry memtide's port, with what their own metadata says about them. */

#include <stddef.h>
#include <systemd/sd-event.h>

#include "common/macro.h"
#include "host-bridge/guests/discovery.h"

typedef struct Domains Domains;

typedef struct DomainsOptions {
        const char *uri;    /* NULL: the system's libvirtd, if there is one and the module is there */
        const char *module; /* path */
} DomainsOptions;

/* All of them, each time that one has come, gone or changed; for discovery_set_domains(). Borrowed for the call. */
typedef void (*DomainsHandler)(const DiscoveredVm *domains, size_t n, void *userdata);

/*
 * The first delivery comes from the event loop. Returns 0 with *ret, also with NULL in it: there is no module (a warning
 * where libvirt was asked for). Or -errno.
 */
int domains_new(sd_event *event, const DomainsOptions *options, DomainsHandler handler, void *userdata,
                Domains **ret);
Domains *domains_free(Domains *domains);
DEFINE_CLEANUP_FUNC(Domains, domains_free)

/* The hand on a domain, by an address that was delivered. Returns 0 or -errno. */
int domains_open_vmm(Domains *domains, const VmmAddress *address, const char *name, VmmOwner owner,
                     Vmm **ret);
