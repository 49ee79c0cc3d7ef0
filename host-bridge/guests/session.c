/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One agent channel. The state is: disconnected (a timer runs), connected (a Hello is awaited, the timer asks for
 * it again), open (no timer; who judges silence is vm.c). The guest behind the socket is its identity,
 * nothing that it says. A second client of a QEMU socket connects and then hears nothing until the first
 * one leaves (kernel-qemu.md 6.2), so that a missing handshake is not an error of the guest and the connection is kept.
 *
 * Over budget we stop reading. The bytes then wait in the socket and in the guest's ring, QEMU
 * throttles the port, and the flood has cost its sender; dropping would cost us the work of reading it.
 */

#include "host-bridge/guests/session.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "common/log.h"
#include "host-bridge/guests/session-internal.h"
#include "proto/wire.h"

#define OUTPUT_MAX            (16 * KIB)        /* a guest that does not read needs no more commands */
#define READ_BUDGET           FRAME_ENCODED_MAX /* any frame; more would let a flood hold the loop for longer */
#define HANDSHAKE_TIMEOUT_MAX (30 * USEC_PER_SEC)

const SessionOptions session_defaults = {
        .report_interval_usec = USEC_PER_SEC,
        .stale_usec = 3 * USEC_PER_SEC,
        .handshake_timeout_usec = 2 * USEC_PER_SEC,
        .hello_interval_usec = USEC_PER_SEC,
        .retry_min_usec = 100 * USEC_PER_MSEC,
        .retry_max_usec = 5 * USEC_PER_SEC,
        /* An agent looks 50 times a second at most. 500 let a hundred that flood take most of a core. */
        .messages_per_sec = 100,
        .messages_burst = 1000,
        .bytes_per_sec = 256 * KIB,
};

static uint64_t loop_now(const Session *session) {
        uint64_t now_usec;

        (void) sd_event_now(session->event, CLOCK_MONOTONIC, &now_usec);
        return now_usec;
}

bool session_tell(Session *session, const SessionEvent *event) {
        bool freed = false, *outer = session->freed;

        session->freed = &freed;
        session->handler(session, event, session->userdata);
        if (!freed)
                session->freed = outer;
        else if (outer)
                *outer = true;
        return !freed;
}

int session_write(Session *session, Message *message, uint32_t id) {
        uint8_t frame[FRAME_ENCODED_MAX];
        size_t n;
        int r;

        if (!session->stream)
                return -ENOTCONN;

        message->session = id;
        message->sequence = (id != 0 ? session->sent_sequence : session->sent_outside) + 1;
        message->monotonic_usec = loop_now(session);
        n = wire_encode(message, frame);
        if (n == 0)
                return -ERANGE;
        r = stream_write(session->stream, frame, n);
        if (r < 0)
                return r;

        if (id != 0)
                session->sent_sequence++;
        else
                session->sent_outside++;
        return 0;
}

static void drop_resume(Session *session) {
        if (!session->resume)
                return;
        deadline_leave(session->resume);
        free(session->resume);
        session->resume = NULL;
}

/* For every copy of the connection: QEMU would not serve the next one while the service manager still has this one. */
static void hang_up(Session *session) {
        if (session->stream)
                (void) shutdown(stream_fd(session->stream), SHUT_RDWR);
        session->stream = stream_free(session->stream);
}

static void disconnect(Session *session) {
        hang_up(session);
        drop_resume(session);
        deadline_set_relative(&session->timer, session->retry_usec);
        session->retry_usec = u64_min(session->retry_usec * 2, session->options->retry_max_usec);

        if (session->id == 0)
                return;
        session->id = 0;
        (void) session_tell(session, &(SessionEvent){.kind = SESSION_CLOSED, .now_usec = loop_now(session)});
}

static int ask_for_hello(Session *session) {
        Message ping = {.type = MESSAGE_PING, .ping.id = session->sent_outside + 1};

        deadline_set_relative(&session->timer, session->handshake_usec);
        session->handshake_usec = u64_min(session->handshake_usec * 2, HANDSHAKE_TIMEOUT_MAX);
        return session_write(session, &ping, 0);
}

static void on_resume(void *userdata) {
        Session *session = userdata;

        if (session->stream && stream_set_reading(session->stream, true) < 0)
                disconnect(session);
}

static int make_resume(Session *session) {
        int r;

        session->resume = malloc(sizeof(*session->resume));
        if (!session->resume)
                return -ENOMEM;
        r = deadline_join(session->event, on_resume, session, session->resume);
        if (r < 0) {
                free(session->resume);
                session->resume = NULL;
        }
        return r;
}

/* Few guests are ever stopped: the deadline is made for those. */
static void throttle(Session *session, uint64_t now_usec) {
        uint64_t wait_usec = u64_max(token_bucket_wait_usec(&session->messages, now_usec),
                                     token_bucket_wait_usec(&session->bytes, now_usec));

        if (wait_usec == 0)
                return;
        if (!session->resume && make_resume(session) < 0)
                return;
        if (stream_set_reading(session->stream, false) < 0)
                return;
        session->counters.throttled++;
        deadline_set_relative(session->resume, wait_usec);
}

static void on_bytes(Stream *stream, const uint8_t *data, size_t size, int error, void *userdata) {
        Session *session = userdata;
        uint64_t now_usec = loop_now(session);

        if (size == 0) {
                disconnect(session);
                return;
        }

        token_bucket_take(&session->bytes, size, now_usec);
        if (session_receive(session, data, size, now_usec))
                throttle(session, now_usec);
}

static int session_connect(Session *session) {
        static const uint8_t delimiter = 0;
        int r, fd;

        fd = session->adopted_fd >= 0 ? TAKE_FD(session->adopted_fd) : stream_connect_unix(session->path);
        if (fd < 0)
                return fd;
        r = stream_new(session->event, fd, OUTPUT_MAX, READ_BUDGET, on_bytes, session, &session->stream);
        if (r < 0)
                return r;

        session_drop_partial(session);
        session->handshake_usec = session->options->handshake_timeout_usec;
        r = stream_write(session->stream, &delimiter, 1);
        if (r < 0)
                return r;
        return ask_for_hello(session);
}

static void on_timer(void *userdata) {
        Session *session = userdata;
        bool anew = !session->stream && session->adopted_fd < 0;
        int r;

        if (session->stream)
                r = ask_for_hello(session);
        else
                r = session_connect(session);
        /* -ENOBUFS: the guest's port is closed and its buffer full of our asking; it will find that. */
        if (r < 0 && r != -ENOBUFS)
                disconnect(session);
        else if (anew)
                (void) session_tell(session, &(SessionEvent){.kind = SESSION_CONNECTED,
                                                             .fd = stream_fd(session->stream),
                                                             .now_usec = loop_now(session)});
}

int session_new(sd_event *event, const char *path, const SessionOptions *options, SessionHandler handler,
                void *userdata, Session **ret) {
        _cleanup_(session_freep) Session *session = NULL;
        int r;

        assert(event);
        assert(path);
        assert(options);
        assert(handler);
        assert(ret);

        session = malloc(sizeof(*session));
        if (!session)
                return -ENOMEM;
        *session = (Session){
                .options = options,
                .event = sd_event_ref(event),
                .path = strdup(path),
                .adopted_fd = -EBADF,
                .retry_usec = options->retry_min_usec,
                .handshake_usec = options->handshake_timeout_usec,
                .messages = token_bucket(options->messages_per_sec, options->messages_burst),
                .bytes = token_bucket(options->bytes_per_sec, options->bytes_per_sec * 2),
                .handler = handler,
                .userdata = userdata,
        };
        if (!session->path)
                return -ENOMEM;

        r = deadline_join(event, on_timer, session, &session->timer);
        if (r < 0)
                return r;
        deadline_set_relative(&session->timer, 0);

        *ret = TAKE_PTR(session);
        return 0;
}

Session *session_free(Session *session) {
        if (!session)
                return NULL;

        if (session->freed)
                *session->freed = true;
        deadline_leave(&session->timer);
        drop_resume(session);
        (void) stream_free(session->stream); /* and not hung up: the next bridge may go on with it */
        (void) safe_close(session->adopted_fd);
        (void) sd_event_unref(session->event);
        session_drop_partial(session);
        free(session->path);
        free(session);
        return NULL;
}

void session_adopt(Session *session, int fd) {
        assert(session);
        assert(fd >= 0);
        assert(session->adopted_fd < 0 && !session->stream);

        session->adopted_fd = fd;
}

int session_send(Session *session, Message *message) {
        assert(session);
        assert(message);

        return session->id == 0 ? -ENOTCONN : session_write(session, message, session->id);
}

uint64_t session_guest_usec(const Session *session, uint64_t host_usec) {
        assert(session);

        return guest_clock_from_host(&session->clock, host_usec);
}

void session_void(Session *session) {
        assert(session);

        if (session->stream)
                deadline_set_relative(&session->timer, session->handshake_usec);
        session->id = 0;
}

void session_renew(Session *session) {
        assert(session);

        session->id = 0;
        if (session->stream && ask_for_hello(session) < 0)
                log_debug("A guest could not be asked for a new Hello at once");
}

const char *session_path(const Session *session) {
        assert(session);

        return session->path;
}

bool session_is_open(const Session *session) {
        assert(session);

        return session->id != 0;
}

bool session_is_connected(const Session *session) {
        assert(session);

        return session->stream != NULL;
}

SessionCounters session_counters(const Session *session) {
        SessionCounters counters;

        assert(session);

        counters = session->counters;
        counters.garbled = session->frames.garbled;
        counters.overlong = session->frames.overlong;
        return counters;
}
