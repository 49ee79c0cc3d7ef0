/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The two halves of one object: session.c (connection) and session-receive.c (what comes in). */

#include <systemd/sd-event.h>

#include "common/deadline.h"
#include "common/stream.h"
#include "host-bridge/guests/guest-clock.h"
#include "host-bridge/guests/session.h"
#include "host-bridge/guests/token-bucket.h"
#include "proto/frame.h"

struct Session {
        const SessionOptions *options;
        sd_event *event;
        Deadline timer;   /* reconnect, or ask for the Hello again */
        Deadline *resume; /* reading goes on; NULL: it was never stopped on this connection */
        char *path;
        Stream *stream;
        int adopted_fd;                      /* the first connection; -EBADF: it is made here */
        uint64_t retry_usec, handshake_usec; /* the next waits */
        FrameDecoder *decoder;               /* of a frame that has come in part; NULL: none has */
        FrameCounters frames;
        TokenBucket messages, bytes;
        SessionCounters counters;

        uint32_t id; /* 0: no session is open */
        uint64_t start_nonce, handshake_nonce;
        uint64_t received_sequence, sent_sequence, sent_outside;
        uint64_t next_hello_usec;
        GuestClock clock;

        SessionHandler handler;
        void *userdata;
        bool *freed; /* set when freed inside the handler */
};

/* Calls the owner. Returns false if the session object is no more. */
bool session_tell(Session *session, const SessionEvent *event);

/* Writes message in session id (0: outside of any). Returns as session_send(). */
int session_write(Session *session, Message *message, uint32_t id);

/* Forgets a frame that has come in part: the rest of it will not. */
void session_drop_partial(Session *session);

/* Takes bytes of the guest. Returns false if the connection, or the session object, is no more. */
bool session_receive(Session *session, const uint8_t *data, size_t size, uint64_t now_usec);
