/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A daemon may start long before the bus, and the bus may go: the socket is looked for by a timer, which costs one
 * access(2). Every call is asynchronous, since a bus daemon that hangs for want of memory must not hang the one who
 * could help. Rejected: sd_bus_set_watch_bind(), which allocates anew for whatever is created in a folder above the
 * socket (300 times in the three seconds of test_memory.py).
 *
 * A name that another program has is left to it, and that is said once: two monitors of low memory would have
 * every application free its caches twice.
 */

#include "common/system-bus.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "common/log.h"
#include "common/units.h"

#define SYSTEM_BUS_AGAIN_USEC (5 * USEC_PER_SEC)
/* A bus daemon that takes nothing: what is told later than this is of no use to anybody. */
#define SYSTEM_BUS_QUEUE_MAX 16U

/* Values of org.freedesktop.DBus.RequestName. */
#define DBUS_PRIMARY_OWNER 1U

typedef struct Name {
        SystemBus *owner;
        BusObject object;
        sd_bus_slot *slot, *request;
        bool is_ours, is_refusal_said;
} Name;

struct SystemBus {
        sd_event *event;
        sd_event_source *again;
        char *path, *address;
        sd_bus *bus;
        sd_bus_slot *connected, *disconnected, *lost;
        Name names[SYSTEM_BUS_OBJECTS_MAX];
        size_t n_names;
};

static void system_bus_close(SystemBus *system) {
        for (size_t i = 0; i < system->n_names; i++) {
                Name *name = system->names + i;

                name->slot = sd_bus_slot_unref(name->slot);
                name->request = sd_bus_slot_unref(name->request);
                name->is_ours = false;
        }
        system->connected = sd_bus_slot_unref(system->connected);
        system->disconnected = sd_bus_slot_unref(system->disconnected);
        system->lost = sd_bus_slot_unref(system->lost);
        system->bus = sd_bus_close_unref(system->bus);
}

static void say_refusal(Name *name, const char *why) {
        name->is_ours = false;
        if (name->is_refusal_said)
                return;
        name->is_refusal_said = true;
        log_info("Not on the system bus as %s: %s", name->object.interface, why);
}

static int on_requested(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Name *name = userdata;
        const sd_bus_error *failure = sd_bus_message_get_error(reply);
        uint32_t result = 0;

        if (failure) {
                say_refusal(name, failure->message ? failure->message : failure->name);
                return 0;
        }
        if (sd_bus_message_read(reply, "u", &result) < 0 || result != DBUS_PRIMARY_OWNER) {
                say_refusal(name, "another program has that name");
                return 0;
        }
        name->is_ours = true;
        log_debug("On the system bus as %s", name->object.interface);
        return 0;
}

static int on_lost(sd_bus_message *signal, void *userdata, sd_bus_error *error) {
        SystemBus *system = userdata;
        const char *lost;

        if (sd_bus_message_read(signal, "s", &lost) < 0)
                return 0;
        for (size_t i = 0; i < system->n_names; i++)
                if (system->names[i].is_ours && strcmp(system->names[i].object.interface, lost) == 0)
                        say_refusal(system->names + i, "another program has taken that name");
        return 0;
}

static int on_connected(sd_bus_message *signal, void *userdata, sd_bus_error *error) {
        SystemBus *system = userdata;

        for (size_t i = 0; i < system->n_names; i++) {
                Name *name = system->names + i;
                int r;

                name->request = sd_bus_slot_unref(name->request);
                r = sd_bus_request_name_async(system->bus, &name->request, name->object.interface,
                                              SD_BUS_NAME_ALLOW_REPLACEMENT, on_requested, name);
                if (r < 0)
                        log_debug_errno(r, "Cannot ask for the name %s: %m", name->object.interface);
        }
        return 0;
}

static void system_bus_arm(SystemBus *system) {
        int r;

        r = sd_event_source_set_time_relative(system->again, SYSTEM_BUS_AGAIN_USEC);
        if (r >= 0)
                r = sd_event_source_set_enabled(system->again, SD_EVENT_ONESHOT);
        if (r < 0)
                log_warning_errno(r, "The system bus will not be looked for again: %m");
}

static int on_disconnected(sd_bus_message *signal, void *userdata, sd_bus_error *error) {
        SystemBus *system = userdata;

        log_debug("The system bus has gone");
        system_bus_close(system);
        system_bus_arm(system);
        return 0;
}

static int system_bus_add_objects(SystemBus *system) {
        int r = 0;

        for (size_t i = 0; i < system->n_names && r >= 0; i++) {
                Name *name = system->names + i;

                r = sd_bus_add_object_vtable(system->bus, &name->slot, name->object.path,
                                             name->object.interface, name->object.vtable,
                                             name->object.userdata);
                if (r >= 0 && name->object.extend)
                        r = name->object.extend(system->bus, name->object.userdata);
        }
        return r;
}

static int system_bus_add_matches(SystemBus *system) {
        int r;

        r = sd_bus_match_signal(system->bus, &system->connected, NULL, "/org/freedesktop/DBus/Local",
                                "org.freedesktop.DBus.Local", "Connected", on_connected, system);
        if (r >= 0)
                r = sd_bus_match_signal(system->bus, &system->disconnected, NULL,
                                        "/org/freedesktop/DBus/Local", "org.freedesktop.DBus.Local",
                                        "Disconnected", on_disconnected, system);
        /* The bus sends it to the one whom it concerns, asked or not; the match is for sd-bus alone. */
        if (r >= 0)
                r = sd_bus_match_signal_async(system->bus, &system->lost, "org.freedesktop.DBus",
                                              "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameLost",
                                              on_lost, NULL, system);
        return r;
}

static int system_bus_open(SystemBus *system) {
        int r;

        r = sd_bus_new(&system->bus);
        if (r >= 0)
                r = sd_bus_set_address(system->bus, system->address);
        if (r >= 0)
                r = sd_bus_set_bus_client(system->bus, true);
        if (r >= 0)
                r = sd_bus_set_connected_signal(system->bus, true);
        if (r >= 0)
                r = sd_bus_set_description(system->bus, "memtide-system-bus");
        if (r >= 0)
                r = sd_bus_start(system->bus);
        if (r >= 0)
                r = system_bus_add_objects(system);
        if (r >= 0)
                r = system_bus_add_matches(system);
        if (r >= 0)
                r = sd_bus_attach_event(system->bus, system->event, SD_EVENT_PRIORITY_IDLE);
        if (r < 0)
                system_bus_close(system);
        return r;
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata) {
        SystemBus *system = userdata;
        int r;

        r = access(system->path, F_OK) < 0 ? -errno : system_bus_open(system);
        if (r < 0 && r != -ENOENT)
                log_debug_errno(r, "Cannot reach the system bus: %m");
        if (r < 0)
                system_bus_arm(system);
        return 0;
}

int system_bus_new(sd_event *event, const char *socket_path, const BusObject *objects, size_t n_objects,
                   SystemBus **ret) {
        _cleanup_(system_bus_freep) SystemBus *system = NULL;
        int r;

        assert(event);
        assert(socket_path);
        assert(objects && n_objects <= SYSTEM_BUS_OBJECTS_MAX);
        assert(ret);

        system = calloc(1, sizeof(*system));
        if (!system)
                return -ENOMEM;
        system->event = sd_event_ref(event);
        system->n_names = n_objects;
        for (size_t i = 0; i < n_objects; i++)
                system->names[i] = (Name){.owner = system, .object = objects[i]};
        system->path = strdup(socket_path);
        if (!system->path)
                return -ENOMEM;
        if (asprintf(&system->address, "unix:path=%s", socket_path) < 0) {
                system->address = NULL;
                return -ENOMEM;
        }

        r = sd_event_add_time_relative(event, &system->again, CLOCK_MONOTONIC, 0, USEC_PER_SEC, on_again,
                                       system);
        if (r < 0)
                return r;
        (void) sd_event_source_set_priority(system->again, SD_EVENT_PRIORITY_IDLE);
        (void) sd_event_source_set_description(system->again, "system-bus");

        *ret = TAKE_PTR(system);
        return 0;
}

SystemBus *system_bus_free(SystemBus *system) {
        if (!system)
                return NULL;
        system_bus_close(system);
        sd_event_source_disable_unref(system->again);
        sd_event_unref(system->event);
        free(system->address);
        free(system->path);
        free(system);
        return NULL;
}

static bool has_listeners(SystemBus *system, size_t index) {
        uint64_t n_queued = 0;

        return system->names[index].is_ours && sd_bus_get_n_queued_write(system->bus, &n_queued) >= 0 &&
               n_queued < SYSTEM_BUS_QUEUE_MAX;
}

void system_bus_visit(SystemBus *system, size_t index, void (*visit)(sd_bus *bus, const void *what),
                      const void *what) {
        assert(system);
        assert(index < system->n_names);
        assert(visit);

        if (has_listeners(system, index))
                visit(system->bus, what);
}

void system_bus_emit(SystemBus *system, size_t index, const char *member, const char *types, ...) {
        const BusObject *object;
        va_list values;
        int r;

        assert(system);
        assert(index < system->n_names);

        if (!has_listeners(system, index))
                return;
        object = &system->names[index].object;
        va_start(values, types);
        r = sd_bus_emit_signalv(system->bus, object->path, object->interface, member, types, values);
        va_end(values);
        if (r < 0)
                log_debug_errno(r, "Cannot tell the system bus of %s: %m", member);
}
