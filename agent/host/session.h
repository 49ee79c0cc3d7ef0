/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The guest's side of the protocol over one connection after another: handshake, sequence, deadlines,
 * and what waits to be sent. Bytes and the time in, bytes and commands out: no descriptor and no clock.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/host/outbox.h"
#include "proto/frame.h"
#include "proto/message.h"

typedef enum SessionState {
        SESSION_DOWN,      /* no connection */
        SESSION_HANDSHAKE, /* Hello is repeated until the right Welcome comes */
        SESSION_OPEN,
        SESSION_STATE_MAX,
} SessionState;

typedef struct SessionHandlers {
        /* Fills what the session does not know: all but the nonces, the versions and frames_void. */
        void (*fill_hello)(MessageHello *ret, void *userdata);
        void (*opened)(const MessageWelcome *welcome, void *userdata);
        void (*closed)(void *userdata); /* only after opened */
        /* A valid command of this session, in order, before its deadline. */
        void (*command)(const Message *command, void *userdata);
} SessionHandlers;

/* Frames of the host that were not used, and commands that were refused, by why. Since start. */
typedef struct SessionCounters {
        uint64_t n_early;     /* before the handshake, or a Welcome to another Hello */
        uint64_t n_malformed; /* what wire_decode() does not take, but for WIRE_UNKNOWN */
        uint64_t n_unknown;   /* of a newer minor: no fault */
        uint64_t n_foreign;   /* of another session */
        uint64_t n_replayed;  /* sequence not above the last */
        uint64_t n_expired;   /* deadline passed */
        uint64_t n_flooded;   /* above the rate limit */

        uint64_t n_refused[REFUSAL_REASON_MAX]; /* answers that said so, whoever made them */
} SessionCounters;

/* Embedded by the caller; its fields are session.c's own, but for reading state and counters. */
typedef struct Session {
        const SessionHandlers *handlers;
        void *userdata;
        uint64_t start_nonce;

        SessionState state;
        uint32_t id;    /* of the open session */
        unsigned minor; /* that both sides speak in it */
        uint64_t handshake_nonce;
        uint64_t n_handshakes;
        bool delimiter_due;      /* the lone zero that opens a connection */
        uint64_t hello_due_usec; /* SESSION_HANDSHAKE */
        uint64_t hello_sent_usec;
        uint64_t sent_sequence, received_sequence;
        uint64_t sent_stamp_usec;

        uint64_t tokens_usec; /* rate limit: unused time */
        uint64_t tokens_at_usec;

        FrameDecoder decoder;
        Outbox outbox;
        SessionCounters counters;
} Session;

/* start_nonce: random, of this run of the agent. handlers are borrowed. */
void session_init(Session *session, uint64_t start_nonce, const SessionHandlers *handlers, void *userdata);

/* A connection has come: a new handshake begins. */
void session_start(Session *session, uint64_t now_usec);

/* The connection is gone. */
void session_stop(Session *session);

/* Bytes of the host, however split. */
void session_receive(Session *session, const uint8_t *data, size_t size, uint64_t now_usec);

/*
 * Keeps message (type, body and monotonic_usec filled) to be sent by its rank.
 * Returns false if no session is open: then it is dropped, there is no backlog.
 */
bool session_push(Session *session, const Message *message);

/* Encodes what is to be sent next. Returns its size, or 0 if there is nothing to send now. */
size_t session_next_frame(Session *session, uint64_t now_usec, uint8_t out[static FRAME_ENCODED_MAX]);

/* When session_next_frame() will have something that it has not now: a Hello. USEC_INFINITY: not by time. */
uint64_t session_due_usec(const Session *session);

/* Host frames that were bad, void or late, since start: Report.frames_dropped. */
uint64_t session_frames_dropped(const Session *session);

/* Of them, those that no session covered: Report.frames_void. */
uint64_t session_frames_void(const Session *session);
