/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a guest sends, until it is a message that the bridge may believe in: framed, checked, of the open session, in
 * sequence, fresh. Everything else is counted under its reason and forgotten; no reason ends the
 * connection, since the next zero byte starts anew and an honest agent may share the port's history with garbage.
 */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "host-bridge/guests/session-internal.h"
#include "proto/wire.h"

static int draw_id(uint32_t *ret) {
        uint32_t id = 0;

        while (id == 0) {
                ssize_t n = getrandom(&id, sizeof(id), GRND_NONBLOCK);

                if (n < 0)
                        return -errno;
        }
        *ret = id;
        return 0;
}

static int welcome(Session *session, const MessageHello *hello) {
        Message message = {
                .type = MESSAGE_WELCOME,
                .welcome.session = session->id,
                .welcome.minor = MIN_OF(hello->minor, MESSAGE_PROTOCOL_MINOR),
                .welcome.handshake_nonce = hello->handshake_nonce,
                .welcome.bridge_version = MEMTIDE_VERSION,
                .welcome.report_interval_usec = session->options->report_interval_usec,
        };

        return session_write(session, &message, 0);
}

/* Returns false if the session object is no more. */
static bool take_hello(Session *session, const Message *message, uint64_t now_usec) {
        const MessageHello *hello = &message->hello;
        bool repeated = session->id != 0 && session->received_sequence == 0 &&
                        session->start_nonce == hello->start_nonce &&
                        session->handshake_nonce == hello->handshake_nonce;
        uint32_t id = 0;

        if (message->session != 0 || now_usec < session->next_hello_usec || (!repeated && draw_id(&id) < 0)) {
                session->counters.void_++;
                return true;
        }

        session->counters.ok++;
        session->next_hello_usec = u64_add(now_usec, session->options->hello_interval_usec);
        if (repeated) { /* the Welcome was lost, or is still under way */
                (void) welcome(session, hello);
                return true;
        }

        session->id = id;
        session->start_nonce = hello->start_nonce;
        session->handshake_nonce = hello->handshake_nonce;
        session->received_sequence = session->sent_sequence = 0;
        session->clock = (GuestClock){};
        (void) guest_clock_observe(&session->clock, message->monotonic_usec, now_usec);
        session->retry_usec = session->options->retry_min_usec;
        session->handshake_usec = session->options->handshake_timeout_usec;
        deadline_set(&session->timer, USEC_INFINITY);

        /* Not sent for a full buffer: the guest repeats its Hello until it is. */
        (void) welcome(session, hello);
        return session_tell(session, &(SessionEvent){.kind = SESSION_OPENED,
                                                     .message = message,
                                                     .now_usec = now_usec});
}

/* Returns false if the session object is no more. */
static bool take_message(Session *session, const Message *message, uint64_t now_usec) {
        uint64_t delay_usec;

        if (message->type == MESSAGE_HELLO)
                return take_hello(session, message, now_usec);

        if (session->id == 0 || message->session != session->id) {
                session->counters.void_++;
                return true;
        }
        if (message->sequence <= session->received_sequence) {
                session->counters.replayed++;
                return true;
        }
        session->received_sequence = message->sequence;

        /* A burst that had been waiting while nobody read or the agent was stopped: no news. */
        delay_usec = guest_clock_observe(&session->clock, message->monotonic_usec, now_usec);
        if (message->type == MESSAGE_REPORT && delay_usec > session->options->stale_usec) {
                session->counters.void_++;
                return true;
        }

        session->counters.ok++;
        return session_tell(session, &(SessionEvent){.kind = SESSION_MESSAGE,
                                                     .message = message,
                                                     .now_usec = now_usec});
}

/* Returns false if the session object is no more. */
static bool take_payload(Session *session, const uint8_t *payload, size_t size, uint64_t now_usec) {
        Message message;

        switch (wire_decode(payload, size, WIRE_FROM_GUEST, &message)) {

        case WIRE_OK:
                return take_message(session, &message, now_usec);

        case WIRE_UNKNOWN: /* of a newer minor than we welcomed */
                session->counters.void_++;
                return true;

        case WIRE_MALFORMED:
        case WIRE_WRONG_SENDER:
        case WIRE_OUT_OF_RANGE:
        case WIRE_VERDICT_MAX:
                break;
        }
        session->counters.malformed++;
        return true;
}

void session_drop_partial(Session *session) {
        free(session->decoder);
        session->decoder = NULL;
}

/* Between two reads a decoder is kept only while it holds a part of a frame. */
static void settle_decoder(Session *session, FrameDecoder *decoder) {
        bool partial = decoder->fill > 0 || decoder->overlong;

        session->frames.frames += decoder->counters.frames;
        session->frames.garbled += decoder->counters.garbled;
        session->frames.overlong += decoder->counters.overlong;
        decoder->counters = (FrameCounters){};

        if (session->decoder && !partial)
                session_drop_partial(session);
        else if (!session->decoder && partial) {
                session->decoder = malloc(sizeof(*decoder));
                if (session->decoder)
                        *session->decoder = *decoder;
                else
                        session->frames.garbled++; /* the rest of it will be */
        }
}

bool session_receive(Session *session, const uint8_t *data, size_t size, uint64_t now_usec) {
        static FrameDecoder shared; /* empty between calls: a decoder per guest is a page per guest */
        const Stream *stream = session->stream;
        FrameDecoder *decoder = session->decoder ?: &shared;
        const uint8_t *payload;
        size_t payload_size;

        assert(stream);

        while (frame_decoder_next(decoder, &data, &size, &payload, &payload_size)) {
                token_bucket_take(&session->messages, 1, now_usec);
                if (!take_payload(session, payload, payload_size, now_usec) || session->stream != stream) {
                        /* Nothing of a connection that is gone is carried over; its decoder went with it. */
                        frame_decoder_reset(&shared);
                        return false;
                }
        }
        settle_decoder(session, decoder);
        frame_decoder_reset(&shared);
        return true;
}
