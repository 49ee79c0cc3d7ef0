/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The agents: real frames, the real handshake, and every way to misbehave. Reports are spread over the interval, as
 * those of guests that know nothing of each other are: a bridge that is woken once a second for all would look better.
 */

#include "farm-agents.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/wire.h"

#define EVENTS_MAX 256

enum { EVENT_LISTENER, EVENT_CLIENT, EVENT_KINDS };

Farm *farm;
Agent *agents;
static int epoll_fd;
static uint64_t random_state;

uint64_t farm_draw(void) {
        random_state ^= random_state << 13;
        random_state ^= random_state >> 7;
        random_state ^= random_state << 17;
        return random_state;
}

static void watch(int op, int fd, unsigned i, int kind, uint32_t events) {
        struct epoll_event event = {.events = events, .data.u32 = i * EVENT_KINDS + (unsigned) kind};

        (void) epoll_ctl(epoll_fd, op, fd, &event);
}

static void end_session(unsigned i) {
        FarmVm *vm = &farm->vms[i];

        atomic_store(&vm->left_needy_usec, atomic_exchange(&vm->needy_usec, 0));
        atomic_store(&vm->left_offered_bytes, atomic_exchange(&vm->offered_bytes, 0));
        atomic_store(&vm->left_usec, farm_now());

        if (agents[i].session != 0)
                atomic_fetch_sub(&farm->stats.sessions, 1);
        agents[i].session = 0;
        agents[i].resize_id = 0;
        atomic_store(&vm->probe_usec, 0);
        atomic_store(&vm->unserved, 0);
}

void agent_disconnect(unsigned i) {
        Agent *agent = &agents[i];

        end_session(i);
        (void) close(agent->fd);
        agent->fd = -1;
        watch(EPOLL_CTL_MOD, agent->listener, i, EVENT_LISTENER, EPOLLIN | EPOLLONESHOT);
}

/* -- what a guest hears ---------------------------------------------------------------------------- */

static void take_welcome(unsigned i, const MessageWelcome *welcome) {
        FarmVm *vm = &farm->vms[i];

        if (agents[i].session == 0)
                atomic_fetch_add(&farm->stats.sessions, 1);
        /* What was told before, this session may not act on. */
        atomic_store(&vm->offered_bytes, 0);
        atomic_store(&vm->needy_usec, 0);
        agents[i].session = welcome->session;
        agents[i].sequence = 0;
        if (atomic_load(&farm->vms[i].agent_mode) == AGENT_HONEST)
                agent_report(i);
}

static void take_message(unsigned i, const Message *message) {
        switch (message->type) {

        case MESSAGE_PING:
                if (message->session == 0)
                        agent_hello(i);
                return;

        case MESSAGE_WELCOME:
                take_welcome(i, &message->welcome);
                return;

        case MESSAGE_GROW_NOTICE:
                agents[i].resize_id = message->grow_notice.id;
                agents[i].resize_step = 0;
                agents[i].resize_base = farm_usable_bytes(farm, i);
                return;

        case MESSAGE_SHRINK_REQUEST:
                if (atomic_load(&farm->vms[i].agent_mode) == AGENT_HONEST)
                        agent_offer(i, &message->shrink_request);
                return;

        case MESSAGE_HELLO:
        case MESSAGE_REPORT:
        case MESSAGE_ALARM:
        case MESSAGE_SHRINK_OFFER:
        case MESSAGE_RESIZE_CONFIRM:
        case MESSAGE_BLOCK_EVENT:
        case MESSAGE_COMMAND_RESULT:
        case MESSAGE_OFFLINE_RANGE:
        case MESSAGE_ONLINE_RANGE:
        case MESSAGE_TUNING:
        case MESSAGE_TYPE_MAX:
                return;
        }
}

static void take_bytes(unsigned i) {
        uint8_t buffer[4096];
        ssize_t n = recv(agents[i].fd, buffer, sizeof(buffer), 0);
        const uint8_t *data = buffer, *payload;
        size_t size = n > 0 ? (size_t) n : 0, payload_size;
        Message message;

        if (n == 0 || (n < 0 && errno != EAGAIN)) {
                agent_disconnect(i);
                return;
        }
        while (frame_decoder_next(&agents[i].decoder, &data, &size, &payload, &payload_size))
                if (wire_decode(payload, payload_size, WIRE_FROM_HOST, &message) == WIRE_OK)
                        take_message(i, &message);
}

static void take_client(unsigned i) {
        Agent *agent = &agents[i];

        agent->fd = accept4(agent->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (agent->fd < 0) {
                watch(EPOLL_CTL_MOD, agent->listener, i, EVENT_LISTENER, EPOLLIN | EPOLLONESHOT);
                return;
        }
        atomic_fetch_add(&farm->stats.connections, 1);
        frame_decoder_reset(&agent->decoder);
        agent->sequence = 0;
        if (atomic_load(&farm->eager)) {
                atomic_fetch_add(&farm->stats.sessions, 1);
                agent->session = 1;
        }
        watch(EPOLL_CTL_ADD, agent->fd, i, EVENT_CLIENT, EPOLLIN);
}

/* -- the loop -------------------------------------------------------------------------------------- */

static void probe_turn(unsigned i) {
        if (agents[i].session != 0)
                agent_probe(i);
}

/* One VM's turn in its interval. */
static void take_turn(unsigned i) {
        if (agents[i].fd >= 0 && agents[i].session != 0 &&
            atomic_load(&farm->vms[i].agent_mode) == AGENT_HONEST)
                agent_report(i);
}

/* Calls turn for the share of n that is due since the last call; each comes once per period. */
typedef struct Wheel {
        unsigned next;
        uint64_t done, began_usec, per_sec;
} Wheel;

static void wheel_turn(Wheel *wheel, unsigned first, unsigned n, uint64_t per_sec, void (*turn)(unsigned),
                       uint64_t now_usec) {
        uint64_t due;

        if (wheel->per_sec != per_sec || now_usec - wheel->began_usec > 10 * USEC_PER_SEC)
                *wheel = (Wheel){.next = wheel->next, .began_usec = now_usec, .per_sec = per_sec};
        if (n == 0 || per_sec == 0)
                return;
        due = (now_usec - wheel->began_usec) * per_sec / USEC_PER_SEC;
        for (; wheel->done < due; wheel->done++, wheel->next = (wheel->next + 1) % n)
                turn(first + wheel->next % n);
}

static void take_moved(int moved_fd) {
        uint32_t number;
        ssize_t n;

        while ((n = recv(moved_fd, &number, sizeof(number), MSG_DONTWAIT)) == (ssize_t) sizeof(number))
                agent_confirm(number);
        if (n == 0)
                exit(2); /* the monitors are gone */
}

static void run(int moved_fd) {
        static Wheel reports, probes;
        struct epoll_event events[EVENTS_MAX];
        uint64_t now_usec;
        int n = epoll_wait(epoll_fd, events, EVENTS_MAX, 1);

        for (int k = 0; k < n; k++) {
                unsigned i = events[k].data.u32 / EVENT_KINDS;

                if (events[k].data.u32 == UINT32_MAX)
                        farm_control(farm);
                else if (events[k].data.u32 == UINT32_MAX - 1)
                        take_moved(moved_fd);
                else if (events[k].data.u32 % EVENT_KINDS == EVENT_LISTENER)
                        take_client(i);
                else if (agents[i].fd >= 0)
                        take_bytes(i);
        }
        now_usec = farm_now();
        wheel_turn(&reports, 0, farm->options.n_vms,
                   farm->options.n_vms * USEC_PER_SEC / farm->options.interval_usec, take_turn, now_usec);
        wheel_turn(&probes, atomic_load(&farm->probe_first), atomic_load(&farm->probe_n),
                   atomic_load(&farm->probes_per_sec), probe_turn, now_usec);
        agents_misbehave(now_usec);
}

void farm_agents(Farm *f, int moved_fd) {
        struct epoll_event control = {.events = EPOLLIN, .data.u32 = UINT32_MAX};
        struct epoll_event moved = {.events = EPOLLIN, .data.u32 = UINT32_MAX - 1};
        uint32_t ready;

        farm = f;
        random_state = f->options.seed | 1;
        epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        agents = calloc(f->options.n_vms, sizeof(*agents));
        if (!agents || epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, moved_fd, &moved) < 0 ||
            epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &control) < 0)
                exit(2);
        for (unsigned i = 0; i < f->options.n_vms; i++) {
                agents[i] = (Agent){
                        .listener = farm_listen(f, i, ".channel"),
                        .fd = -1,
                        .start_nonce = farm_draw(),
                        .used_bytes = f->options.boot_bytes / 2,
                };
                watch(EPOLL_CTL_ADD, agents[i].listener, i, EVENT_LISTENER, EPOLLIN | EPOLLONESHOT);
        }
        (void) !recv(moved_fd, &ready, sizeof(ready), 0);
        printf("ready\n");
        fflush(stdout);
        for (;;)
                run(moved_fd);
}
