/* SPDX-License-Identifier: Apache-2.0 */

/*
 * virConnectClose() speaks to libvirtd and may hang as any other call. The last call that uses a connection closes it,
 * and where the loop is the last a thread of its own does: a job for the pool could be refused.
 *
 * A call takes its connection when it begins and not when it is asked for: what waited behind a hanging connection
 * then goes over the one that has replaced it.
 */

#include "host-bridge/vmm/libvirt-line.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "common/units.h"

#define NEWS_MAX 256U /* between two wake-ups of the loop */

struct LibvirtOpened {
        LibvirtLine *line;
        LibvirtConnection *connection;
        uint64_t serial;
        unsigned n_users; /* calls that run; and one more while it is current */
};

struct LibvirtLine {
        const LibvirtApi *api;
        pthread_mutex_t mutex; /* of everything below, n_users and serial of each */
        unsigned n_refs;       /* the owner, each call and each connection */
        uint64_t n_opened;
        LibvirtOpened *current;
        int fd; /* eventfd; closed: the owner has gone */
        struct {
                LibvirtEvent event;
                uint64_t serial;
        } news[NEWS_MAX];
        unsigned n_news, first;
        bool lost;
};

static void lock(LibvirtLine *line) {
        (void) pthread_mutex_lock(&line->mutex);
}

static void unlock(LibvirtLine *line) {
        (void) pthread_mutex_unlock(&line->mutex);
}

static void unref(LibvirtLine *line) {
        bool last;

        lock(line);
        last = --line->n_refs == 0;
        unlock(line);
        if (!last)
                return;
        (void) pthread_mutex_destroy(&line->mutex);
        free(line);
}

static void ref(LibvirtLine *line) {
        lock(line);
        line->n_refs++;
        unlock(line);
}

/* From a thread of the module. */
static void on_event(const LibvirtEvent *event, void *userdata) {
        static const uint64_t one = 1;
        const LibvirtOpened *opened = userdata;
        LibvirtLine *line = opened->line;

        lock(line);
        if (line->n_news < NEWS_MAX) {
                unsigned i = (line->first + line->n_news++) % NEWS_MAX;

                line->news[i].event = *event;
                line->news[i].serial = opened->serial;
        } else
                line->lost = true;
        if (line->fd >= 0)
                (void) !write(line->fd, &one, sizeof(one));
        unlock(line);
}

bool libvirt_line_take_news(LibvirtLine *line, LibvirtNews *ret) {
        bool found = false;
        uint64_t n;

        assert(line);
        assert(ret);

        lock(line);
        while (!found && line->n_news > 0) {
                unsigned i = line->first;

                line->first = (line->first + 1) % NEWS_MAX;
                line->n_news--;
                if (!line->current || line->news[i].serial != line->current->serial)
                        continue;
                *ret = (LibvirtNews){.event = line->news[i].event};
                found = true;
        }
        if (!found && line->lost) {
                line->lost = false;
                *ret = (LibvirtNews){.lost = true};
                found = true;
        }
        if (!found)
                (void) !read(line->fd, &n, sizeof(n));
        unlock(line);
        return found;
}

/* -- connections ----------------------------------------------------------------------------------- */

static void *close_opened(void *userdata) {
        LibvirtOpened *opened = userdata;
        LibvirtLine *line = opened->line;

        line->api->close(opened->connection);
        free(opened);
        unref(line);
        return NULL;
}

/* Without a thread it stays open: better than a loop that hangs. */
static void close_aside(LibvirtOpened *opened) {
        sigset_t all, before;
        pthread_t thread;

        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the loop's */
        if (pthread_create(&thread, NULL, close_opened, opened) == 0)
                (void) pthread_detach(thread);
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* With the lock. Returns true for the last. */
static bool release(LibvirtOpened *opened) {
        return --opened->n_users == 0;
}

void libvirt_line_use(LibvirtLine *line, LibvirtOpened *opened) {
        LibvirtOpened *before;
        bool last;

        assert(line);

        lock(line);
        before = line->current;
        line->current = opened;
        if (opened)
                opened->n_users++;
        last = before && release(before);
        unlock(line);
        if (last)
                close_aside(before);
}

uint64_t libvirt_line_serial(LibvirtLine *line) {
        uint64_t serial;

        lock(line);
        serial = line->current ? line->current->serial : 0;
        unlock(line);
        return serial;
}

uint64_t libvirt_line_serial_of(LibvirtLine *line, const LibvirtCall *call) {
        uint64_t serial;

        lock(line);
        serial = call->serial;
        unlock(line);
        return serial;
}

static LibvirtOpened *begin(LibvirtCall *call) {
        LibvirtOpened *opened;

        lock(call->line);
        opened = call->line->current;
        if (opened) {
                opened->n_users++;
                call->serial = opened->serial;
        }
        unlock(call->line);
        return opened;
}

static void end(LibvirtOpened *opened) {
        LibvirtLine *line = opened->line;
        bool last;

        lock(line);
        last = release(opened);
        unlock(line);
        if (last)
                (void) close_opened(opened);
}

/* -- calls, in a worker ---------------------------------------------------------------------------- */

static int run_open(LibvirtCall *call) {
        LibvirtOpened *opened;
        int r;

        opened = malloc(sizeof(*opened));
        if (!opened)
                return -ENOMEM;
        *opened = (LibvirtOpened){.line = call->line};
        lock(call->line);
        call->line->n_refs++;
        opened->serial = ++call->line->n_opened;
        unlock(call->line);

        r = call->line->api->open(call->uri, on_event, opened, &opened->connection, call->error);
        if (r < 0) {
                free(opened);
                unref(call->line);
                return r;
        }
        call->opened = opened;
        return 0;
}

static int run_over(LibvirtCall *call, const LibvirtOpened *opened) {
        const LibvirtApi *api = call->line->api;

        switch (call->verb) {

        case LIBVIRT_LIST:
                return api->list(opened->connection, &call->uuids, &call->n_uuids, call->error);

        case LIBVIRT_READ:
                return api->read(opened->connection, call->uuid, &call->domain, call->error);

        case LIBVIRT_SET_BALLOON:
                return api->set_balloon(opened->connection, call->uuid, call->bytes, call->error);

        case LIBVIRT_SET_VIRTIO_MEM:
                return api->set_virtio_mem(opened->connection, call->uuid, call->device, call->bytes,
                                           call->error);

        case LIBVIRT_PLUG_DIMM:
                return api->plug_dimm(opened->connection, call->uuid, call->dimm, call->bytes, call->error);

        case LIBVIRT_PULL_DIMM:
                return api->pull_dimm(opened->connection, call->uuid, call->dimm, call->error);

        case LIBVIRT_OPEN:
        case LIBVIRT_VERB_MAX:
                break;
        }
        return -EOPNOTSUPP;
}

static void run(PoolJob *job) {
        LibvirtCall *call = CONTAINER_OF(job, LibvirtCall, job);
        LibvirtOpened *opened;

        if (call->verb == LIBVIRT_OPEN) {
                call->r = run_open(call);
                return;
        }

        opened = begin(call);
        if (!opened) {
                call->r = -ENOTCONN;
                (void) snprintf(call->error, sizeof(call->error), "there is no connection to libvirt");
                return;
        }
        call->r = run_over(call, opened);
        end(opened);
}

static void free_call(PoolJob *job) {
        LibvirtCall *call = CONTAINER_OF(job, LibvirtCall, job);

        if (call->opened)
                close_aside(call->opened);
        free(call->uuids);
        free(call->uri);
        unref(call->line);
        free(call);
}

void libvirt_call_free(LibvirtCall *call) {
        if (call)
                free_call(&call->job);
}

LibvirtCall *libvirt_call_new(LibvirtLine *line, LibvirtVerb verb, const char *uuid,
                              void (*done)(PoolJob *job, PoolOutcome outcome, void *owner)) {
        LibvirtCall *call;

        assert(line);

        call = calloc(1, sizeof(*call));
        if (!call)
                return NULL;
        call->job = (PoolJob){.run = run, .done = done, .free = free_call};
        call->line = line;
        call->verb = verb;
        (void) snprintf(call->uuid, sizeof(call->uuid), "%s", uuid ?: "");
        ref(line);
        return call;
}

/* -- life ------------------------------------------------------------------------------------------ */

int libvirt_line_new(const LibvirtApi *api, LibvirtLine **ret, int *ret_fd) {
        LibvirtLine *line;

        assert(api);
        assert(ret);
        assert(ret_fd);

        line = calloc(1, sizeof(*line));
        if (!line)
                return -ENOMEM;
        line->api = api;
        line->n_refs = 1;
        (void) pthread_mutex_init(&line->mutex, NULL);
        line->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (line->fd < 0) {
                int r = -errno;

                unref(line);
                return r;
        }
        *ret = line;
        *ret_fd = line->fd;
        return 0;
}

LibvirtLine *libvirt_line_free(LibvirtLine *line) {
        if (!line)
                return NULL;

        lock(line);
        line->fd = safe_close(line->fd);
        unlock(line);
        libvirt_line_use(line, NULL);
        unref(line);
        return NULL;
}
