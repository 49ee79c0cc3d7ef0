/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The answer to ListVms, put together a few VMs at a time: thousands of them at once would hold up an alarm for seconds. */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "common/macro.h"
#include "host-bridge/surfaces/snapshot.h"

/* Calls that may wait; the next gets an error. */
#define BUS_LISTING_CALLS_MAX 8U

typedef struct BusListing BusListing;

/* source is borrowed. Returns 0 or -errno. */
int bus_listing_new(sd_event *event, const SnapshotSource *source, BusListing **ret);

/* Who still waits gets no answer. */
BusListing *bus_listing_free(BusListing *listing);
DEFINE_CLEANUP_FUNC(BusListing, bus_listing_free)

/* Answers call later. Returns what a method handler returns. */
int bus_listing_answer(BusListing *listing, sd_bus_message *call, sd_bus_error *error);
