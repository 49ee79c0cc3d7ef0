/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A connection over which two calls hang is replaced while they still hang: libvirtd serves a client at most five
 * calls at once (max_client_requests), so that five stuck domains would silence it for all.
 */

#include "host-bridge/vmm/libvirt-internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "common/log.h"
#include "common/units.h"
#include "host-bridge/vmm/vmm-words.h"

#define SYSTEM_URI  "qemu:///system"
#define STUCK_MAX   2U                 /* calls that hang over one connection */
#define ABSENT_USEC (5 * USEC_PER_SEC) /* between two looks for a libvirtd that is not there */

const LibvirtOptions libvirt_defaults = {
        .workers =
                {
                        .active_max = 4, /* of the five that libvirtd serves a client at once */
                        .threads_max = 64,
                        .deadline_usec = 2 * USEC_PER_SEC,
                        .queue_usec = 10 * USEC_PER_SEC,
                },
        .retry_min_usec = 100 * USEC_PER_MSEC,
        .retry_max_usec = 5 * USEC_PER_SEC,
        .list_usec = 10 * USEC_PER_SEC,
};

void libvirt_arm(sd_event_source *source, uint64_t usec) {
        (void) sd_event_source_set_time_relative(source, usec);
        (void) sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static const char *uri_of(const Libvirt *libvirt) {
        return libvirt->options.uri ?: SYSTEM_URI;
}

/* Unless somebody has asked for it, a host without libvirtd is no news. */
static bool is_absent(const Libvirt *libvirt) {
        return !libvirt->options.uri && access("/run/libvirt/libvirt-sock", F_OK) < 0 &&
               access("/run/libvirt/virtqemud-sock", F_OK) < 0;
}

/* -- listeners ------------------------------------------------------------------------------------- */

/* A listener may leave inside. */
void libvirt_tell(Libvirt *libvirt, const LibvirtEvent *event) {
        LibvirtListener *listener, *next;

        DL_FOREACH_SAFE(libvirt->listeners, listener, next)
        if (event->uuid[0] == '\0' || strcmp(listener->uuid, event->uuid) == 0)
                listener->handler(listener, event);
}

void libvirt_listen(Libvirt *libvirt, LibvirtListener *listener) {
        assert(libvirt);
        assert(listener && listener->handler);

        DL_APPEND(libvirt->listeners, listener);
}

void libvirt_unlisten(Libvirt *libvirt, LibvirtListener *listener) {
        assert(libvirt);
        assert(listener);

        DL_DELETE(libvirt->listeners, listener);
}

/* -- the connection -------------------------------------------------------------------------------- */

static void drop_connection(Libvirt *libvirt, const char *why) {
        char words[VMM_WORDS_MAX];

        if (libvirt_line_serial(libvirt->line) == 0)
                return;
        libvirt_line_use(libvirt->line, NULL);
        vmm_copy_words(why, words);
        log_warning(
                "libvirt: the connection to %s is lost (%s); every VM keeps its size, and it is tried again",
                uri_of(libvirt), words);
        libvirt->told_lost = true;
        if (!libvirt->opening)
                libvirt_arm(libvirt->timer, libvirt->retry_usec);
        libvirt_tell(libvirt, &(LibvirtEvent){.kind = LIBVIRT_CLOSED});
}

static void use_connection(Libvirt *libvirt, LibvirtCall *call) {
        bool replaced = libvirt_line_serial(libvirt->line) != 0;

        libvirt_line_use(libvirt->line, TAKE_PTR(call->opened));
        libvirt->n_stuck = 0;
        libvirt->told_lost = false;
        libvirt->retry_usec = libvirt->options.retry_min_usec;
        libvirt_arm(libvirt->timer, libvirt->options.list_usec);
        if (replaced) {
                /* Without a look at each domain: those that hang would hang the new one too, and so on for ever. */
                log_debug("libvirt: connected to %s anew, since calls hang", uri_of(libvirt));
                libvirt_list(libvirt);
                return;
        }
        log_info("libvirt: connected to %s", uri_of(libvirt));
        libvirt_read_all(libvirt); /* what happened meanwhile nobody tells */
}

static void note_failure(Libvirt *libvirt, const char *error) {
        char words[VMM_WORDS_MAX];

        libvirt_arm(libvirt->timer, libvirt->retry_usec);
        libvirt->retry_usec = u64_min(libvirt->retry_usec * 2, libvirt->options.retry_max_usec);
        if (libvirt->told_lost || libvirt_line_serial(libvirt->line) != 0)
                return;
        libvirt->told_lost = true;
        vmm_copy_words(error, words);
        log_warning("libvirt: no connection to %s (%s); it is tried again", uri_of(libvirt), words);
}

static void on_opened(PoolJob *job, PoolOutcome outcome, void *owner) {
        LibvirtCall *call = CONTAINER_OF(job, LibvirtCall, job);
        Libvirt *libvirt = owner;

        /* One that starts slowly is as good, so an overdue attempt is waited for, and no second one begun. */
        if (outcome == POOL_OVERDUE)
                return;
        libvirt->opening = NULL;
        if (outcome == POOL_REFUSED)
                note_failure(libvirt, "all workers hang");
        else if (call->r < 0)
                note_failure(libvirt, call->error);
        else
                use_connection(libvirt, call);
}

static void open_connection(Libvirt *libvirt) {
        LibvirtCall *call;

        if (libvirt->opening)
                return;
        if (is_absent(libvirt)) {
                libvirt_arm(libvirt->timer, ABSENT_USEC);
                return;
        }
        call = libvirt_call(libvirt, LIBVIRT_OPEN, NULL, on_opened);
        if (call)
                call->uri = strdup(uri_of(libvirt));
        if (!call || !call->uri) {
                libvirt_call_free(call);
                note_failure(libvirt, "out of memory");
                return;
        }
        libvirt->opening = call;
        libvirt_submit(libvirt, call, libvirt);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Libvirt *libvirt = userdata;

        if (libvirt_line_serial(libvirt->line) == 0)
                open_connection(libvirt);
        else {
                libvirt_list(libvirt);
                libvirt_arm(libvirt->timer, libvirt->options.list_usec);
        }
        return 0;
}

/* -- calls ----------------------------------------------------------------------------------------- */

LibvirtCall *libvirt_call(Libvirt *libvirt, LibvirtVerb verb, const char *uuid,
                          void (*done)(PoolJob *job, PoolOutcome outcome, void *owner)) {
        assert(libvirt);

        return libvirt_call_new(libvirt->line, verb, uuid, done);
}

void libvirt_submit(Libvirt *libvirt, LibvirtCall *call, void *owner) {
        assert(libvirt);
        assert(call);

        worker_pool_submit(libvirt->pool, &call->job, owner);
}

void libvirt_note(Libvirt *libvirt, const LibvirtCall *call, PoolOutcome outcome) {
        uint64_t serial = libvirt_line_serial_of(libvirt->line, call);

        if (serial == 0 || serial != libvirt_line_serial(libvirt->line))
                return; /* it says nothing about the current one */
        switch (outcome) {

        case POOL_OVERDUE:
                if (++libvirt->n_stuck >= STUCK_MAX)
                        open_connection(libvirt);
                return;

        case POOL_LATE:
                libvirt->n_stuck -= libvirt->n_stuck > 0;
                break;

        case POOL_DONE:
                break;

        case POOL_REFUSED:
                return;
        }
        if (call->r == -ENOTCONN)
                drop_connection(libvirt, call->error);
}

bool libvirt_is_connected(const Libvirt *libvirt) {
        assert(libvirt);

        return libvirt_line_serial(libvirt->line) != 0;
}

/* -- events ---------------------------------------------------------------------------------------- */

static void take_event(Libvirt *libvirt, const LibvirtEvent *event) {
        switch (event->kind) {

        case LIBVIRT_CLOSED:
                drop_connection(libvirt, "libvirtd has closed it");
                return;

        case LIBVIRT_DOMAINS: /* also one that has gone and come again at once, with another channel */
        case LIBVIRT_POLICY:
                libvirt_mark_stale(libvirt, event->uuid);
                libvirt_list(libvirt);
                break;

        case LIBVIRT_SIZE:
        case LIBVIRT_DIMM_KEPT:
        case LIBVIRT_RESET:
        case LIBVIRT_PAUSED:
        case LIBVIRT_RESUMED:
        case LIBVIRT_SHUTDOWN:
        case LIBVIRT_EVENT_KIND_MAX:
                break;
        }
        libvirt_tell(libvirt, event);
}

static int on_news(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Libvirt *libvirt = userdata;
        LibvirtNews news;

        while (libvirt_line_take_news(libvirt->line, &news)) {
                if (news.lost)
                        libvirt_read_all(libvirt);
                else
                        take_event(libvirt, &news.event);
        }
        return 0;
}

/* -- life ------------------------------------------------------------------------------------------ */

static int add_timer(sd_event *event, sd_event_time_handler_t handler, const char *description, int enabled,
                     Libvirt *libvirt, sd_event_source **ret) {
        int r;

        r = sd_event_add_time_relative(event, ret, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, handler, libvirt);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(*ret, description);
        return sd_event_source_set_enabled(*ret, enabled);
}

int libvirt_new(sd_event *event, const LibvirtOptions *options, LibvirtHandler handler, void *userdata,
                Libvirt **ret) {
        _cleanup_(libvirt_freep) Libvirt *libvirt = NULL;
        int r, fd;

        assert(event);
        assert(options && options->api);
        assert(handler);
        assert(ret);

        libvirt = malloc(sizeof(*libvirt));
        if (!libvirt)
                return -ENOMEM;
        *libvirt = (Libvirt){
                .options = *options,
                .retry_usec = options->retry_min_usec,
                .handler = handler,
                .userdata = userdata,
        };
        libvirt->options.uri = NULL;
        if (options->uri) {
                libvirt->options.uri = strdup(options->uri);
                if (!libvirt->options.uri)
                        return -ENOMEM;
        }
        r = worker_pool_new(event, &options->workers, &libvirt->pool);
        if (r < 0)
                return r;
        r = libvirt_line_new(options->api, &libvirt->line, &fd);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &libvirt->news, fd, EPOLLIN, on_news, libvirt);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(libvirt->news, "libvirt-news");
        r = add_timer(event, on_timer, "libvirt-connect", SD_EVENT_ONESHOT, libvirt, &libvirt->timer);
        if (r < 0)
                return r;
        r = add_timer(event, libvirt_deliver, "libvirt-domains", SD_EVENT_OFF, libvirt, &libvirt->settle);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(libvirt);
        return 0;
}

Libvirt *libvirt_free(Libvirt *libvirt) {
        if (!libvirt)
                return NULL;

        assert(!libvirt->listeners);
        (void) sd_event_source_disable_unref(libvirt->news);
        (void) sd_event_source_disable_unref(libvirt->timer);
        (void) sd_event_source_disable_unref(libvirt->settle);
        libvirt_drop_entries(libvirt);
        (void) worker_pool_free(libvirt->pool);
        (void) libvirt_line_free(libvirt->line);
        free((char *) libvirt->options.uri);
        free(libvirt);
        return NULL;
}
