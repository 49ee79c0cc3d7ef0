/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the tests of the bridge's shell stand on: a loop that is run until something is true, a folder for
 * sockets, and a listening peer on one of them. Everything is in one thread and one loop.
 */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

#include "common/stream.h"
#include "proto/wire.h"

typedef struct World {
        sd_event *event;
        char folder[64];
} World;

void world_init(World *world);
void world_done(World *world);

/* path of name in the folder; valid until the next call. */
const char *world_path(const World *world, const char *name);

/* Runs the loop until condition(userdata), at most for timeout_ms. Returns the condition's last value. */
bool world_run(World *world, bool (*condition)(void *userdata), void *userdata, unsigned timeout_ms);

/* Puts a file there, and the folders that it is in. */
void world_write(const World *world, const char *name, const char *text);

/* Runs the loop for so long, and until all that has come is served. */
void world_idle(World *world, unsigned ms);

/* Listens on a socket; one client at a time, the latest one. */
typedef struct Peer Peer;
struct Peer {
        World *world;
        int fd;
        char path[108];
        sd_event_source *source;
        Stream *stream; /* NULL: no client */
        unsigned n_clients;
        void (*on_client)(Peer *peer); /* may be NULL */
        void (*on_bytes)(Peer *peer, const uint8_t *data, size_t size);
        void *userdata;
};
void peer_init(Peer *peer, World *world, const char *name);
void peer_done(Peer *peer);
void peer_write(Peer *peer, const void *data, size_t size);
void peer_hang_up(Peer *peer);

/* An agent at the end of its channel. */
typedef struct AgentPeer {
        Peer peer;
        FrameDecoder decoder;
        uint32_t session;
        uint64_t sequence;
        uint64_t start_nonce, handshake_nonce;
        bool shakes_hands;
        unsigned n[MESSAGE_TYPE_MAX];                                        /* received, by type */
        Message last[MESSAGE_TYPE_MAX];                                      /* the last of each type */
        void (*on_message)(struct AgentPeer *agent, const Message *message); /* may be NULL */
        void *userdata;
} AgentPeer;
void agent_peer_init(AgentPeer *agent, World *world, const char *name);
void agent_peer_done(AgentPeer *agent);
void agent_peer_hello(AgentPeer *agent);
/* session, sequence and time are filled in unless sequence is set. */
void agent_peer_send(AgentPeer *agent, Message message);
uint64_t world_now(void);
