/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A stand-in for libvirt.so: each call is a line to the test's socket (the URI is fake:PATH) and waits for a line in
 * return, for ever if the test wants that. The first connection stays open and carries events.
 */

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "host-bridge/vmm/libvirt-api.h"

#define LINE_MAX_BYTES 4096U

extern const LibvirtApi memtide_libvirt_api;

struct LibvirtConnection {
        char path[108];
        int events;
        pthread_t thread;
        LibvirtEventHandler handler;
        void *userdata;
};

static int connect_to(const char *path) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        if (fd >= 0 && connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0) {
                (void) close(fd);
                fd = -1;
        }
        return fd;
}

/* One line without its end. Returns false at the end of the stream. */
static bool read_line(int fd, char line[static LINE_MAX_BYTES]) {
        size_t n = 0;

        while (n < LINE_MAX_BYTES - 1 && read(fd, line + n, 1) == 1) {
                if (line[n] == '\n') {
                        line[n] = '\0';
                        return true;
                }
                n++;
        }
        return false;
}

/* "ok ..." leaves what follows in reply; "error WORDS" is -EIO. */
static int ask(const LibvirtConnection *connection, char reply[static LINE_MAX_BYTES],
               char error[static LIBVIRT_TEXT_MAX], const char *format, ...) {
        char line[LINE_MAX_BYTES];
        va_list args;
        int fd = connect_to(connection->path), n, r = -ENOTCONN;

        (void) snprintf(error, LIBVIRT_TEXT_MAX, "nobody is there");
        if (fd < 0)
                return r;
        va_start(args, format);
        n = vsnprintf(line, sizeof(line), format, args);
        va_end(args);
        if (write(fd, line, (size_t) n) == n && read_line(fd, line)) {
                r = strncmp(line, "ok", 2) == 0 ? 0 : -EIO;
                (void) snprintf(error, LIBVIRT_TEXT_MAX, "%.200s", line + strcspn(line, " "));
                memcpy(reply, line, sizeof(line));
        }
        (void) close(fd);
        return r;
}

static void *run_events(void *userdata) {
        LibvirtConnection *connection = userdata;
        char line[LINE_MAX_BYTES];

        while (read_line(connection->events, line)) {
                LibvirtEvent event = {};
                int kind;

                if (sscanf(line, "%d %36s", &kind, event.uuid) < 1)
                        continue;
                event.kind = (LibvirtEventKind) kind;
                connection->handler(&event, connection->userdata);
        }
        connection->handler(&(LibvirtEvent){.kind = LIBVIRT_CLOSED}, connection->userdata);
        return NULL;
}

static int fake_open(const char *uri, LibvirtEventHandler handler, void *userdata, LibvirtConnection **ret,
                     char error[static LIBVIRT_TEXT_MAX]) {
        LibvirtConnection *connection = calloc(1, sizeof(*connection));

        if (!connection)
                return -ENOMEM;
        connection->handler = handler;
        connection->userdata = userdata;
        (void) snprintf(connection->path, sizeof(connection->path), "%s", strchr(uri, ':') + 1);
        connection->events = connect_to(connection->path);
        if (connection->events < 0 || write(connection->events, "events\n", 7) != 7 ||
            pthread_create(&connection->thread, NULL, run_events, connection) != 0) {
                (void) snprintf(error, LIBVIRT_TEXT_MAX, "nobody is there");
                if (connection->events >= 0)
                        (void) close(connection->events);
                free(connection);
                return -ENOTCONN;
        }
        *ret = connection;
        return 0;
}

static void fake_close(LibvirtConnection *connection) {
        if (!connection)
                return;
        (void) shutdown(connection->events, SHUT_RDWR);
        (void) pthread_join(connection->thread, NULL);
        (void) close(connection->events);
        free(connection);
}

static int fake_list(LibvirtConnection *connection, char (**ret)[LIBVIRT_UUID_MAX], size_t *ret_n,
                     char error[static LIBVIRT_TEXT_MAX]) {
        char reply[LINE_MAX_BYTES], *word, *rest = reply;
        int r = ask(connection, reply, error, "list\n");

        if (r < 0)
                return r;
        *ret = calloc(LINE_MAX_BYTES / LIBVIRT_UUID_MAX + 1, sizeof(**ret));
        if (!*ret)
                return -ENOMEM;
        *ret_n = 0;
        (void) strsep(&rest, " "); /* ok */
        while ((word = strsep(&rest, " ")) && *word != '\0')
                (void) snprintf((*ret)[(*ret_n)++], LIBVIRT_UUID_MAX, "%s", word);
        return 0;
}

static int fake_read(LibvirtConnection *connection, const char *uuid, LibvirtDomain *ret,
                     char error[static LIBVIRT_TEXT_MAX]) {
        VirtioMem device = {.id = "virtiomem0", .block_bytes = 2 * MIB};
        unsigned long long boot, actual, max, requested, size;
        char reply[LINE_MAX_BYTES];
        int r = ask(connection, reply, error, "read %s\n", uuid), running;

        if (r < 0)
                return r;
        memset(ret, 0, sizeof(*ret));
        ret->has_port = true;
        if (sscanf(reply, "ok %255s %107s %d %llu %llu %llu %llu %llu %1023s", ret->name, ret->channel,
                   &running, &boot, &actual, &max, &requested, &size, ret->policy) < 8)
                return -EIO;
        for (char *c = ret->policy; *c != '\0'; c++)
                if (*c == '|')
                        *c = '\n';
        device.max_bytes = max;
        device.requested_bytes = requested;
        device.size_bytes = size;
        (void) snprintf(ret->uuid, sizeof(ret->uuid), "%s", uuid);
        ret->running = running;
        ret->model.boot_bytes = boot;
        ret->model.has_balloon = true;
        ret->model.balloon_actual_bytes = actual;
        ret->model.virtio_mem[ret->model.n_virtio_mem++] = device;
        return 0;
}

static int fake_set_balloon(LibvirtConnection *connection, const char *uuid, uint64_t value_bytes,
                            char error[static LIBVIRT_TEXT_MAX]) {
        char reply[LINE_MAX_BYTES];

        return ask(connection, reply, error, "balloon %s %llu\n", uuid, (unsigned long long) value_bytes);
}

static int fake_set_virtio_mem(LibvirtConnection *connection, const char *uuid, const char *device,
                               uint64_t requested_bytes, char error[static LIBVIRT_TEXT_MAX]) {
        char reply[LINE_MAX_BYTES];

        return ask(connection, reply, error, "virtio-mem %s %llu\n", uuid,
                   (unsigned long long) requested_bytes);
}

const LibvirtApi memtide_libvirt_api = {
        .version = LIBVIRT_API_VERSION,
        .open = fake_open,
        .close = fake_close,
        .list = fake_list,
        .read = fake_read,
        .set_balloon = fake_set_balloon,
        .set_virtio_mem = fake_set_virtio_mem,
};
