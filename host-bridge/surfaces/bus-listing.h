/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Answers that go over all VMs, put together a few VMs at a time: thousands of them at once would hold up an alarm, by the
 * list of their fields for seconds.
 */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "common/field.h"
#include "common/macro.h"
#include "host-bridge/surfaces/snapshot.h"

/* Calls that may wait; the next gets an error. */
#define BUS_LISTING_CALLS_MAX 8U

typedef enum BusListingKind {
        BUS_LISTING_VMS,     /* ListVms */
        BUS_LISTING_LACKS,   /* Diagnose of all */
        BUS_LISTING_OBJECTS, /* GetManagedObjects */
        BUS_LISTING_KIND_MAX,
} BusListingKind;

typedef struct BusListing BusListing;

/* source is borrowed. Returns 0 or -errno. */
int bus_listing_new(sd_event *event, const SnapshotSource *source, BusListing **ret);

/* Who still waits gets no answer. */
BusListing *bus_listing_free(BusListing *listing);
DEFINE_CLEANUP_FUNC(BusListing, bus_listing_free)

/* Answers call later. Returns what a method handler returns. */
int bus_listing_answer(BusListing *listing, BusListingKind kind, sd_bus_message *call, sd_bus_error *error);

/*
 * One of the answers alone: of vm, appended to a reply whose array is open. fields: room for them. Returns 0 or more, or
 * -errno.
 */
int bus_append_lacks(sd_bus_message *reply, const VmSnapshot *vm, Field *fields);
