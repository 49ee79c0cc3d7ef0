/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The way to a scripted libvirtd, who hears of its domains, and a hand on some of them. */

#include "fake-libvirtd.h"
#include "vmm-hand.h"

#include "host-bridge/vmm/libvirt.h"

typedef struct Fixture {
        World world;
        Libvirt *libvirt;
        unsigned n_deliveries;
        size_t n_domains;
        char names[DOMAINS_MAX][LIBVIRT_NAME_MAX];
        Hand hands[DOMAINS_MAX];
} Fixture;

/* For cmocka. Domain 0 runs. */
int libvirt_setup(void **state);
int libvirt_teardown(void **state);

/* A hand on domain i, at once; and one that has read it, once libvirtd is connected. */
Hand *libvirt_take(Fixture *f, unsigned i);
Hand *libvirt_connected(Fixture *f, unsigned i);
