/* SPDX-License-Identifier: Apache-2.0 */

/* Many eventfds in one loop: who is served, in which order, and who may leave when. */

#include "common/crowd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/macro.h"

#define MEMBERS_MAX 200

typedef struct Bench Bench;

typedef struct Peer {
        Bench *bench;
        CrowdMember member;
        unsigned n_calls;
        bool leaves;       /* in its handler */
        int takes_along;   /* another that it makes leave; -1: none */
        bool leaves_ready; /* it stays readable */
} Peer;

struct Bench {
        sd_event *event;
        Peer peers[MEMBERS_MAX];
        unsigned n_calls;
};

static void peer_leave(Peer *peer) {
        if (!peer->member.crowd)
                return;
        crowd_leave(&peer->member);
        assert_int_equal(close(peer->member.fd), 0);
}

static void on_peer(uint32_t revents, void *userdata) {
        Peer *peer = userdata;
        uint64_t value;

        assert_non_null(peer->member.crowd); /* who has left is not called */
        assert_int_equal(revents, EPOLLIN);
        peer->n_calls++;
        peer->bench->n_calls++;
        if (!peer->leaves_ready)
                assert_int_equal(read(peer->member.fd, &value, sizeof(value)), sizeof(value));
        if (peer->takes_along >= 0)
                peer_leave(&peer->bench->peers[peer->takes_along]);
        if (peer->leaves)
                peer_leave(peer);
}

static void add(Bench *bench, unsigned i, bool ready) {
        Peer *peer = &bench->peers[i];
        int fd = eventfd(ready, EFD_NONBLOCK | EFD_CLOEXEC);

        *peer = (Peer){.bench = bench, .takes_along = -1};
        assert_true(fd >= 0);
        assert_int_equal(crowd_join(bench->event, fd, on_peer, peer, &peer->member), 0);
        assert_int_equal(crowd_watch(&peer->member, EPOLLIN), 0);
}

/* Returns the number of turns that the loop took. */
static unsigned run_dry(Bench *bench) {
        unsigned n = 0;

        while (sd_event_run(bench->event, 0) > 0)
                n++;
        return n;
}

static int set_up(void **state) {
        Bench *bench = calloc(1, sizeof(*bench));

        assert_non_null(bench);
        assert_int_equal(sd_event_new(&bench->event), 0);
        *state = bench;
        return 0;
}

static int tear_down(void **state) {
        Bench *bench = *state;

        for (unsigned i = 0; i < MEMBERS_MAX; i++)
                if (bench->peers[i].bench)
                        peer_leave(&bench->peers[i]);
        (void) sd_event_unref(bench->event);
        free(bench);
        return 0;
}

static void test_serves_many_in_few_turns(void **state) {
        Bench *bench = *state;

        for (unsigned i = 0; i < MEMBERS_MAX; i++)
                add(bench, i, true);
        assert_true(run_dry(bench) < MEMBERS_MAX / 10);
        for (unsigned i = 0; i < MEMBERS_MAX; i++)
                assert_int_equal(bench->peers[i].n_calls, 1);
}

/* Those that are always ready keep nobody else waiting for more than one round. */
static void test_passes_nobody_over(void **state) {
        Bench *bench = *state;

        for (unsigned i = 0; i < MEMBERS_MAX; i++) {
                add(bench, i, true);
                bench->peers[i].leaves_ready = true;
        }
        while (bench->n_calls < 10 * MEMBERS_MAX)
                assert_true(sd_event_run(bench->event, 0) > 0);
        for (unsigned i = 0; i < MEMBERS_MAX; i++)
                assert_true(bench->peers[i].n_calls >= 9);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        *(bool *) userdata = true;
        return 0;
}

static void test_leaves_room_for_the_loop(void **state) {
        Bench *bench = *state;
        sd_event_source *timer;
        bool fired = false;

        for (unsigned i = 0; i < MEMBERS_MAX; i++) {
                add(bench, i, true);
                bench->peers[i].leaves_ready = true;
        }
        assert_int_equal(sd_event_add_time(bench->event, &timer, CLOCK_MONOTONIC, 0, 1, on_timer, &fired), 0);
        for (unsigned i = 0; i < 3; i++)
                assert_true(sd_event_run(bench->event, 0) > 0);
        assert_true(fired);
        (void) sd_event_source_disable_unref(timer);
}

static void test_watches_for_what_is_asked(void **state) {
        Bench *bench = *state;

        add(bench, 0, true);
        assert_int_equal(crowd_watch(&bench->peers[0].member, 0), 0);
        assert_int_equal(run_dry(bench), 0);
        assert_int_equal(crowd_watch(&bench->peers[0].member, EPOLLIN), 0);
        assert_int_equal(crowd_watch(&bench->peers[0].member, EPOLLIN), 0);
        assert_int_equal(run_dry(bench), 1);
        assert_int_equal(bench->n_calls, 1);
}

static void test_may_leave_inside(void **state) {
        Bench *bench = *state;

        for (unsigned i = 0; i < 4; i++)
                add(bench, i, true);
        bench->peers[0].takes_along = 1; /* served later in the same turn, were it still there */
        bench->peers[2].leaves = true;
        (void) run_dry(bench);
        assert_int_equal(bench->peers[0].n_calls, 1);
        assert_int_equal(bench->peers[1].n_calls, 0);
        assert_int_equal(bench->peers[2].n_calls, 1);
        assert_int_equal(bench->peers[3].n_calls, 1);
}

/* The last one out ends the crowd, also inside its own turn, and the next one in begins another. */
static void test_ends_with_its_last(void **state) {
        Bench *bench = *state;

        for (unsigned round = 0; round < 3; round++) {
                add(bench, 0, true);
                bench->peers[0].leaves = true;
                assert_int_equal(run_dry(bench), 1);
        }
        assert_int_equal(bench->n_calls, 1 + 1 + 1);
        add(bench, 0, true);
        peer_leave(&bench->peers[0]);
        assert_int_equal(run_dry(bench), 0);
}

static void test_two_loops_are_two_crowds(void **state) {
        Bench *bench = *state, *other;
        void *other_state;

        assert_int_equal(set_up(&other_state), 0);
        other = other_state;
        add(bench, 0, true);
        add(other, 0, true);
        assert_int_equal(run_dry(bench), 1);
        assert_int_equal(other->n_calls, 0);
        assert_int_equal(run_dry(other), 1);
        assert_int_equal(tear_down(&other_state), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_serves_many_in_few_turns, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_passes_nobody_over, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_leaves_room_for_the_loop, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_watches_for_what_is_asked, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_may_leave_inside, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_ends_with_its_last, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_two_loops_are_two_crowds, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
