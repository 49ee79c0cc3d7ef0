/* SPDX-License-Identifier: Apache-2.0 */

/* The session on virtual time: handshake, what is void, sequence, deadlines, rate. */

#include "agent/host/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/macro.h"
#include "common/units.h"
#include "proto/wire.h"

typedef struct World {
        Session session;
        uint64_t now_usec;
        unsigned n_opened, n_closed, n_commands;
        Message last_command;
        Message sent[8]; /* what session_next_frame() gave, decoded */
        size_t n_sent;
        bool delimiter; /* a lone zero was among it */
        uint64_t host_sequence;
} World;

static World world;

static void fill_hello(MessageHello *ret, void *userdata) {
        ret->page_size_bytes = 4096;
        ret->memory_total_bytes = GIB;
}

static void opened(const MessageWelcome *welcome, void *userdata) {
        world.n_opened++;
}

static void closed(void *userdata) {
        world.n_closed++;
}

static void command(const Message *message, void *userdata) {
        world.n_commands++;
        world.last_command = *message;
}

static const SessionHandlers handlers = {fill_hello, opened, closed, command};

static int set_up(void **state) {
        memset(&world, 0, sizeof(world));
        world.now_usec = 1000 * USEC_PER_SEC;
        session_init(&world.session, 42, &handlers, NULL);
        return 0;
}

/* Takes all that is to be sent now. Returns how many messages. */
static size_t drain(void) {
        uint8_t frame[FRAME_ENCODED_MAX];
        size_t size;

        world.n_sent = 0;
        world.delimiter = false;
        while ((size = session_next_frame(&world.session, world.now_usec, frame)) > 0) {
                FrameDecoder decoder = {};
                const uint8_t *data = frame, *payload;
                size_t payload_size;

                if (size == 1) {
                        assert_int_equal(frame[0], 0);
                        world.delimiter = true;
                        continue;
                }
                assert_true(world.n_sent < ELEMENTSOF(world.sent));
                assert_true(frame_decoder_next(&decoder, &data, &size, &payload, &payload_size));
                assert_int_equal(wire_decode(payload, payload_size, WIRE_FROM_GUEST,
                                             &world.sent[world.n_sent++]),
                                 WIRE_OK);
        }
        return world.n_sent;
}

static void receive(Message message) {
        uint8_t frame[FRAME_ENCODED_MAX];
        size_t size = wire_encode(&message, frame);

        assert_true(size > 0);
        session_receive(&world.session, frame, size, world.now_usec);
}

static void receive_welcome(uint32_t id, uint64_t nonce) {
        receive((Message){.type = MESSAGE_WELCOME,
                          .sequence = 1,
                          .welcome = {.session = id,
                                      .minor = 1,
                                      .handshake_nonce = nonce,
                                      .bridge_version = "t",
                                      .report_interval_usec = USEC_PER_SEC}});
        world.host_sequence = 0;
}

static void receive_ping(uint32_t session, uint64_t sequence, uint64_t id) {
        receive((Message){.type = MESSAGE_PING,
                          .session = session,
                          .sequence = sequence,
                          .ping = {.id = id, .deadline_usec = session == 0 ? 0 : world.now_usec + 1}});
}

static uint64_t open_session(uint32_t id) {
        session_start(&world.session, world.now_usec);
        assert_int_equal(drain(), 1);
        receive_welcome(id, world.sent[0].hello.handshake_nonce);
        return world.sent[0].hello.handshake_nonce;
}

static void test_handshake(void **state) {
        uint64_t nonce;

        assert_int_equal(drain(), 0);
        session_start(&world.session, world.now_usec);
        assert_int_equal(drain(), 1);
        assert_true(world.delimiter);
        assert_int_equal(world.sent[0].type, MESSAGE_HELLO);
        assert_int_equal(world.sent[0].session, 0);
        assert_int_equal(world.sent[0].hello.start_nonce, 42);
        nonce = world.sent[0].hello.handshake_nonce;

        assert_int_equal(session_due_usec(&world.session), world.now_usec + USEC_PER_SEC);
        world.now_usec += USEC_PER_SEC - 1;
        assert_int_equal(drain(), 0);
        world.now_usec++;
        assert_int_equal(drain(), 1);
        assert_false(world.delimiter);
        assert_int_equal(world.sent[0].hello.handshake_nonce, nonce);

        receive_welcome(5, nonce + 1);
        assert_int_equal(world.n_opened, 0);
        receive_welcome(5, nonce);
        assert_int_equal(world.n_opened, 1);
        assert_int_equal(session_due_usec(&world.session), USEC_INFINITY);
        assert_int_equal(session_frames_dropped(&world.session), 1);
}

static void test_nothing_before_the_handshake(void **state) {
        Message report = {.type = MESSAGE_REPORT};

        receive_ping(5, 1, 1); /* no connection at all */
        assert_false(session_push(&world.session, &report));
        session_start(&world.session, world.now_usec);
        assert_false(session_push(&world.session, &report));
        receive_ping(5, 1, 1);
        assert_int_equal(world.n_commands, 0);
        assert_int_equal(world.session.counters.n_early, 2);
        world.now_usec += USEC_PER_SEC;
        assert_int_equal(drain(), 1);
        assert_int_equal(world.sent[0].hello.frames_void, 2);
}

static void test_two_welcomes_mean_the_later(void **state) {
        uint64_t nonce = open_session(5);

        receive_welcome(5, nonce); /* the same frame twice */
        assert_int_equal(world.n_opened, 1);
        assert_int_equal(world.session.counters.n_replayed, 1);
        receive_welcome(6, nonce);
        assert_int_equal(world.n_opened, 2);
        assert_int_equal(world.n_closed, 1);
        receive_ping(5, 1, 1);
        receive_ping(6, 1, 1);
        assert_int_equal(world.n_commands, 1);
}

static void test_sequence(void **state) {
        static const struct {
                uint64_t sequence;
                bool accepted;
        } frames[] = {{1, true},  {1, false},         {3, true}, {2, false},
                      {3, false}, {UINT64_MAX, true}, {4, false}};

        open_session(5);
        for (size_t i = 0; i < ELEMENTSOF(frames); i++) {
                unsigned before = world.n_commands;

                receive_ping(5, frames[i].sequence, 1);
                if ((world.n_commands > before) != frames[i].accepted)
                        fail_msg("frame %zu", i);
        }
        assert_int_equal(world.session.counters.n_replayed, 4);
        assert_int_equal(world.session.counters.n_refused[REFUSAL_REPEATED], 4);
        assert_int_equal(drain(), 4);
        assert_int_equal(world.sent[3].command_result.reason, REFUSAL_REPEATED);
        receive_ping(6, 9, 1);
        assert_int_equal(world.session.counters.n_foreign, 1);
}

static void test_own_sequence_and_time_rise(void **state) {
        Message report = {.type = MESSAGE_REPORT,
                          .monotonic_usec = 50,
                          .report = {.memory_total_bytes = GIB, .interval_usec = USEC_PER_SEC}};
        Message alarm = {.type = MESSAGE_ALARM, .monotonic_usec = 2000 * USEC_PER_SEC};

        open_session(5);
        assert_true(session_push(&world.session, &report));
        assert_true(session_push(&world.session, &alarm));
        assert_int_equal(drain(), 2);
        assert_int_equal(world.sent[0].type, MESSAGE_ALARM);
        assert_int_equal(world.sent[0].sequence, 1);
        assert_int_equal(world.sent[1].sequence, 2);
        assert_int_equal(world.sent[1].session, 5);
        assert_true(world.sent[1].monotonic_usec >= world.sent[0].monotonic_usec);
}

static void test_deadlines(void **state) {
        open_session(5);
        receive((Message){.type = MESSAGE_SHRINK_REQUEST,
                          .session = 5,
                          .sequence = 1,
                          .shrink_request = {.id = 8,
                                             .step = 2,
                                             .deadline_usec = world.now_usec,
                                             .bytes = MIB,
                                             .remaining_bytes = MIB}});
        assert_int_equal(drain(), 1);
        assert_int_equal(world.sent[0].type, MESSAGE_SHRINK_OFFER);
        assert_int_equal(world.sent[0].shrink_offer.reason, REFUSAL_EXPIRED);
        assert_int_equal(world.sent[0].shrink_offer.step, 2);

        receive((Message){.type = MESSAGE_TUNING,
                          .session = 5,
                          .sequence = 2,
                          .tuning = {.id = 9, .deadline_usec = world.now_usec - 1}});
        assert_int_equal(drain(), 1);
        assert_int_equal(world.sent[0].command_result.id, 9);
        assert_int_equal(world.sent[0].command_result.outcome, COMMAND_REFUSED);
        assert_int_equal(world.sent[0].command_result.reason, REFUSAL_EXPIRED);
        assert_int_equal(world.n_commands, 0);
        assert_int_equal(world.session.counters.n_expired, 2);
        assert_int_equal(world.session.counters.n_refused[REFUSAL_EXPIRED], 2);
}

/* The wire takes no such message: it is put into the bytes of a good one. */
static void receive_spoilt(Message message, uint8_t from, uint8_t to) {
        uint8_t frame[FRAME_ENCODED_MAX], payload[FRAME_PAYLOAD_MAX];
        size_t size = wire_encode(&message, frame), payload_size;
        const uint8_t *data = frame, *found;
        FrameDecoder decoder = {};
        uint8_t *at;

        assert_true(frame_decoder_next(&decoder, &data, &size, &found, &payload_size));
        memcpy(payload, found, payload_size);
        at = memchr(payload, from, payload_size);
        assert_non_null(at);
        *at = to;
        session_receive(&world.session, frame, frame_encode(payload, payload_size, frame), world.now_usec);
}

static void test_out_of_range(void **state) {
        Message ping = {.type = MESSAGE_PING,
                        .session = 5,
                        .sequence = 0x55,
                        .ping = {.id = 9, .deadline_usec = 0}};
        Message notice = {.type = MESSAGE_GROW_NOTICE,
                          .session = 5,
                          .sequence = 1,
                          .grow_notice = {.id = 8, .deadline_usec = UINT32_MAX, .bytes = 0x77}};

        session_start(&world.session, world.now_usec);
        receive_spoilt(notice, 0x77, 0); /* before the handshake nobody is there to be told */
        assert_int_equal(drain(), 1);
        receive_welcome(5, world.sent[0].hello.handshake_nonce);
        receive_spoilt(notice, 0x77, 0);
        receive_spoilt(ping, 0x55, 0); /* a sequence of 0 */
        notice.session = 6;
        receive_spoilt(notice, 0x77, 0);

        assert_int_equal(world.n_commands, 0);
        assert_int_equal(drain(), 2);
        assert_int_equal(world.sent[0].command_result.id, 8);
        assert_int_equal(world.sent[0].command_result.reason, REFUSAL_INVALID);
        assert_int_equal(world.sent[1].command_result.id, 9);
        assert_int_equal(world.session.counters.n_malformed, 4);
        assert_int_equal(world.session.counters.n_refused[REFUSAL_INVALID], 2);
}

static void test_ping_outside_a_session(void **state) {
        uint64_t nonce = open_session(5);

        world.now_usec += 200 * USEC_PER_MSEC;
        receive_ping(0, 1, 1);
        assert_int_equal(world.n_closed, 1);
        assert_int_equal(drain(), 0); /* one Hello per second */
        world.now_usec += 800 * USEC_PER_MSEC;
        receive_ping(0, 2, 2);
        assert_int_equal(drain(), 1);
        assert_int_not_equal(world.sent[0].hello.handshake_nonce, nonce);
        receive_ping(0, 3, 3); /* in a handshake it changes nothing: the Welcome may be under way */
        receive_welcome(6, world.sent[0].hello.handshake_nonce);
        assert_int_equal(world.n_opened, 2);
}

static void test_flapping_port(void **state) {
        unsigned n_hellos = 0;

        for (unsigned i = 0; i < 100; i++) { /* one second at 100 per second */
                session_start(&world.session, world.now_usec);
                n_hellos += (unsigned) drain();
                session_stop(&world.session);
                world.now_usec += 10 * USEC_PER_MSEC;
        }
        assert_in_range(n_hellos, 5, 11);
        assert_int_equal(world.n_closed, 0);
}

static void test_garbage(void **state) {
        uint8_t noise[5000];

        open_session(5);
        memset(noise, 7, sizeof(noise));
        session_receive(&world.session, noise, sizeof(noise), world.now_usec);
        session_receive(&world.session, (const uint8_t[]){0, 0, 5, 1, 0}, 5, world.now_usec);
        receive((Message){.type = MESSAGE_COMMAND_RESULT, .session = 5, .sequence = 1});
        assert_int_equal(world.session.counters.n_malformed, 1);
        assert_int_equal(session_frames_dropped(&world.session), 3);
        receive_ping(5, 1, 1);
        assert_int_equal(world.n_commands, 1);
}

static void test_flood(void **state) {
        open_session(5);
        for (uint64_t i = 1; i <= 1000; i++)
                receive_ping(5, i, i);
        assert_in_range(world.n_commands, 90, 100);
        assert_int_equal(world.n_commands + world.session.counters.n_flooded, 1000);
        world.now_usec += USEC_PER_SEC;
        receive_ping(5, 2000, 1);
        assert_int_equal(world.last_command.sequence, 2000);
}

static void test_a_new_connection_has_no_backlog(void **state) {
        Message event = {.type = MESSAGE_BLOCK_EVENT, .block_event.bytes = 128 * MIB};

        open_session(5);
        assert_true(session_push(&world.session, &event));
        session_stop(&world.session);
        assert_int_equal(world.n_closed, 1);
        assert_int_equal(drain(), 0);
        world.now_usec += USEC_PER_SEC;
        open_session(6);
        assert_int_equal(drain(), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_handshake, set_up),
                cmocka_unit_test_setup(test_nothing_before_the_handshake, set_up),
                cmocka_unit_test_setup(test_two_welcomes_mean_the_later, set_up),
                cmocka_unit_test_setup(test_sequence, set_up),
                cmocka_unit_test_setup(test_own_sequence_and_time_rise, set_up),
                cmocka_unit_test_setup(test_deadlines, set_up),
                cmocka_unit_test_setup(test_out_of_range, set_up),
                cmocka_unit_test_setup(test_ping_outside_a_session, set_up),
                cmocka_unit_test_setup(test_flapping_port, set_up),
                cmocka_unit_test_setup(test_garbage, set_up),
                cmocka_unit_test_setup(test_flood, set_up),
                cmocka_unit_test_setup(test_a_new_connection_has_no_backlog, set_up),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
