/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One answer at a time, when the loop has nothing else to do. VMs may come and go meanwhile: where their number has changed
 * at the end the answer is begun anew, but not for ever.
 */

#include "host-bridge/surfaces/bus-listing.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/bus-field.h"
#include "common/log.h"
#include "common/slices.h"
#include "host-bridge/surfaces/fields.h"

/* Behind the clients themselves: who asks for less is answered first. */
#define SLICE_PRIORITY (SD_EVENT_PRIORITY_IDLE + 1)

#define TRIES_MAX 3U

struct BusListing {
        Slices slices;
        SnapshotSource source;
        sd_bus_message *calls[BUS_LISTING_CALLS_MAX]; /* in the order in which they came */
        size_t n_calls;
        sd_bus_message *reply; /* to the first of them; NULL: not begun */
        size_t at, n_vms;      /* how far it has come, and of how many when it was begun */
        unsigned n_tries;
        VmSnapshot vm;
        Field fields[FIELDS_MAX];
};

static size_t count_vms(const BusListing *listing) {
        BridgeSnapshot bridge = {0};

        listing->source.bridge(listing->source.userdata, &bridge);
        return bridge.n_vms;
}

static int begin(BusListing *listing) {
        int r;

        listing->at = 0;
        listing->n_vms = count_vms(listing);
        listing->n_tries++;
        listing->reply = sd_bus_message_unref(listing->reply);
        r = sd_bus_message_new_method_return(listing->calls[0], &listing->reply);
        return r < 0 ? r : sd_bus_message_open_container(listing->reply, 'a', "a{sv}");
}

/* The first call is answered, or cannot be. */
static void end(BusListing *listing, int error) {
        sd_bus_message *call = listing->calls[0];

        if (error < 0) {
                (void) log_debug_errno(error, "A client could not be told the VMs: %m");
                (void) sd_bus_reply_method_errno(call, error, NULL);
        }
        listing->reply = sd_bus_message_unref(listing->reply);
        listing->n_tries = 0;
        listing->n_calls--;
        memmove(listing->calls, listing->calls + 1, listing->n_calls * sizeof(*listing->calls));
        (void) sd_bus_message_unref(call);
}

static int finish(BusListing *listing) {
        int r;

        if (count_vms(listing) != listing->n_vms && listing->n_tries < TRIES_MAX)
                return begin(listing);
        r = sd_bus_message_close_container(listing->reply);
        if (r >= 0)
                r = sd_bus_send(NULL, listing->reply, NULL);
        end(listing, r);
        return 0;
}

/* A VM more, of some 40 fields. */
static int add_vm(BusListing *listing) {
        int r = listing->reply ? 0 : begin(listing);

        if (r < 0)
                return r;
        if (!listing->source.vm_at(listing->source.userdata, listing->at, &listing->vm))
                return finish(listing);
        listing->at++;
        return bus_append_fields(listing->reply, listing->fields,
                                 fields_of_vm(&listing->vm, listing->fields));
}

static int proceed(uint64_t now_usec, void *userdata) {
        BusListing *listing = userdata;
        int r = add_vm(listing);

        if (r < 0)
                end(listing, r);
        return listing->n_calls > 0;
}

int bus_listing_new(sd_event *event, const SnapshotSource *source, BusListing **ret) {
        _cleanup_(bus_listing_freep) BusListing *listing = NULL;
        int r;

        assert(event);
        assert(source);
        assert(ret);

        listing = calloc(1, sizeof(*listing));
        if (!listing)
                return -ENOMEM;
        listing->source = *source;
        r = slices_init(&listing->slices, event, "bus-listing", SLICE_PRIORITY, proceed, NULL, listing);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(listing);
        return 0;
}

BusListing *bus_listing_free(BusListing *listing) {
        if (!listing)
                return NULL;

        for (size_t i = 0; i < listing->n_calls; i++)
                (void) sd_bus_message_unref(listing->calls[i]);
        (void) sd_bus_message_unref(listing->reply);
        slices_done(&listing->slices);
        free(listing);
        return NULL;
}

int bus_listing_answer(BusListing *listing, sd_bus_message *call, sd_bus_error *error) {
        assert(listing);
        assert(call);

        if (listing->n_calls == BUS_LISTING_CALLS_MAX)
                return sd_bus_error_set(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                        "Too many clients want a list of the VMs; try again.");
        listing->calls[listing->n_calls++] = sd_bus_message_ref(call);
        slices_begin(&listing->slices);
        return 1;
}
