/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A host gone mad, against the agent itself: random streams of valid commands straight into its handler, on virtual time, with
 * a hypervisor that takes at once whatever is offered. The guest is never offered below its floor or its margin, each shrink
 * request that is answered is answered in bounds, and the agent goes on.
 *
 * Commands that are not valid never come this far; that is fuzz-session's. The argument is how many streams (10^5
 * take minutes); seeds are fixed, so a failure comes again.
 */

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "agent/agent-internal.h"
#include "common/units.h"
#include "proto/wire-check.h"
#include "tree.h"

#define FLOOR  (300 * MIB)
#define MARGIN (64 * MIB)

static uint64_t arg_streams = 200;
static _Atomic uint64_t virtual_usec = 100 * USEC_PER_SEC;

typedef struct Guest {
        Tree *tree;
        Agent *agent;
        uint64_t total, available, free; /* bytes */
        uint64_t x;                      /* xorshift */
        uint64_t asked_bytes;            /* of the command that is being carried out; 0: no shrink */
        uint64_t offered_id;
        unsigned offered_step;
        uint64_t n_offers, n_refusals, n_answers;
} Guest;

static Guest guest;

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
bool __wrap_channel_is_open(const Channel *channel);
bool __wrap_channel_send(Channel *channel, const Message *message);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret) {
        uint64_t usec = atomic_load(&virtual_usec);

        (void) clock;
        *ret = (struct timespec){.tv_sec = (time_t) (usec / USEC_PER_SEC),
                                 .tv_nsec = (long) (usec % USEC_PER_SEC * NSEC_PER_USEC)};
        return 0;
}

bool __wrap_channel_is_open(const Channel *channel) {
        return true;
}

static uint64_t draw(uint64_t below) {
        guest.x ^= guest.x << 13;
        guest.x ^= guest.x >> 7;
        guest.x ^= guest.x << 17;
        return below > 0 ? guest.x % below : guest.x;
}

static void write_meminfo(void) {
        char text[512];

        (void) snprintf(text, sizeof(text),
                        "MemTotal: %" PRIu64 " kB\nMemFree: %" PRIu64 " kB\nMemAvailable: %" PRIu64
                        " kB\nSwapCached: 0 kB\nActive(file): 0 kB\nInactive(file): %" PRIu64
                        " kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\nSReclaimable: 0 kB\nBalloon: 0 kB\n",
                        guest.total / KIB, guest.free / KIB, guest.available / KIB,
                        (guest.available - guest.free) / KIB);
        /* A kernel file that cannot be read for once: nothing is given away on what was read before. */
        tree_write(guest.tree, "proc/meminfo", draw(16) ? text : "MemTotal: ? kB\n");
}

/* Whatever the agent says is a message that the wire would take; and what it offers goes at once. */
bool __wrap_channel_send(Channel *channel, const Message *message) {
        Message checked = *message;
        uint64_t bytes = message->shrink_offer.offered_bytes;

        checked.session = checked.sequence = 1;
        assert_true(wire_check(&checked));
        guest.n_answers += message->type == MESSAGE_COMMAND_RESULT;
        if (message->type != MESSAGE_SHRINK_OFFER)
                return true;
        guest.n_refusals += bytes == 0;
        if (bytes == 0) {
                assert_int_not_equal(message->shrink_offer.reason, REFUSAL_NONE);
                return true;
        }
        /* The same offer again is no second one. */
        if (message->shrink_offer.id == guest.offered_id && message->shrink_offer.step == guest.offered_step)
                return true;
        guest.offered_id = message->shrink_offer.id;
        guest.offered_step = message->shrink_offer.step;
        guest.n_offers++;
        assert_true(bytes <= guest.asked_bytes);
        assert_true(guest.total - bytes >= FLOOR);
        assert_true(guest.available - bytes >= MARGIN && guest.free - bytes >= MARGIN);
        guest.total -= bytes;
        guest.available -= bytes;
        guest.free -= bytes;
        return true;
}

/* Small, of the guest's order, and absurd. */
static uint64_t draw_bytes(void) {
        switch (draw(4)) {
        case 0:
                return 1 + draw(8 * MIB);
        case 1:
                return 1 + draw(64 * TIB);
        default:
                return 1 + draw(512 * MIB);
        }
}

static Message draw_command(uint64_t now_usec) {
        static const MessageType types[] = {MESSAGE_GROW_NOTICE,    MESSAGE_SHRINK_REQUEST,
                                            MESSAGE_SHRINK_REQUEST, MESSAGE_SHRINK_REQUEST,
                                            MESSAGE_OFFLINE_RANGE,  MESSAGE_ONLINE_RANGE,
                                            MESSAGE_TUNING,         MESSAGE_PING};
        uint64_t id = 1 + draw(4), deadline_usec = now_usec + 1 + draw(draw(8) ? 10 * USEC_PER_SEC : 1 << 30);
        Message m = {.type = types[draw(sizeof(types) / sizeof(types[0]))], .session = 1, .sequence = 1};

        if (m.type == MESSAGE_GROW_NOTICE)
                m.grow_notice = (MessageGrowNotice){id, deadline_usec, draw_bytes(), draw(2)};
        else if (m.type == MESSAGE_SHRINK_REQUEST) {
                m.shrink_request = (MessageShrinkRequest){.id = id,
                                                          .step = 1 + (unsigned) draw(3),
                                                          .deadline_usec = deadline_usec,
                                                          .bytes = draw_bytes(),
                                                          .balloon = draw(2),
                                                          .last = draw(2)};
                m.shrink_request.remaining_bytes = u64_min(m.shrink_request.bytes + draw(GIB), 64 * TIB);
        } else if (m.type == MESSAGE_TUNING)
                m.tuning = (MessageTuning){id, deadline_usec, USEC_PER_SEC, USEC_PER_MSEC + draw(9999000)};
        else if (m.type == MESSAGE_PING)
                m.ping = (MessagePing){id, deadline_usec};
        else
                m.range = (MessageRange){id, deadline_usec, draw(64) * 128 * MIB, (1 + draw(8)) * 128 * MIB};
        return m;
}

/* The workload, and the hypervisor when it likes. */
static void live(void) {
        uint64_t used = guest.total - guest.available, cache;

        if (draw(4) == 0)
                guest.total = FLOOR + draw(draw(2) ? 128 * MIB : GIB);
        if (draw(3) == 0)
                used = 50 * MIB + draw(400 * MIB);
        guest.available = u64_sub(guest.total, used);
        cache = draw(3) == 0 && guest.available > 0 ? draw(guest.available) : 0;
        guest.free = guest.available - cache;
        atomic_fetch_add(&virtual_usec, draw(8) ? draw(2 * USEC_PER_SEC) : draw(200 * USEC_PER_SEC));
        write_meminfo();
}

static void run_stream(void) {
        for (uint64_t n = 1 + draw(8); n > 0; n--) {
                Message m;

                live();
                m = draw_command(atomic_load(&virtual_usec));
                if (!wire_check(&m))
                        continue;
                guest.asked_bytes = m.type == MESSAGE_SHRINK_REQUEST ? m.shrink_request.bytes : 0;
                agent_session_handlers.command(&m, guest.agent);
                write_meminfo();
                atomic_fetch_add(&virtual_usec, 20 * USEC_PER_MSEC);
                agent_sample(guest.agent);
        }
        if (draw(4) == 0)
                agent_session_handlers.closed(guest.agent);
        assert_true(sd_event_run(guest.agent->event, 0) >= 0);
        assert_int_equal(sd_event_get_state(guest.agent->event), SD_EVENT_INITIAL);
}

static void test_streams(void **unused) {
        AgentConfig config = agent_config_defaults();
        AgentOptions options = {.port_path = "/nonexistent/port"};

        config.floor_bytes = FLOOR;
        config.shrink_margin_bytes = MARGIN;
        config.hold_usec = USEC_PER_SEC;
        config.blocks_online = false;
        guest = (Guest){.tree = tree_new("debian12-6.1"),
                        .x = UINT64_C(0x9e3779b97f4a7c15),
                        .total = 2 * GIB,
                        .available = 1800 * MIB,
                        .free = 1800 * MIB};
        write_meminfo();
        assert_int_equal(agent_new(guest.tree->root, &config, &options, &guest.agent), 0);

        for (uint64_t i = 0; i < arg_streams; i++)
                run_stream();
        printf("%" PRIu64 " streams: %" PRIu64 " offers, %" PRIu64 " refusals, %" PRIu64 " answers\n",
               arg_streams, guest.n_offers, guest.n_refusals, guest.n_answers);
        assert_true(guest.n_offers > arg_streams / 10);
        assert_true(guest.n_refusals > guest.n_offers && guest.n_answers > arg_streams / 10);

        agent_free(guest.agent);
        tree_free(guest.tree);
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_streams),
        };

        if (argc > 1)
                arg_streams = strtoull(argv[1], NULL, 10);
        log_setup(LOG_TARGET_STDERR, LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
