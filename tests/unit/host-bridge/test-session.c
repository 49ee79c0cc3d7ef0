/* SPDX-License-Identifier: Apache-2.0 */

/* The way to one agent: handshake, sequence, freshness, budgets; and the two pure parts it stands on. */

#include "world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/units.h"
#include "host-bridge/guests/guest-clock.h"
#include "host-bridge/guests/session.h"
#include "host-bridge/guests/token-bucket.h"

/* -- pure parts ------------------------------------------------------------------------------------ */

static void test_guest_clock(void **state) {
        static const struct {
                uint64_t guest_usec, host_usec, delay_usec;
        } script[] = {
                {1000, 5000, 0}, /* the first is as fast as can be */
                {2000, 6300, 300},
                {3000, 6900, 0}, /* faster: the new best */
                {4000, 8000, 100},
                {5000, 70 * USEC_PER_SEC, 70 * USEC_PER_SEC - 8900}, /* a burst that had waited */
                {6000, 70 * USEC_PER_SEC, 70 * USEC_PER_SEC - 9900}, /* a new window does not make it fresh */
                {UINT64_MAX, 71 * USEC_PER_SEC, 0},                  /* a lie: from the far future */
                {7000, 71 * USEC_PER_SEC, (uint64_t) INT64_MAX + 71 * USEC_PER_SEC - 7000},
        };
        GuestClock clock = {};

        assert_int_equal(guest_clock_from_host(&clock, 12345), 0);
        for (size_t i = 0; i < ELEMENTSOF(script); i++) {
                uint64_t delay = guest_clock_observe(&clock, script[i].guest_usec, script[i].host_usec);

                if (delay != script[i].delay_usec)
                        fail_msg("step %zu: %llu", i, (unsigned long long) delay);
        }

        clock = (GuestClock){};
        (void) guest_clock_observe(&clock, 1000, 5000);
        assert_int_equal(guest_clock_from_host(&clock, 7000), 3000);
        clock = (GuestClock){};
        (void) guest_clock_observe(&clock, 5000, 1000);
        assert_int_equal(guest_clock_from_host(&clock, 7000), 11000);
}

/* A guest that was suspended is late for ever, until two windows have gone by. */
static void test_guest_clock_heals(void **state) {
        GuestClock clock = {};
        uint64_t host_usec = 0, delay_usec = 0;

        (void) guest_clock_observe(&clock, 0, 0);
        for (unsigned s = 1; s <= 130; s++) {
                host_usec = (3600 + s) * USEC_PER_SEC;
                delay_usec = guest_clock_observe(&clock, s * USEC_PER_SEC, host_usec);
                if (s == 1)
                        assert_int_equal(delay_usec, 3600 * USEC_PER_SEC);
        }
        assert_int_equal(delay_usec, 0);
}

static void test_token_bucket(void **state) {
        TokenBucket bucket = token_bucket(100, 200);

        token_bucket_take(&bucket, 200, 10 * USEC_PER_SEC);
        assert_int_equal(token_bucket_wait_usec(&bucket, 10 * USEC_PER_SEC), 0);
        token_bucket_take(&bucket, 1, 10 * USEC_PER_SEC);
        assert_int_equal(token_bucket_wait_usec(&bucket, 10 * USEC_PER_SEC), 10 * USEC_PER_MSEC);
        assert_int_equal(token_bucket_wait_usec(&bucket, 10 * USEC_PER_SEC + 10 * USEC_PER_MSEC), 0);
        /* Idle credit is bounded by the burst. */
        token_bucket_take(&bucket, 300, 10000 * USEC_PER_SEC);
        assert_int_equal(token_bucket_wait_usec(&bucket, 10000 * USEC_PER_SEC), USEC_PER_SEC);
}

/* -- the session ----------------------------------------------------------------------------------- */

typedef struct Fixture {
        World world;
        AgentPeer agent;
        Session *session;
        unsigned n_opened, n_closed, n_messages;
        MessageType last;
        bool free_inside;
} Fixture;

static void on_event(Session *session, const SessionEvent *event, void *userdata) {
        Fixture *f = userdata;

        f->n_opened += event->kind == SESSION_OPENED;
        f->n_closed += event->kind == SESSION_CLOSED;
        if (event->kind == SESSION_MESSAGE) {
                f->n_messages++;
                f->last = event->message->type;
                if (f->free_inside)
                        f->session = session_free(f->session);
        }
}

static const SessionOptions quick = {
        .report_interval_usec = 100 * USEC_PER_MSEC,
        .stale_usec = 300 * USEC_PER_MSEC,
        .handshake_timeout_usec = 30 * USEC_PER_MSEC,
        .hello_interval_usec = 50 * USEC_PER_MSEC,
        .retry_min_usec = 5 * USEC_PER_MSEC,
        .retry_max_usec = 20 * USEC_PER_MSEC,
        .messages_per_sec = 1000,
        .messages_burst = 2000,
        .bytes_per_sec = MIB,
};

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        world_init(&f->world);
        agent_peer_init(&f->agent, &f->world, "a.channel");
        assert_int_equal(session_new(f->world.event, f->agent.peer.path, &quick, on_event, f, &f->session),
                         0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        (void) session_free(f->session);
        agent_peer_done(&f->agent);
        world_done(&f->world);
        free(f);
        return 0;
}

static bool is_welcomed(void *userdata) {
        return ((Fixture *) userdata)->agent.session != 0;
}

static void open_session(Fixture *f) {
        assert_true(world_run(&f->world, is_welcomed, f, 2000));
        assert_int_equal(f->n_opened, 1);
}

static Message report(void) {
        return (Message){
                .type = MESSAGE_REPORT,
                .report = {.memory_total_bytes = MIB, .interval_usec = USEC_PER_SEC},
        };
}

static void test_handshake(void **state) {
        Fixture *f = *state;
        const Message *welcome = &f->agent.last[MESSAGE_WELCOME];

        open_session(f);
        assert_true(f->agent.n[MESSAGE_PING] >= 1); /* again after 30 ms: a busy machine */
        assert_int_equal(f->agent.last[MESSAGE_PING].session, 0);
        assert_int_equal(welcome->session, 0);
        assert_int_equal(welcome->welcome.handshake_nonce, 100);
        assert_int_equal(welcome->welcome.report_interval_usec, quick.report_interval_usec);
        assert_string_equal(welcome->welcome.bridge_version, MEMTIDE_VERSION);
        assert_true(session_is_open(f->session));

        agent_peer_send(&f->agent, report());
        world_idle(&f->world, 10);
        assert_int_equal(f->n_messages, 1);
        assert_int_equal(f->last, MESSAGE_REPORT);
        assert_int_equal(session_counters(f->session).ok, 2);
}

/* An agent that is late hears nothing of the first Ping: it is asked again. */
static void test_asked_again(void **state) {
        Fixture *f = *state;

        f->agent.shakes_hands = false;
        world_idle(&f->world, 300); /* at 0, 30, 90, 210 ms: ever more rarely */
        assert_true(f->agent.n[MESSAGE_PING] >= 2 && f->agent.n[MESSAGE_PING] <= 5);
        assert_int_equal(f->agent.peer.n_clients, 1);
        f->agent.shakes_hands = true;
        open_session(f);
}

static void test_dropped_and_counted(void **state) {
        Fixture *f = *state;
        Message message = report();
        SessionCounters counters;
        uint8_t junk[] = {0x03, 0x11, 0x22, 0x00};
        uint8_t overlong[FRAME_ENCODED_MAX + 10];

        f->agent.shakes_hands = false;
        world_idle(&f->world, 20);
        message.session = 77; /* before any handshake */
        agent_peer_send(&f->agent, message);
        f->agent.shakes_hands = true;
        open_session(f);

        agent_peer_send(&f->agent, message); /* of another session */
        message = report();
        message.sequence = 10;
        agent_peer_send(&f->agent, message);
        agent_peer_send(&f->agent, message); /* again */
        message.sequence = 9;
        agent_peer_send(&f->agent, message); /* lower */
        peer_write(&f->agent.peer, junk, sizeof(junk));
        memset(overlong, 1, sizeof(overlong));
        overlong[sizeof(overlong) - 1] = 0;
        peer_write(&f->agent.peer, overlong, sizeof(overlong));
        message.sequence = 11;
        agent_peer_send(&f->agent, message); /* and on it goes */
        world_idle(&f->world, 20);

        counters = session_counters(f->session);
        assert_int_equal(counters.void_, 2);
        assert_int_equal(counters.replayed, 2);
        assert_int_equal(counters.garbled, 1);
        assert_int_equal(counters.overlong, 1);
        assert_int_equal(f->n_messages, 2);
        assert_true(session_is_open(f->session));
}

/* A burst of reports that had been waiting is no news; an alarm still is. */
static void test_stale(void **state) {
        Fixture *f = *state;
        Message message = report();
        Message alarm = {.type = MESSAGE_ALARM};

        open_session(f);
        message.monotonic_usec = world_now() - 10 * USEC_PER_SEC;
        agent_peer_send(&f->agent, message);
        world_idle(&f->world, 10);
        assert_int_equal(f->n_messages, 0);
        assert_int_equal(session_counters(f->session).void_, 1);

        alarm.monotonic_usec = world_now() - 10 * USEC_PER_SEC;
        agent_peer_send(&f->agent, alarm);
        world_idle(&f->world, 10);
        assert_int_equal(f->n_messages, 1);
}

static void test_new_agent(void **state) {
        Fixture *f = *state;
        uint32_t first;

        open_session(f);
        first = f->agent.session;
        world_idle(&f->world, 60);
        f->agent.start_nonce++;
        f->agent.handshake_nonce++;
        agent_peer_hello(&f->agent);
        world_idle(&f->world, 10);
        assert_int_equal(f->n_opened, 2);
        assert_int_not_equal(f->agent.session, first);

        agent_peer_hello(&f->agent); /* sooner than is allowed */
        world_idle(&f->world, 10);
        assert_int_equal(f->n_opened, 2);
        assert_int_equal(session_counters(f->session).void_, 1);
}

/* The Welcome was lost: the same Hello gets the same session. */
static void test_repeated_hello(void **state) {
        Fixture *f = *state;
        uint32_t first;

        open_session(f);
        first = f->agent.session;
        world_idle(&f->world, 60);
        agent_peer_hello(&f->agent);
        world_idle(&f->world, 10);
        assert_int_equal(f->agent.n[MESSAGE_WELCOME], 2);
        assert_int_equal(f->agent.session, first);
        assert_int_equal(f->n_opened, 1);
}

static bool is_back(void *userdata) {
        return ((Fixture *) userdata)->n_opened == 2;
}

static void test_reconnects(void **state) {
        Fixture *f = *state;

        open_session(f);
        world_idle(&f->world, 60);
        peer_hang_up(&f->agent.peer);
        world_idle(&f->world, 2);
        assert_int_equal(f->n_closed, 1);
        f->agent.session = 0;
        assert_true(world_run(&f->world, is_back, f, 2000));
}

static void test_send(void **state) {
        Fixture *f = *state;
        Message message = {.type = MESSAGE_GROW_NOTICE, .grow_notice = {.id = 5, .bytes = MIB}};
        uint64_t now;

        assert_int_equal(session_send(f->session, &message), -ENOTCONN);
        open_session(f);
        now = world_now();
        assert_true(session_guest_usec(f->session, now) <= now + USEC_PER_MSEC);
        for (unsigned i = 1; i <= 3; i++) {
                assert_int_equal(session_send(f->session, &message), 0);
                world_idle(&f->world, 5);
                assert_int_equal(f->agent.last[MESSAGE_GROW_NOTICE].sequence, i);
                assert_int_equal(f->agent.last[MESSAGE_GROW_NOTICE].session, f->agent.session);
        }
        message.grow_notice.bytes = UINT64_MAX;
        assert_int_equal(session_send(f->session, &message), -ERANGE);
}

/* After a reset the old boot's frames are void until a new Hello. */
static void test_void(void **state) {
        Fixture *f = *state;

        open_session(f);
        session_void(f->session);
        assert_false(session_is_open(f->session));
        agent_peer_send(&f->agent, report());
        world_idle(&f->world, 10);
        assert_int_equal(f->n_messages, 0);
        assert_int_equal(session_counters(f->session).void_, 1);
        assert_int_equal(f->n_closed, 0);
        f->agent.handshake_nonce++;
        assert_true(world_run(&f->world, is_back, f, 2000)); /* asked again by itself */
}

/* Ten times the budget: read slowly, nothing dropped, and a neighbour in the same loop is not held up. */
static void test_flood(void **state) {
        Fixture *f = *state;
        uint64_t begin_usec;

        open_session(f);
        begin_usec = world_now();
        for (unsigned i = 0; i < 3000; i++) /* alarms: reports would be stale by the time they are read */
                agent_peer_send(&f->agent, (Message){.type = MESSAGE_ALARM});
        world_idle(&f->world, 200);
        assert_true(session_counters(f->session).throttled > 0);
        assert_true(f->n_messages < 2600);
        while (f->n_messages < 3000 && world_now() - begin_usec < 10 * USEC_PER_SEC)
                world_idle(&f->world, 50);
        assert_int_equal(f->n_messages, 3000);
        /* 3000 at 1000 a second, less the burst of 2000 and what one read may overdraw. */
        assert_true(world_now() - begin_usec > 300 * USEC_PER_MSEC);
}

static void test_freed_inside(void **state) {
        Fixture *f = *state;

        open_session(f);
        f->free_inside = true;
        agent_peer_send(&f->agent, report());
        agent_peer_send(&f->agent, report());
        world_idle(&f->world, 10);
        assert_null(f->session);
        assert_int_equal(f->n_messages, 1);
}

#define session_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_guest_clock),
                cmocka_unit_test(test_guest_clock_heals),
                cmocka_unit_test(test_token_bucket),
                session_test(test_handshake),
                session_test(test_asked_again),
                session_test(test_dropped_and_counted),
                session_test(test_stale),
                session_test(test_new_agent),
                session_test(test_repeated_hello),
                session_test(test_reconnects),
                session_test(test_send),
                session_test(test_void),
                session_test(test_flood),
                session_test(test_freed_inside),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
