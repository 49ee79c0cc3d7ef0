/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One answer at a time, when the loop has nothing else to do. VMs may come and go meanwhile: then the answer is begun anew
 * at its end, but not for ever. A list of yesterday does no harm to a person; objects are another matter. Who was told
 * first that a VM has gone, and then that it is there, has it for good: such an answer is an error in the end, and asked
 * for again.
 */

#include "host-bridge/surfaces/bus-listing.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/bus-field.h"
#include "common/log.h"
#include "common/slices.h"
#include "host-bridge/surfaces/bus-vms.h"
#include "host-bridge/surfaces/fields.h"

/* Behind the clients themselves: who asks for less is answered first. */
#define SLICE_PRIORITY (SD_EVENT_PRIORITY_IDLE + 1)

typedef struct Waiting {
        BusListingKind kind;
        sd_bus_message *call;
} Waiting;

struct BusListing {
        Slices slices;
        SnapshotSource source;
        Waiting calls[BUS_LISTING_CALLS_MAX]; /* in the order in which they came */
        size_t n_calls;
        sd_bus_message *reply; /* to the first of them; NULL: not begun */
        size_t at;             /* how far it has come */
        uint64_t n_changes;    /* of the VMs, when it was begun */
        unsigned n_tries;
        VmSnapshot vm;
        Field fields[FIELDS_MAX];
};

static int add_fields(BusListing *listing) { /* some 40 */
        return bus_append_fields(listing->reply, listing->fields,
                                 fields_of_vm(&listing->vm, listing->fields));
}

static int add_lacks(BusListing *listing) {
        return bus_append_lacks(listing->reply, &listing->vm, listing->fields);
}

static int add_object(BusListing *listing) {
        return bus_vms_append(listing->reply, &listing->vm);
}

static const struct {
        const char *element;
        int (*add)(BusListing *listing);
        unsigned tries_max;
        bool exact;
} kinds[] = {
        [BUS_LISTING_VMS] = {"a{sv}", add_fields, 3, false},
        [BUS_LISTING_LACKS] = {"a{sv}", add_lacks, 3, false},
        [BUS_LISTING_OBJECTS] = {"{oa{sa{sv}}}", add_object, 20, true},
};
static_assert(ELEMENTSOF(kinds) == BUS_LISTING_KIND_MAX, "every kind has its row");

static uint64_t count_changes(const BusListing *listing) {
        BridgeSnapshot bridge = {0};

        listing->source.bridge(listing->source.userdata, &bridge);
        return bridge.n_changes;
}

static int begin(BusListing *listing) {
        int r;

        listing->at = 0;
        listing->n_changes = count_changes(listing);
        listing->n_tries++;
        listing->reply = sd_bus_message_unref(listing->reply);
        r = sd_bus_message_new_method_return(listing->calls[0].call, &listing->reply);
        return r < 0 ? r
                     : sd_bus_message_open_container(listing->reply, 'a',
                                                     kinds[listing->calls[0].kind].element);
}

/* The first call is answered, or cannot be. */
static void end(BusListing *listing, int error) {
        sd_bus_message *call = listing->calls[0].call;

        if (error < 0)
                (void) log_debug_errno(error, "A client could not be told the VMs: %m");
        if (error == -EAGAIN)
                (void) sd_bus_reply_method_errorf(call, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                                  "Too many VMs come and go; try again.");
        else if (error < 0)
                (void) sd_bus_reply_method_errno(call, error, NULL);
        listing->reply = sd_bus_message_unref(listing->reply);
        listing->n_tries = 0;
        listing->n_calls--;
        memmove(listing->calls, listing->calls + 1, listing->n_calls * sizeof(*listing->calls));
        (void) sd_bus_message_unref(call);
}

static int finish(BusListing *listing) {
        BusListingKind kind = listing->calls[0].kind;
        bool stale = count_changes(listing) != listing->n_changes;
        int r;

        if (stale && listing->n_tries < kinds[kind].tries_max)
                return begin(listing);
        if (stale && kinds[kind].exact)
                return -EAGAIN;
        r = sd_bus_message_close_container(listing->reply);
        if (r >= 0)
                r = sd_bus_send(NULL, listing->reply, NULL);
        end(listing, r);
        return 0;
}

static int add_vm(BusListing *listing) {
        int r = listing->reply ? 0 : begin(listing);

        if (r < 0)
                return r;
        if (!listing->source.vm_at(listing->source.userdata, listing->at, &listing->vm))
                return finish(listing);
        listing->at++;
        return kinds[listing->calls[0].kind].add(listing);
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
                (void) sd_bus_message_unref(listing->calls[i].call);
        (void) sd_bus_message_unref(listing->reply);
        slices_done(&listing->slices);
        free(listing);
        return NULL;
}

int bus_listing_answer(BusListing *listing, BusListingKind kind, sd_bus_message *call, sd_bus_error *error) {
        assert(listing);
        assert(call);

        if (listing->n_calls == BUS_LISTING_CALLS_MAX)
                return sd_bus_error_set(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                        "Too many clients want a list of the VMs; try again.");
        listing->calls[listing->n_calls++] = (Waiting){kind, sd_bus_message_ref(call)};
        slices_begin(&listing->slices);
        return 1;
}

/* In the order of lacks.h. */
int bus_append_lacks(sd_bus_message *reply, const VmSnapshot *vm, Field *fields) {
        int r = 0;

        for (Lack lack = 0; lack < LACK_KIND_MAX && r >= 0; lack++)
                if (lacks_has(vm->lacks, lack))
                        r = bus_append_fields(reply, fields, fields_of_lack(vm->name, lack, fields));
        return r;
}
