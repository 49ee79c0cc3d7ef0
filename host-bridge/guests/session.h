/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The way to one guest's agent: its channel's socket, kept connected; the handshake; frames checked and
 * counted. A guest can flood, lie about lengths or say nothing: it costs itself, within a fixed budget.
 */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/macro.h"
#include "common/units.h"
#include "proto/message.h"

typedef struct Session Session;

typedef struct SessionOptions {
        uint64_t report_interval_usec; /* told in Welcome */
        uint64_t stale_usec; /* a report that was longer under way is no news; default 3 intervals */
        uint64_t
                handshake_timeout_usec; /* then the Hello is asked for again, ever more rarely; default 2 s */
        uint64_t hello_interval_usec;   /* least time between two accepted Hellos; default 1 s */
        uint64_t retry_min_usec;        /* wait after a loss, doubles; default 100 ms */
        uint64_t retry_max_usec;        /* default 5 s */
        uint64_t messages_per_sec;      /* of one guest, for long; default 100 */
        uint64_t messages_burst;        /* more than that, as when all blocks of a DIMM come; default 1000 */
        uint64_t bytes_per_sec;         /* of one guest, bursts of twice that; default 256 KiB */
} SessionOptions;

extern const SessionOptions session_defaults;

typedef enum SessionEventKind {
        SESSION_CONNECTED, /* fd: to the channel's socket, anew; nobody has been heard yet */
        SESSION_OPENED,    /* message: the Hello. A new session, also while another one was open */
        SESSION_MESSAGE,   /* message: validated, of this session, in sequence, and fresh if it is a Report */
        SESSION_CLOSED,    /* the agent can not be heard any more; retried */
} SessionEventKind;

typedef struct SessionEvent {
        SessionEventKind kind;
        const Message *message; /* borrowed for the call */
        int fd;                 /* borrowed as long as the connection lives */
        uint64_t now_usec;      /* host: when it arrived */
} SessionEvent;

typedef struct SessionCounters {
        uint64_t ok, garbled, overlong, malformed;
        uint64_t void_;     /* before a handshake, of another session, stale, too early a Hello, unknown */
        uint64_t replayed;  /* sequence did not rise */
        uint64_t throttled; /* times that reading was stopped */
} SessionCounters;

/* Called from the event loop only; may free the session. */
typedef void (*SessionHandler)(Session *session, const SessionEvent *event, void *userdata);

/* options live as long as the session. The first attempt to connect is made from the event loop. Returns 0 or -errno. */
int session_new(sd_event *event, const char *path, const SessionOptions *options, SessionHandler handler,
                void *userdata, Session **ret);
Session *session_free(Session *session);
DEFINE_CLEANUP_FUNC(Session, session_free)

/* Before the loop runs: goes on with this connection in place of a new one. Takes over fd. */
void session_adopt(Session *session, int fd);

/*
 * Sends body (type and union are the caller's; the envelope is filled in here).
 * Returns 0, -ENOTCONN without a session, -ENOBUFS if the guest does not read, -ERANGE for a value that
 * memtide.proto does not allow, or -errno.
 */
int session_send(Session *session, Message *message);

/* host_usec in the guest's time, for deadlines. */
uint64_t session_guest_usec(const Session *session, uint64_t host_usec);

/* Ends the session, not the connection: the guest was reset, what it still sends is of another boot. */
void session_void(Session *session);

/* The same for a guest that does not know of it, and is asked for a new Hello: it was paused, or put back in time. */
void session_renew(Session *session);

/* Of its socket. */
const char *session_path(const Session *session);

bool session_is_open(const Session *session);
bool session_is_connected(const Session *session);
SessionCounters session_counters(const Session *session);
