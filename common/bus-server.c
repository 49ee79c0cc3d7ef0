/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A small D-Bus server without a bus: accept, one sd_bus per client, the same object on each.
 *
 * A client is whoever may open the socket (0600, and the kernel's peer credentials are checked by sd-bus' EXTERNAL
 * authentication). The number of clients is bounded, and so is what waits for each: a program that leaks connections
 * or does not read costs itself an answer, and not the daemon its descriptors or its memory.
 *
 * Where the daemon's descriptors are used up, one that is kept back serves the next client, who may be somebody who wants to
 * know why. After that nobody is taken in for a while: a client who waits would wake the loop again at once, for ever.
 */

#include "common/bus-server.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-id128.h>
#include <time.h>

#include "common/log.h"
#include "common/units.h"

#define BUS_SERVER_CLIENTS_MAX 32U
#define BUS_SERVER_QUEUE_MAX   64U /* messages that wait for one client */
#define BUS_SERVER_PAUSE_USEC  (200 * USEC_PER_MSEC)

typedef struct Client {
        BusServer *owner;
        sd_bus *bus; /* NULL: the place is free */
        sd_bus_slot *object, *disconnected;
} Client;

struct BusServer {
        BusObject object;
        sd_event *event;
        sd_event_source *listen_source, *resume_source;
        int kept; /* a descriptor for when there is no other */
        char *path;
        Client clients[BUS_SERVER_CLIENTS_MAX];
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
        const BusObject *object = &client->owner->object;
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
                r = sd_bus_set_description(client->bus, "memtide-client");
        if (r >= 0)
                r = sd_bus_add_object_vtable(client->bus, &client->object, object->path, object->interface,
                                             object->vtable, object->userdata);
        if (r >= 0 && object->extend)
                r = object->extend(client->bus, object->userdata);
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

static int on_resume(sd_event_source *source, uint64_t usec, void *userdata) {
        BusServer *server = userdata;

        (void) sd_event_source_set_enabled(server->listen_source, SD_EVENT_ON);
        return 0;
}

static void pause_listening(BusServer *server) {
        (void) sd_event_source_set_enabled(server->listen_source, SD_EVENT_OFF);
        (void) sd_event_source_set_time_relative(server->resume_source, BUS_SERVER_PAUSE_USEC);
        (void) sd_event_source_set_enabled(server->resume_source, SD_EVENT_ONESHOT);
}

static bool is_out_of_descriptors(int error) {
        return error == EMFILE || error == ENFILE;
}

static void keep_one_back(BusServer *server) {
        if (server->kept < 0)
                server->kept = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* -errno where there is nobody, or no descriptor for him. */
static int accept_client(BusServer *server, int fd) {
        int accepted;

        keep_one_back(server);
        accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (accepted < 0 && is_out_of_descriptors(errno) && server->kept >= 0) {
                server->kept = safe_close(server->kept);
                accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        }
        return accepted < 0 ? -errno : accepted;
}

static int on_connection(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        _cleanup_close_ int accepted = -EBADF;
        BusServer *server = userdata;
        int r;

        accepted = accept_client(server, fd);
        if (accepted < 0) {
                if (is_out_of_descriptors(-accepted))
                        pause_listening(server);
                return 0; /* else the client has left again */
        }
        for (size_t i = 0; i < BUS_SERVER_CLIENTS_MAX; i++) {
                Client *client = server->clients + i;

                if (client->bus)
                        continue;
                client->owner = server;
                r = client_start(client, TAKE_FD(accepted));
                if (r < 0) {
                        log_debug_errno(r, "A client of the control socket could not be served: %m");
                        client_done(client);
                }
                return 0;
        }
        log_debug("More than %u clients of the control socket: one was sent away", BUS_SERVER_CLIENTS_MAX);
        return 0;
}

static bool is_served(const struct sockaddr_un *address) {
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        return fd >= 0 && connect(fd, (const struct sockaddr *) address, sizeof(*address)) >= 0;
}

static int listen_unix(const char *path) {
        _cleanup_close_ int fd = -EBADF;
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        strcpy(address.sun_path, path);
        if (is_served(&address))
                return -EADDRINUSE;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        (void) unlink(path); /* what is left of one that did not end well */
        /* Mode before it can be connected to: bind() applies the descriptor's mode less the umask. */
        if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 ||
            chmod(path, 0600) < 0 || listen(fd, 16) < 0)
                return -errno;
        return TAKE_FD(fd);
}

static int bus_server_listen(BusServer *server) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = listen_unix(server->path);
        if (fd < 0)
                return fd;
        r = sd_event_add_io(server->event, &server->listen_source, fd, EPOLLIN, on_connection, server);
        if (r < 0)
                return r;
        r = sd_event_source_set_io_fd_own(server->listen_source, true);
        if (r < 0)
                return r;
        (void) TAKE_FD(fd);
        (void) sd_event_source_set_description(server->listen_source, "bus-server");
        r = sd_event_add_time_relative(server->event, &server->resume_source, CLOCK_MONOTONIC, 0,
                                       USEC_PER_MSEC, on_resume, server);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(server->resume_source, "bus-server-resume");
        keep_one_back(server);
        return sd_event_source_set_enabled(server->resume_source, SD_EVENT_OFF);
}

int bus_server_new(sd_event *event, const char *socket_path, const BusObject *object, BusServer **ret) {
        _cleanup_(bus_server_freep) BusServer *server = NULL;
        int r;

        assert(event);
        assert(socket_path);
        assert(object);
        assert(ret);

        server = calloc(1, sizeof(*server));
        if (!server)
                return -ENOMEM;
        server->kept = -EBADF;
        server->object = *object;
        server->event = sd_event_ref(event);
        server->path = strdup(socket_path);
        if (!server->path)
                return -ENOMEM;

        r = bus_server_listen(server);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(server);
        return 0;
}

BusServer *bus_server_free(BusServer *server) {
        if (!server)
                return NULL;
        for (size_t i = 0; i < BUS_SERVER_CLIENTS_MAX; i++)
                client_done(server->clients + i);
        if (server->listen_source)
                (void) unlink(server->path);
        server->listen_source = sd_event_source_disable_unref(server->listen_source);
        server->resume_source = sd_event_source_disable_unref(server->resume_source);
        server->kept = safe_close(server->kept);
        free(server->path);
        server->event = sd_event_unref(server->event);
        free(server);
        return NULL;
}

static bool client_reads(Client *client) {
        uint64_t n_queued = 0;

        return sd_bus_get_n_queued_write(client->bus, &n_queued) >= 0 && n_queued < BUS_SERVER_QUEUE_MAX;
}

/* Returns the connection of a client that is ready, or NULL; one that does not read is sent away. */
static sd_bus *listener(Client *client) {
        if (!client->bus || sd_bus_is_ready(client->bus) <= 0)
                return NULL;
        if (client_reads(client))
                return client->bus;
        log_debug("A client of the control socket does not read: it was sent away");
        client_done(client);
        return NULL;
}

void bus_server_visit(BusServer *server, void (*visit)(sd_bus *bus, const void *what), const void *what) {
        assert(server);
        assert(visit);

        for (size_t i = 0; i < BUS_SERVER_CLIENTS_MAX; i++) {
                sd_bus *bus = listener(server->clients + i);

                if (bus)
                        visit(bus, what);
        }
}

void bus_server_emit(BusServer *server, const char *member, const char *types, ...) {
        assert(server);
        assert(member);

        for (size_t i = 0; i < BUS_SERVER_CLIENTS_MAX; i++) {
                Client *client = server->clients + i;
                va_list values;
                int r;

                if (!listener(client))
                        continue;
                va_start(values, types);
                r = sd_bus_emit_signalv(client->bus, server->object.path, server->object.interface, member,
                                        types, values);
                va_end(values);
                if (r < 0)
                        log_debug_errno(r, "A client of the control socket misses %s: %m", member);
        }
}
