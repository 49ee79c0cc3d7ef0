/* SPDX-License-Identifier: Apache-2.0 */

#include "fake-libvirtd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/units.h"

FakeLibvirtd libvirtd;

struct LibvirtConnection {
        uint64_t number;
};

static int fake_open(const char *uri, LibvirtEventHandler handler, void *userdata, LibvirtConnection **ret,
                     char error[static LIBVIRT_TEXT_MAX]) {
        LibvirtConnection *connection = NULL;

        (void) pthread_mutex_lock(&libvirtd.mutex);
        if (!libvirtd.refuses && (connection = calloc(1, sizeof(*connection)))) {
                libvirtd.n_open++;
                connection->number = ++libvirtd.n_opened;
                libvirtd.handler = handler;
                libvirtd.userdata = userdata;
        }
        (void) pthread_mutex_unlock(&libvirtd.mutex);
        (void) snprintf(error, LIBVIRT_TEXT_MAX, "not there");
        *ret = connection;
        return connection ? 0 : -ENOTCONN;
}

static void fake_close(LibvirtConnection *connection) {
        (void) pthread_mutex_lock(&libvirtd.mutex);
        libvirtd.n_open--;
        if (connection->number == libvirtd.n_opened)
                libvirtd.handler = NULL;
        (void) pthread_mutex_unlock(&libvirtd.mutex);
        free(connection);
}

/* With the mutex. */
static int check(const LibvirtConnection *connection, char error[static LIBVIRT_TEXT_MAX]) {
        (void) snprintf(error, LIBVIRT_TEXT_MAX, "broken");
        return connection->number <= libvirtd.broken_below ? -ENOTCONN : 0;
}

static int fake_list(LibvirtConnection *connection, char (**ret)[LIBVIRT_UUID_MAX], size_t *ret_n,
                     char error[static LIBVIRT_TEXT_MAX]) {
        char(*uuids)[LIBVIRT_UUID_MAX] = calloc(DOMAINS_MAX, sizeof(*uuids));
        size_t n = 0;
        int r;

        assert_non_null(uuids);
        (void) pthread_mutex_lock(&libvirtd.mutex);
        r = check(connection, error);
        for (unsigned i = 0; i < DOMAINS_MAX; i++)
                if (libvirtd.there[i])
                        memcpy(uuids[n++], libvirtd.domains[i].uuid, LIBVIRT_UUID_MAX);
        (void) pthread_mutex_unlock(&libvirtd.mutex);
        if (r < 0)
                free(uuids);
        else {
                *ret = uuids;
                *ret_n = n;
        }
        return r;
}

/* Waits where the domain hangs, and returns with the mutex. */
static unsigned enter(const char *uuid) {
        unsigned i = (unsigned) (uuid[0] - '0');
        bool hangs;

        assert_true(i < DOMAINS_MAX);
        (void) pthread_mutex_lock(&libvirtd.mutex);
        hangs = libvirtd.hangs[i];
        (void) pthread_mutex_unlock(&libvirtd.mutex);
        if (hangs) {
                (void) pthread_mutex_lock(&libvirtd.gate);
                (void) pthread_mutex_unlock(&libvirtd.gate);
        }
        (void) pthread_mutex_lock(&libvirtd.mutex);
        return i;
}

static int fake_read(LibvirtConnection *connection, const char *uuid, LibvirtDomain *ret,
                     char error[static LIBVIRT_TEXT_MAX]) {
        unsigned i = enter(uuid), delay_ms = libvirtd.read_delay_ms;
        int r;

        libvirtd.n_reads++;
        r = check(connection, error);
        *ret = libvirtd.domains[i];
        (void) pthread_mutex_unlock(&libvirtd.mutex);
        (void) usleep(delay_ms * 1000);
        return r;
}

static int leave(LibvirtConnection *connection, char error[static LIBVIRT_TEXT_MAX]) {
        int r = check(connection, error);

        if (r >= 0 && libvirtd.refuse_command) {
                (void) snprintf(error, LIBVIRT_TEXT_MAX, "%s", libvirtd.refuse_command);
                r = -EIO;
        }
        (void) pthread_mutex_unlock(&libvirtd.mutex);
        return r;
}

static int fake_set_balloon(LibvirtConnection *connection, const char *uuid, uint64_t value_bytes,
                            char error[static LIBVIRT_TEXT_MAX]) {
        unsigned i = enter(uuid);

        (void) snprintf(libvirtd.last, sizeof(libvirtd.last), "balloon %s %llu", uuid,
                        (unsigned long long) value_bytes);
        if (!libvirtd.refuse_command)
                libvirtd.domains[i].model.balloon_actual_bytes = value_bytes;
        return leave(connection, error);
}

static int fake_set_virtio_mem(LibvirtConnection *connection, const char *uuid, const char *device,
                               uint64_t requested_bytes, char error[static LIBVIRT_TEXT_MAX]) {
        unsigned i = enter(uuid);

        (void) snprintf(libvirtd.last, sizeof(libvirtd.last), "virtio-mem %s %s %llu", uuid, device,
                        (unsigned long long) requested_bytes);
        if (!libvirtd.refuse_command)
                libvirtd.domains[i].model.virtio_mem[0].requested_bytes = requested_bytes;
        return leave(connection, error);
}

static void write_log(const char *verb, unsigned number, uint64_t bytes) {
        size_t n = strlen(libvirtd.log);

        (void) snprintf(libvirtd.log + n, sizeof(libvirtd.log) - n, "%s%s %u %llu", n > 0 ? ", " : "", verb,
                        number, (unsigned long long) (bytes / MIB));
}

static int fake_plug_dimm(LibvirtConnection *connection, const char *uuid, unsigned number, uint64_t bytes,
                          char error[static LIBVIRT_TEXT_MAX]) {
        unsigned i = enter(uuid);

        write_log("plug", number, bytes);
        if (!libvirtd.refuse_command)
                memory_model_set_dimm(&libvirtd.domains[i].model, number, bytes);
        return leave(connection, error);
}

static int fake_pull_dimm(LibvirtConnection *connection, const char *uuid, unsigned number,
                          char error[static LIBVIRT_TEXT_MAX]) {
        int r;

        (void) enter(uuid);
        write_log("pull", number, 0);
        r = leave(connection, error);
        return r >= 0 && libvirtd.pull_missing ? -ENODEV : r;
}

const LibvirtApi fake_libvirt_api = {
        .version = LIBVIRT_API_VERSION,
        .open = fake_open,
        .close = fake_close,
        .list = fake_list,
        .read = fake_read,
        .set_balloon = fake_set_balloon,
        .set_virtio_mem = fake_set_virtio_mem,
        .plug_dimm = fake_plug_dimm,
        .pull_dimm = fake_pull_dimm,
};

void fake_libvirtd_lock(void) {
        (void) pthread_mutex_lock(&libvirtd.mutex);
}

void fake_libvirtd_unlock(void) {
        (void) pthread_mutex_unlock(&libvirtd.mutex);
}

uint64_t fake_libvirtd_opened(void) {
        uint64_t n;

        fake_libvirtd_lock();
        n = libvirtd.n_opened;
        fake_libvirtd_unlock();
        return n;
}

void fake_libvirtd_start(unsigned i) {
        LibvirtDomain *domain = &libvirtd.domains[i];

        memset(domain, 0, sizeof(*domain));
        (void) snprintf(domain->uuid, sizeof(domain->uuid), "%u", i);
        (void) snprintf(domain->name, sizeof(domain->name), "vm%u", i);
        domain->has_port = domain->running = true;
        domain->model.boot_bytes = 512 * MIB;
        domain->model.free_slots = 2;
        domain->model.room_bytes = 2 * GIB;
        domain->model.n_virtio_mem = 1;
        domain->model.virtio_mem[0] = (VirtioMem){.id = "vm0", .max_bytes = GIB, .block_bytes = 2 * MIB};
        domain->model.has_balloon = true;
        domain->model.balloon_actual_bytes = 256 * MIB;
        libvirtd.there[i] = true;
}

void fake_libvirtd_say(LibvirtEventKind kind, const char *uuid) {
        LibvirtEvent event = {.kind = kind};

        (void) snprintf(event.uuid, sizeof(event.uuid), "%s", uuid);
        assert_non_null(libvirtd.handler);
        libvirtd.handler(&event, libvirtd.userdata);
}

void fake_libvirtd_let_go(unsigned i) {
        char uuid[2] = {(char) ('0' + i), '\0'};

        fake_libvirtd_lock();
        memory_model_set_dimm(&libvirtd.domains[i].model, 0, 0);
        fake_libvirtd_unlock();
        fake_libvirtd_say(LIBVIRT_SIZE, uuid);
}

void fake_libvirtd_keep(unsigned i) {
        char uuid[2] = {(char) ('0' + i), '\0'};

        fake_libvirtd_say(LIBVIRT_DIMM_KEPT, uuid);
}

void fake_libvirtd_init(void) {
        memset(&libvirtd, 0, sizeof(libvirtd));
        (void) pthread_mutex_init(&libvirtd.mutex, NULL);
        (void) pthread_mutex_init(&libvirtd.gate, NULL);
        (void) pthread_mutex_lock(&libvirtd.gate);
}

unsigned fake_libvirtd_done(void) {
        unsigned n_open = 1;

        (void) pthread_mutex_unlock(&libvirtd.gate);
        for (unsigned i = 0; i < 500 && n_open > 0; i++) { /* whoever used it last closes it */
                fake_libvirtd_lock();
                n_open = libvirtd.n_open;
                fake_libvirtd_unlock();
                (void) usleep(n_open > 0 ? 10000 : 0);
        }
        return n_open;
}
