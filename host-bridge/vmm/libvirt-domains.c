/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Level-triggered, as discovery is: an event says that it is time to look, and a slow round looks anyhow. A list
 * gives UUIDs only, in one call; each new domain is then read by a call of its own, so that one which hangs is missing
 * and the others are there.
 */

#include "host-bridge/vmm/libvirt-internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/units.h"

#define SETTLE_USEC (50 * USEC_PER_MSEC) /* events come in bursts */

int libvirt_deliver(sd_event_source *source, uint64_t usec, void *userdata) {
        Libvirt *libvirt = userdata;
        _cleanup_free_ const LibvirtDomain **domains = NULL;
        size_t n = 0;

        domains = calloc(HASH_COUNT(libvirt->entries) + 1, sizeof(*domains));
        if (!domains) {
                log_error("libvirt: out of memory for its domains");
                return 0;
        }
        for (LibvirtEntry *entry = libvirt->entries; entry; entry = entry->hh.next)
                if (entry->known && entry->domain.has_port)
                        domains[n++] = &entry->domain;
        libvirt->handler(domains, n, libvirt->userdata);
        return 0;
}

static void plan_delivery(Libvirt *libvirt) {
        int enabled = SD_EVENT_OFF;

        (void) sd_event_source_get_enabled(libvirt->settle, &enabled);
        if (enabled == SD_EVENT_OFF)
                libvirt_arm(libvirt->settle, SETTLE_USEC);
}

static void on_read(PoolJob *job, PoolOutcome outcome, void *owner) {
        LibvirtCall *call = CONTAINER_OF(job, LibvirtCall, job);
        LibvirtEntry *entry = owner;
        Libvirt *libvirt = entry->libvirt;

        libvirt_note(libvirt, call, outcome);
        if (outcome == POOL_OVERDUE)
                return;
        entry->call = NULL;
        if (outcome == POOL_REFUSED || call->r < 0) {
                entry->stale = true; /* the next look at all of them tries again */
                return;
        }
        entry->domain = call->domain;
        entry->known = true;
        plan_delivery(libvirt);
}

static void read_entry(Libvirt *libvirt, LibvirtEntry *entry) {
        if (entry->call || !entry->stale)
                return;
        entry->call = libvirt_call(libvirt, LIBVIRT_READ, entry->domain.uuid, on_read);
        if (!entry->call)
                return; /* the next look tries again */
        entry->stale = false;
        libvirt_submit(libvirt, entry->call, entry);
}

static void drop_entry(Libvirt *libvirt, LibvirtEntry *entry) {
        if (entry->call)
                pool_job_forget(&entry->call->job);
        HASH_DEL(libvirt->entries, entry);
        free(entry);
}

static void take_uuid(Libvirt *libvirt, const char *uuid) {
        LibvirtEntry *entry;

        HASH_FIND_STR(libvirt->entries, uuid, entry);
        if (!entry) {
                entry = calloc(1, sizeof(*entry));
                if (!entry)
                        return; /* the next look tries again */
                entry->libvirt = libvirt;
                entry->stale = true;
                (void) snprintf(entry->domain.uuid, sizeof(entry->domain.uuid), "%s", uuid);
                HASH_ADD_STR(libvirt->entries, domain.uuid, entry);
        }
        entry->listed = true;
        read_entry(libvirt, entry);
}

static void on_listed(PoolJob *job, PoolOutcome outcome, void *owner) {
        LibvirtCall *call = CONTAINER_OF(job, LibvirtCall, job);
        Libvirt *libvirt = owner;
        LibvirtEntry *entry, *next;

        libvirt_note(libvirt, call, outcome);
        if (outcome == POOL_OVERDUE)
                return;
        libvirt->listing = NULL;
        if (outcome != POOL_REFUSED && call->r >= 0) {
                for (entry = libvirt->entries; entry; entry = entry->hh.next)
                        entry->listed = false;
                for (size_t i = 0; i < call->n_uuids; i++)
                        take_uuid(libvirt, call->uuids[i]);
                HASH_ITER (hh, libvirt->entries, entry, next) {
                        if (entry->listed)
                                continue;
                        drop_entry(libvirt, entry);
                        plan_delivery(libvirt);
                }
        }
        if (libvirt->list_again)
                libvirt_list(libvirt);
}

void libvirt_list(Libvirt *libvirt) {
        if (libvirt->listing) {
                libvirt->list_again = true;
                return;
        }
        libvirt->list_again = false;
        libvirt->listing = libvirt_call(libvirt, LIBVIRT_LIST, NULL, on_listed);
        if (libvirt->listing)
                libvirt_submit(libvirt, libvirt->listing, libvirt);
}

void libvirt_read_all(Libvirt *libvirt) {
        for (LibvirtEntry *entry = libvirt->entries; entry; entry = entry->hh.next)
                entry->stale = true;
        libvirt_list(libvirt);
        libvirt_tell(libvirt, &(LibvirtEvent){.kind = LIBVIRT_DOMAINS});
}

void libvirt_mark_stale(Libvirt *libvirt, const char *uuid) {
        LibvirtEntry *entry;

        HASH_FIND_STR(libvirt->entries, uuid, entry);
        if (entry)
                entry->stale = true;
}

void libvirt_drop_entries(Libvirt *libvirt) {
        LibvirtEntry *entry, *next;

        HASH_ITER (hh, libvirt->entries, entry, next)
                drop_entry(libvirt, entry);
}
