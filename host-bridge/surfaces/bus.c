/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A small D-Bus server without a bus: accept, one sd_bus per client, the same object on each.
 *
 * A client is whoever may open the socket (0600, and the kernel's peer credentials are checked by sd-bus' EXTERNAL
 * authentication); it can only read. The number of clients is bounded, so that a program that leaks connections
 * costs itself an answer and not the bridge its descriptors.
 */

#include "host-bridge/surfaces/bus.h"

#include <assert.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-id128.h>

#include "common/log.h"
#include "host-bridge/surfaces/fields.h"

#define BUS_CLIENTS_MAX 32U

typedef struct Client {
        Bus *owner;
        sd_bus *bus;
        sd_bus_slot *object, *disconnected;
} Client;

struct Bus {
        SnapshotSource source;
        const Record *record;
        sd_event *event;
        sd_event_source *listen_source;
        char *path;
        Client clients[BUS_CLIENTS_MAX];
        /* One answer at a time is put together here: too big for a stack. */
        Field fields[FIELDS_MAX];
        VmSnapshot vm;
        Decision decisions[BUS_DECISIONS_MAX];
};

static int append_list(sd_bus_message *message, const char *text) {
        int r = sd_bus_message_open_container(message, 'v', "as");

        if (r >= 0)
                r = sd_bus_message_open_container(message, 'a', "s");
        while (r >= 0 && *text) {
                char item[FIELD_TEXT_MAX];
                size_t length = strcspn(text, ",");

                (void) snprintf(item, sizeof(item), "%.*s", (int) length, text);
                r = sd_bus_message_append(message, "s", item);
                text += length + (text[length] == ',');
        }
        if (r >= 0)
                r = sd_bus_message_close_container(message);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

static int append_value(sd_bus_message *message, const Field *field) {
        switch (field->type) {
        case FIELD_U64:
                return sd_bus_message_append(message, "v", "t", field->u64);
        case FIELD_I64:
                return sd_bus_message_append(message, "v", "x", field->i64);
        case FIELD_BOOLEAN:
                return sd_bus_message_append(message, "v", "b", (int) field->boolean);
        case FIELD_STRING:
                return sd_bus_message_append(message, "v", "s", field->text);
        case FIELD_LIST:
                return append_list(message, field->text);
        case FIELD_TYPE_MAX:
                break;
        }
        return -EINVAL;
}

static int append_dictionary(sd_bus_message *message, const Field *fields, size_t n) {
        int r = sd_bus_message_open_container(message, 'a', "{sv}");

        for (size_t i = 0; i < n && r >= 0; i++) {
                r = sd_bus_message_open_container(message, 'e', "sv");
                if (r >= 0)
                        r = sd_bus_message_append(message, "s", fields[i].name);
                if (r >= 0)
                        r = append_value(message, fields + i);
                if (r >= 0)
                        r = sd_bus_message_close_container(message);
        }
        return r < 0 ? r : sd_bus_message_close_container(message);
}

static int method_get_bridge(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Bus *bus = ((Client *) userdata)->owner;
        BridgeSnapshot snapshot = {0};
        int r;

        r = sd_bus_message_new_method_return(call, &reply);
        if (r < 0)
                return r;
        bus->source.bridge(bus->source.userdata, &snapshot);
        r = append_dictionary(reply, bus->fields, fields_of_bridge(&snapshot, bus->fields));
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int method_list_vms(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Bus *bus = ((Client *) userdata)->owner;
        int r;

        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        for (size_t i = 0; r >= 0 && bus->source.vm_at(bus->source.userdata, i, &bus->vm); i++)
                r = append_dictionary(reply, bus->fields, fields_of_vm(&bus->vm, bus->fields));
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int method_get_vm(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Bus *bus = ((Client *) userdata)->owner;
        const char *name;
        int r;

        r = sd_bus_message_read(call, "s", &name);
        if (r < 0)
                return r;
        if (!bus->source.vm_named(bus->source.userdata, name, &bus->vm))
                return sd_bus_error_setf(error, BUS_ERROR_NO_VM, "The bridge knows no VM '%s'.", name);
        r = sd_bus_message_new_method_return(call, &reply);
        if (r < 0)
                return r;
        r = append_dictionary(reply, bus->fields, fields_of_vm(&bus->vm, bus->fields));
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int method_list_decisions(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Bus *bus = ((Client *) userdata)->owner;
        const char *name;
        uint32_t most;
        size_t n;
        int r;

        r = sd_bus_message_read(call, "su", &name, &most);
        if (r < 0)
                return r;
        /* Decisions outlive their VM, so only a name without any is asked for. */
        n = record_list(bus->record, *name ? name : NULL, bus->decisions, MIN_OF(most, BUS_DECISIONS_MAX));
        if (n == 0 && *name && !bus->source.vm_named(bus->source.userdata, name, &bus->vm))
                return sd_bus_error_setf(error, BUS_ERROR_NO_VM, "The bridge knows no VM '%s'.", name);

        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = append_dictionary(reply, bus->fields,
                                      fields_of_decision(bus->decisions + i, bus->fields));
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static const sd_bus_vtable bus_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("GetBridge", "", "a{sv}", method_get_bridge, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("ListVms", "", "aa{sv}", method_list_vms, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("GetVm", "s", "a{sv}", method_get_vm, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("ListDecisions", "su", "aa{sv}", method_list_decisions, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static void client_done(Client *client) {
        client->object = sd_bus_slot_unref(client->object);
        client->disconnected = sd_bus_slot_unref(client->disconnected);
        client->bus = sd_bus_close_unref(client->bus);
}

static int on_client_gone(sd_bus_message *signal, void *userdata, sd_bus_error *error) {
        client_done(userdata);
        return 0;
}

/* Takes over fd in any case. Returns 0 or -errno; a half-made client is left for client_done(). */
static int client_start(Client *client, int fd) {
        sd_id128_t id;
        int r;

        r = sd_bus_new(&client->bus);
        if (r < 0) {
                (void) safe_close(fd);
                return r;
        }
        r = sd_bus_set_fd(client->bus, fd, fd);
        if (r < 0) {
                (void) safe_close(fd);
                return r;
        }
        r = sd_id128_randomize(&id);
        if (r >= 0)
                r = sd_bus_set_server(client->bus, 1, id);
        if (r >= 0)
                r = sd_bus_set_description(client->bus, "memtide-bridge-client");
        if (r >= 0)
                r = sd_bus_add_object_vtable(client->bus, &client->object, BUS_OBJECT_PATH, BUS_INTERFACE,
                                             bus_vtable, client);
        if (r >= 0)
                r = sd_bus_match_signal(client->bus, &client->disconnected, NULL,
                                        "/org/freedesktop/DBus/Local", "org.freedesktop.DBus.Local",
                                        "Disconnected", on_client_gone, client);
        if (r >= 0)
                r = sd_bus_start(client->bus);
        if (r >= 0)
                r = sd_bus_attach_event(client->bus, client->owner->event, SD_EVENT_PRIORITY_IDLE);
        return r < 0 ? r : 0;
}

static int on_connection(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        _cleanup_close_ int accepted = -EBADF;
        Bus *bus = userdata;
        int r;

        accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (accepted < 0)
                return 0; /* the client has left again, or we are out of descriptors: it will retry */
        for (size_t i = 0; i < BUS_CLIENTS_MAX; i++) {
                Client *client = bus->clients + i;

                if (client->bus)
                        continue;
                client->owner = bus;
                r = client_start(client, TAKE_FD(accepted));
                if (r < 0) {
                        log_debug_errno(r, "A client of the control socket could not be served: %m");
                        client_done(client);
                }
                return 0;
        }
        log_debug("More than %u clients of the control socket: one was sent away", BUS_CLIENTS_MAX);
        return 0;
}

static int listen_unix(const char *path) {
        _cleanup_close_ int fd = -EBADF;
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        strcpy(address.sun_path, path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        /* The bridge's lock file tells that nobody serves this one any more. */
        (void) unlink(path);
        /* Mode before it can be connected to: bind() applies the descriptor's mode less the umask. */
        if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 ||
            chmod(path, 0600) < 0 || listen(fd, 16) < 0)
                return -errno;
        return TAKE_FD(fd);
}

int bus_new(sd_event *event, const char *socket_path, const SnapshotSource *source, const Record *record,
            Bus **ret) {
        _cleanup_(bus_freep) Bus *bus = NULL;
        int fd, r;

        assert(event);
        assert(socket_path);
        assert(source && source->bridge && source->vm_at && source->vm_named);
        assert(record);
        assert(ret);

        bus = calloc(1, sizeof(*bus));
        if (!bus)
                return -ENOMEM;
        bus->source = *source;
        bus->record = record;
        bus->event = sd_event_ref(event);

        fd = listen_unix(socket_path);
        if (fd < 0)
                return fd;
        bus->path = strdup(socket_path);
        r = bus->path ? sd_event_add_io(event, &bus->listen_source, fd, EPOLLIN, on_connection, bus)
                      : -ENOMEM;
        if (r < 0) {
                (void) safe_close(fd);
                return r;
        }
        r = sd_event_source_set_io_fd_own(bus->listen_source, true);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(bus->listen_source, "control-socket");

        *ret = TAKE_PTR(bus);
        return 0;
}

Bus *bus_free(Bus *bus) {
        if (!bus)
                return NULL;
        for (size_t i = 0; i < BUS_CLIENTS_MAX; i++)
                client_done(bus->clients + i);
        bus->listen_source = sd_event_source_disable_unref(bus->listen_source);
        if (bus->path)
                (void) unlink(bus->path);
        free(bus->path);
        bus->event = sd_event_unref(bus->event);
        free(bus);
        return NULL;
}
