/* SPDX-License-Identifier: Apache-2.0 */

/*
 * QEMU keeps what the host wrote while the guest's port was closed and delivers it on the next open, so
 * the first bytes may be commands to an agent that died long ago; and a bridge that restarts quickly is
 * no hang-up that the guest would surely see. Hence: nothing before the Welcome that echoes the nonce
 * of *this* handshake is obeyed, and a Ping of session 0 asks for a new handshake at any time.
 *
 * Whatever the host sends is a value, never an error: it is used, or counted and, where there is a session and an id to
 * answer to, refused by name. What no session covers is told as a number in Hello and Report: a refusal by id would reach a
 * bridge that means another command by that id. The rate limit is there
 * for a bridge gone mad, not for an attacker: who owns the host owns the guest.
 *
 * Rejected: a Welcome that ends the handshake for good. Two Hellos may be under way when a slow host
 * answers both, and it means the later of its two sessions.
 */

#include "agent/host/session.h"

#include <assert.h>
#include <string.h>

#include "agent/host/command.h"
#include "common/log.h"
#include "common/units.h"
#include "proto/wire.h"

#define SESSION_HELLO_USEC  USEC_PER_SEC          /* between two Hellos of one handshake */
#define SESSION_HELLO_LEAST (100 * USEC_PER_MSEC) /* between any two: a port that flaps */

/* One frame per 5 ms in the long run, 100 at once. */
#define SESSION_FRAME_USEC (5 * USEC_PER_MSEC)
#define SESSION_FRAMES_MAX 100U

/* Nonces that no earlier handshake of this or another run had: splitmix64 over a random start. */
static uint64_t session_draw_nonce(Session *session) {
        uint64_t x = session->start_nonce + ++session->n_handshakes * UINT64_C(0x9e3779b97f4a7c15);

        x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
        return x ^ (x >> 31);
}

void session_init(Session *session, uint64_t start_nonce, const SessionHandlers *handlers, void *userdata) {
        assert(session);
        assert(handlers);

        *session = (Session){
                .handlers = handlers,
                .userdata = userdata,
                .start_nonce = start_nonce,
                .tokens_usec = SESSION_FRAMES_MAX * SESSION_FRAME_USEC,
        };
}

static void session_close(Session *session, SessionState state) {
        bool was_open = session->state == SESSION_OPEN;

        session->state = state;
        session->id = 0;
        outbox_clear(&session->outbox);
        if (was_open)
                session->handlers->closed(session->userdata);
}

static void session_begin_handshake(Session *session, uint64_t now_usec, uint64_t pause_usec) {
        session_close(session, SESSION_HANDSHAKE);
        session->handshake_nonce = session_draw_nonce(session);
        session->sent_sequence = 0;
        session->hello_due_usec = session->hello_sent_usec > 0
                                          ? u64_max(now_usec, session->hello_sent_usec + pause_usec)
                                          : now_usec;
}

void session_start(Session *session, uint64_t now_usec) {
        assert(session);

        frame_decoder_reset(&session->decoder);
        session->delimiter_due = true;
        session_begin_handshake(session, now_usec, SESSION_HELLO_LEAST);
}

void session_stop(Session *session) {
        assert(session);
        session_close(session, SESSION_DOWN);
}

bool session_push(Session *session, const Message *message) {
        assert(session);
        assert(message);

        if (session->state != SESSION_OPEN)
                return false;
        if (command_refusal(message) != REFUSAL_NONE)
                session->counters.n_refused[command_refusal(message)]++;
        outbox_push(&session->outbox, message);
        return true;
}

/* Returns the encoded size, or 0 if a value of ours is out of range: a bug, but no reason to die. */
static size_t session_encode(Session *session, Message *message, uint8_t out[static FRAME_ENCODED_MAX]) {
        size_t size;

        /* Alarms overtake reports, time does not run backwards: a later frame is not stamped earlier. */
        session->sent_stamp_usec = u64_max(session->sent_stamp_usec, message->monotonic_usec);
        message->monotonic_usec = session->sent_stamp_usec;
        message->session = session->id;
        message->sequence = ++session->sent_sequence;

        size = wire_encode(message, out);
        if (size == 0)
                log_debug("A %s could not be encoded", message_type_to_string(message->type));
        return size;
}

static size_t session_encode_hello(Session *session, uint64_t now_usec,
                                   uint8_t out[static FRAME_ENCODED_MAX]) {
        Message message = {.type = MESSAGE_HELLO, .monotonic_usec = now_usec};

        session->handlers->fill_hello(&message.hello, session->userdata);
        message.hello.major = MESSAGE_PROTOCOL_MAJOR;
        message.hello.minor = MESSAGE_PROTOCOL_MINOR;
        message.hello.start_nonce = session->start_nonce;
        message.hello.handshake_nonce = session->handshake_nonce;
        message.hello.frames_void = session_frames_void(session);

        session->hello_sent_usec = now_usec;
        session->hello_due_usec = now_usec + SESSION_HELLO_USEC;
        return session_encode(session, &message, out);
}

size_t session_next_frame(Session *session, uint64_t now_usec, uint8_t out[static FRAME_ENCODED_MAX]) {
        Message message;

        assert(session);

        if (session->state == SESSION_DOWN)
                return 0;

        if (session->delimiter_due) {
                session->delimiter_due = false;
                out[0] = 0;
                return 1;
        }

        if (session->state == SESSION_HANDSHAKE)
                return now_usec >= session->hello_due_usec ? session_encode_hello(session, now_usec, out) : 0;

        while (outbox_pop(&session->outbox, &message)) {
                size_t size = session_encode(session, &message, out);

                if (size > 0)
                        return size;
        }
        return 0;
}

uint64_t session_due_usec(const Session *session) {
        assert(session);
        return session->state == SESSION_HANDSHAKE ? session->hello_due_usec : USEC_INFINITY;
}

uint64_t session_frames_dropped(const Session *session) {
        const SessionCounters *c;

        assert(session);

        c = &session->counters;
        return c->n_early + c->n_malformed + c->n_foreign + c->n_replayed + c->n_expired + c->n_flooded +
               session->decoder.counters.overlong + session->decoder.counters.garbled;
}

uint64_t session_frames_void(const Session *session) {
        assert(session);
        return session->counters.n_early + session->counters.n_foreign;
}

static bool session_within_rate(Session *session, uint64_t now_usec) {
        session->tokens_usec =
                u64_min(u64_add(session->tokens_usec, u64_sub(now_usec, session->tokens_at_usec)),
                        SESSION_FRAMES_MAX * SESSION_FRAME_USEC);
        session->tokens_at_usec = now_usec;

        if (session->tokens_usec < SESSION_FRAME_USEC)
                return false;
        session->tokens_usec -= SESSION_FRAME_USEC;
        return true;
}

static void session_on_welcome(Session *session, const Message *message) {
        const MessageWelcome *welcome = &message->welcome;

        if (welcome->handshake_nonce != session->handshake_nonce || welcome->session == 0 ||
            welcome->minor > MESSAGE_PROTOCOL_MINOR) {
                session->counters.n_early++;
                return;
        }
        if (session->state == SESSION_OPEN && welcome->session == session->id) {
                session->counters.n_replayed++;
                return;
        }

        session_close(session, SESSION_OPEN);
        session->id = welcome->session;
        session->minor = welcome->minor;
        session->sent_sequence = 0;
        session->received_sequence = 0;
        session->handlers->opened(welcome, session->userdata);
}

/* Session 0: what may be said outside of one. */
static void session_on_outside(Session *session, const Message *message, uint64_t now_usec) {
        if (message->type == MESSAGE_WELCOME)
                session_on_welcome(session, message);
        else if (message->type != MESSAGE_PING)
                session->counters.n_early++;
        else if (session->state == SESSION_OPEN)
                session_begin_handshake(session, now_usec, SESSION_HELLO_USEC);
        /* In a handshake the Hello that is due anyway is the answer; a new nonce would only void the Welcome. */
}

static void session_refuse(Session *session, const Message *command, RefusalReason reason,
                           uint64_t now_usec) {
        Message answer = command_refuse(command, reason, now_usec);

        (void) session_push(session, &answer);
}

/* A command that cannot be obeyed, and whose other values are no better than the one that is wrong. */
static void session_on_out_of_range(Session *session, const uint8_t *payload, size_t size,
                                    uint64_t now_usec) {
        Message claim;

        session->counters.n_malformed++;
        if (session->state == SESSION_OPEN &&
            wire_decode_claim(payload, size, WIRE_FROM_HOST, &claim) == WIRE_OK &&
            claim.session == session->id && claim.type != MESSAGE_WELCOME)
                session_refuse(session, &claim, REFUSAL_INVALID, now_usec);
}

static void session_on_message(Session *session, const Message *message, uint64_t now_usec) {
        if (session->state == SESSION_DOWN) { /* the connection broke while these bytes were looked at */
                session->counters.n_early++;
                return;
        }
        if (message->session == 0) {
                session_on_outside(session, message, now_usec);
                return;
        }
        if (session->state != SESSION_OPEN) {
                session->counters.n_early++;
                return;
        }
        if (message->session != session->id || message->type == MESSAGE_WELCOME) {
                session->counters.n_foreign++;
                return;
        }
        if (message->sequence <= session->received_sequence) {
                session->counters.n_replayed++;
                if (session->minor >= 1) /* a host of minor 0 does not know the word */
                        session_refuse(session, message, REFUSAL_REPEATED, now_usec);
                return;
        }
        session->received_sequence = message->sequence;

        if (command_is_expired(message, now_usec)) {
                session->counters.n_expired++;
                session_refuse(session, message, REFUSAL_EXPIRED, now_usec);
                return;
        }
        session->handlers->command(message, session->userdata);
}

void session_receive(Session *session, const uint8_t *data, size_t size, uint64_t now_usec) {
        const uint8_t *payload;
        size_t payload_size;

        assert(session);
        assert(data || size == 0);

        while (frame_decoder_next(&session->decoder, &data, &size, &payload, &payload_size)) {
                WireVerdict verdict;
                Message message;

                if (!session_within_rate(session, now_usec)) {
                        session->counters.n_flooded++;
                        continue;
                }

                verdict = wire_decode(payload, payload_size, WIRE_FROM_HOST, &message);
                if (verdict == WIRE_OK)
                        session_on_message(session, &message, now_usec);
                else if (verdict == WIRE_UNKNOWN)
                        session->counters.n_unknown++;
                else if (verdict == WIRE_OUT_OF_RANGE)
                        session_on_out_of_range(session, payload, payload_size, now_usec);
                else
                        session->counters.n_malformed++;
        }
}
