/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A virtio-serial port whose host side is closed polls as POLLIN|POLLHUP for ever, reads as end of
 * file and writes as EAGAIN (linux:drivers/char/virtio_console.c; measured on 6.1). The obvious loop
 * over it takes a whole CPU, and so does closing and opening again, which floods the host with
 * VSERPORT_CHANGE besides. The descriptor stays good over any number of host connections, so on a
 * hang-up it is kept, watched edge-triggered (the driver wakes its pollers when the host comes) and
 * looked at once per second in case an edge was lost. It is closed only when the device is gone: then it polls
 * as POLLHUP alone, and would for ever, while the port that is plugged next has another descriptor.
 *
 * A Unix socket can not come back like that: it is connected anew, with a growing pause.
 * What is done with an open descriptor is in port-io.c.
 */

#include "agent/host/port.h"

#include <assert.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>

#include "agent/host/port-find.h"
#include "agent/host/port-internal.h"
#include "agent/messages.h"

#define PORT_PROBE_USEC         USEC_PER_SEC          /* absent device, or host away */
#define PORT_BACKOFF_LEAST_USEC (100 * USEC_PER_MSEC) /* socket */
#define PORT_BACKOFF_MOST_USEC  (5 * USEC_PER_SEC)

void port_arm(Port *port, uint64_t delay_usec) {
        int r;

        r = sd_event_source_set_time_relative(port->timer, delay_usec);
        if (r >= 0)
                r = sd_event_source_set_enabled(port->timer, SD_EVENT_ONESHOT);
        if (r < 0)
                log_error_errno(r, "Failed to arm the timer of the port: %m");
}

uint64_t port_now(const Port *port) {
        uint64_t now_usec = 0;

        (void) sd_event_now(port->event, CLOCK_MONOTONIC, &now_usec);
        return now_usec;
}

/* error is a negative errno, or 0. */
static void port_tell(Port *port, const char *message_id, int error, const char *text) {
        unsigned n_suppressed;

        if (!log_limit_allows(&port->log_limit, port_now(port), &n_suppressed))
                return;
        if (n_suppressed > 0)
                log_info("The port came and went meanwhile, %u lines were left out", n_suppressed);
        log_event_errno(LOG_INFO, error, message_id, NULL, 0, error < 0 ? "%s: %m" : "%s", text);
}

void port_watch(Port *port) {
        uint32_t events = 0;
        int r;

        if (!port->io)
                return;

        if (port->state == PORT_AWAY)
                events = EPOLLIN | EPOLLET;
        else {
                if (!port->throttled)
                        events |= EPOLLIN;
                if (port->pending_done < port->pending_size && !port->resting)
                        events |= EPOLLOUT;
        }

        r = sd_event_source_set_io_events(port->io, events);
        if (r < 0)
                log_error_errno(r, "Failed to watch the port: %m");
}

static void port_enter(Port *port, PortState state) {
        bool was_up = port->state == PORT_UP;

        port->state = state;
        port->throttled = false;
        port->tick_bytes = 0;
        port_forget_output(port);
        port_watch(port);

        if (state == PORT_UP && !was_up)
                port->handlers->up(port->userdata);
        else if (state != PORT_UP && was_up)
                port->handlers->down(port->userdata);
}

void port_lose(Port *port, int error) {
        if (port->state == PORT_UP)
                port_tell(port, MESSAGE_ID_PORT_LOST, error,
                          error < 0 ? "Lost the port" : "The host closed the port");

        port->io = sd_event_source_disable_unref(port->io);
        port->fd = safe_close(port->fd);

        if (port->socket) {
                port_arm(port, port->backoff_usec);
                port->backoff_usec = u64_min(port->backoff_usec * 2, PORT_BACKOFF_MOST_USEC);
        } else
                port_arm(port, PORT_PROBE_USEC);

        port_enter(port, PORT_ABSENT);
}

void port_hang_up(Port *port) {
        if (port->socket) {
                port_lose(port, 0);
                return;
        }

        port_arm(port, PORT_PROBE_USEC);
        /* Known already, and then nothing may be set again: EPOLL_CTL_MOD makes an edge of a level that stands. */
        if (port->state == PORT_AWAY)
                return;

        port_tell(port, MESSAGE_ID_PORT_LOST, 0, "The host closed the port");
        port_enter(port, PORT_AWAY);
}

short port_poll(const Port *port) {
        struct pollfd p = {.fd = port->fd, .events = POLLIN | POLLOUT};

        return poll(&p, 1, 0) < 0 ? 0 : p.revents;
}

/* The descriptor is open; is anybody there? */
static void port_probe(Port *port) {
        short revents = port_poll(port);

        if (revents & (POLLERR | POLLNVAL))
                port_lose(port, -EIO);
        else if (!port->socket && (revents & (POLLHUP | POLLIN)) == POLLHUP)
                port_lose(port, -ENODEV); /* unplugged: a port whose host is away can be read, to its end */
        else if (revents & POLLHUP)
                port_hang_up(port);
        else {
                port_tell(port, MESSAGE_ID_PORT_UP, 0, "The host opened the port");
                port_enter(port, PORT_UP);
        }
}

static int port_io_handler(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Port *port = userdata;

        assert(port);

        if (port->state == PORT_AWAY) {
                port_probe(port);
                return 0;
        }

        if (revents & EPOLLOUT) {
                if (!port_flush(port))
                        return 0;
                if (port->pending_size == 0)
                        port->handlers->writable(port->userdata);
        }

        /* What a host wrote before it left is still to be had before the end; what follows it is not. */
        if (port->state == PORT_UP && (revents & EPOLLIN))
                port_read(port);
        else if (port->state == PORT_UP && (revents & (EPOLLHUP | EPOLLERR)))
                port_hang_up(port);
        return 0;
}

static int port_open(Port *port) {
        PortFound found;
        int r;

        r = port_find(port->root, port->path, &found);
        if (r < 0)
                return r;

        port->fd = found.fd;
        port->socket = found.socket;
        port->state = PORT_AWAY;

        r = sd_event_add_io(port->event, &port->io, port->fd, EPOLLIN | EPOLLET, port_io_handler, port);
        if (r < 0) {
                port->fd = safe_close(port->fd);
                port->state = PORT_ABSENT;
                return r;
        }

        (void) sd_event_source_set_description(port->io, "port");
        return 0;
}

/* One attempt. Returns 0 or -errno; a later attempt is armed whenever it is needed. */
static int port_attempt(Port *port) {
        int r;

        r = port_open(port);
        if (r < 0) {
                /* -ENOENT is what waiting is for; anything else is said when it is new. */
                if (r != port->last_error && r != -ENOENT)
                        log_warning_errno(r, "Failed to open the port, trying again: %m");
                port->last_error = r;

                if (port->path && r != -ENOENT) {
                        port_arm(port, port->backoff_usec);
                        port->backoff_usec = u64_min(port->backoff_usec * 2, PORT_BACKOFF_MOST_USEC);
                } else
                        port_arm(port, PORT_PROBE_USEC);
                return r;
        }

        port->last_error = 0;
        port_probe(port);
        return 0;
}

static int port_timer_handler(sd_event_source *source, uint64_t usec, void *userdata) {
        Port *port = userdata;

        assert(port);

        switch (port->state) {
        case PORT_ABSENT:
                (void) port_attempt(port);
                break;
        case PORT_AWAY:
                port_probe(port);
                break;
        case PORT_UP:
                port->throttled = port->resting = false;
                if (port->pending_size > 0 && port_flush(port) && port->pending_size == 0)
                        port->handlers->writable(port->userdata);
                else
                        port_watch(port);
                break;
        case PORT_STATE_MAX:
                assert(false);
        }
        return 0;
}

int port_new(sd_event *event, const RootDir *root, const char *path, const PortHandlers *handlers,
             void *userdata, Port **ret) {
        _cleanup_(port_freep) Port *port = NULL;
        int r;

        assert(event);
        assert(root);
        assert(handlers);
        assert(ret);

        port = calloc(1, sizeof(*port));
        if (!port)
                return -ENOMEM;
        port->event = sd_event_ref(event);
        port->root = root;
        port->handlers = handlers;
        port->userdata = userdata;
        port->fd = -EBADF;
        port->backoff_usec = PORT_BACKOFF_LEAST_USEC;

        if (path) {
                port->path = strdup(path);
                if (!port->path)
                        return -ENOMEM;
        }

        r = sd_event_add_time_relative(event, &port->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC,
                                       port_timer_handler, port);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(port->timer, "port-timer");
        r = sd_event_source_set_enabled(port->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(port);
        return 0;
}

Port *port_free(Port *port) {
        if (!port)
                return NULL;

        sd_event_source_disable_unref(port->io);
        sd_event_source_disable_unref(port->timer);
        sd_event_unref(port->event);
        port->fd = safe_close(port->fd);
        free(port->path);
        free(port);
        return NULL;
}

int port_start(Port *port) {
        assert(port);
        return port_attempt(port);
}

PortState port_state(const Port *port) {
        assert(port);
        return port->state;
}

void port_settled(Port *port) {
        assert(port);
        port->backoff_usec = PORT_BACKOFF_LEAST_USEC;
}
