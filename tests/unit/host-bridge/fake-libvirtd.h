/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A scripted libvirtd behind the module's table. Its calls come from workers: state is under the mutex. */

#include "world.h"

#include <pthread.h>

#include "host-bridge/vmm/libvirt-api.h"

#define DOMAINS_MAX 4U

typedef struct FakeLibvirtd {
        pthread_mutex_t mutex, gate;
        LibvirtDomain domains[DOMAINS_MAX];
        bool there[DOMAINS_MAX], hangs[DOMAINS_MAX];
        bool refuses; /* no connection */
        unsigned n_open, n_reads;
        uint64_t n_opened;
        uint64_t broken_below; /* connections up to this number are dead */
        LibvirtEventHandler handler;
        void *userdata;
        char last[128];
        const char *refuse_command;
        unsigned read_delay_ms;
        char log[512];     /* plugs and pulls, each with DIMM and MiB */
        bool pull_missing; /* there is no such device */
} FakeLibvirtd;

extern FakeLibvirtd libvirtd;
extern const LibvirtApi fake_libvirt_api;

/* Calls of domains that hang do so until the gate is unlocked, which a test holds. */
void fake_libvirtd_init(void);

/* Lets all calls end. Returns how many connections are still open after that. */
unsigned fake_libvirtd_done(void);

void fake_libvirtd_lock(void);
void fake_libvirtd_unlock(void);

/* Connections so far. */
uint64_t fake_libvirtd_opened(void);

/* Domain number i, "vm<i>" with the UUID "<i>", runs from now on. To be called with the lock, or before the start. */
void fake_libvirtd_start(unsigned i);

/* An event. */
void fake_libvirtd_say(LibvirtEventKind kind, const char *uuid);

/* The guest of domain i lets go of DIMM 0, or keeps it, and libvirt says so. */
void fake_libvirtd_let_go(unsigned i);
void fake_libvirtd_keep(unsigned i);
