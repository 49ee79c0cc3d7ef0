/* SPDX-License-Identifier: Apache-2.0 */

#include "world.h"

#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/clock.h"
#include "common/units.h"

void world_init(World *world) {
        *world = (World){};
        assert_true(sd_event_new(&world->event) >= 0);
        strcpy(world->folder, "/tmp/memtide-test-XXXXXX");
        assert_non_null(mkdtemp(world->folder));
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

void world_done(World *world) {
        world->event = sd_event_unref(world->event);
        (void) nftw(world->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

const char *world_path(const World *world, const char *name) {
        static char path[108];

        assert_true(snprintf(path, sizeof(path), "%s/%s", world->folder, name) < (int) sizeof(path));
        return path;
}

void world_write(const World *world, const char *name, const char *text) {
        char path[256];
        FILE *file;

        (void) snprintf(path, sizeof(path), "%s/%s", world->folder, name);
        for (char *slash = strchr(path + strlen(world->folder) + 1, '/'); slash;
             slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                (void) mkdir(path, 0700);
                *slash = '/';
        }
        file = fopen(path, "we");
        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
        (void) fclose(file);
}

uint64_t world_now(void) {
        return clock_monotonic_usec();
}

bool world_run(World *world, bool (*condition)(void *userdata), void *userdata, unsigned timeout_ms) {
        uint64_t end_usec = world_now() + timeout_ms * USEC_PER_MSEC, now_usec;

        while (!condition(userdata)) {
                now_usec = world_now();
                if (now_usec >= end_usec)
                        return condition(userdata);
                assert_true(sd_event_run(world->event, end_usec - now_usec) >= 0);
        }
        return true;
}

static bool never(void *userdata) {
        return false;
}

void world_idle(World *world, unsigned ms) {
        (void) world_run(world, never, NULL, ms);
        /* Where the machine was away for so long, all of it is yet to be done. There may be somebody who never rests. */
        for (unsigned i = 0; i < 1000 && sd_event_run(world->event, 0) > 0; i++)
                ;
}

static void on_stream(Stream *stream, const uint8_t *data, size_t size, int error, void *userdata) {
        Peer *peer = userdata;

        if (size == 0)
                peer->stream = stream_free(peer->stream);
        else if (peer->on_bytes)
                peer->on_bytes(peer, data, size);
}

static int on_accept(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Peer *peer = userdata;
        int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        assert_true(client >= 0);
        peer->stream = stream_free(peer->stream);
        assert_int_equal(stream_new(peer->world->event, client, 4 * MIB, STREAM_READ_MAX, on_stream, peer,
                                    &peer->stream),
                         0);
        peer->n_clients++;
        if (peer->on_client)
                peer->on_client(peer);
        return 0;
}

void peer_init(Peer *peer, World *world, const char *name) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        *peer = (Peer){.world = world,
                       .on_bytes = peer->on_bytes,
                       .on_client = peer->on_client,
                       .userdata = peer->userdata};
        strcpy(peer->path, world_path(world, name));
        strcpy(address.sun_path, peer->path);
        peer->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_true(peer->fd >= 0);
        assert_int_equal(bind(peer->fd, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(peer->fd, 8), 0);
        assert_true(sd_event_add_io(world->event, &peer->source, peer->fd, EPOLLIN, on_accept, peer) >= 0);
}

void peer_done(Peer *peer) {
        peer->stream = stream_free(peer->stream);
        peer->source = sd_event_source_disable_unref(peer->source);
        peer->fd = safe_close(peer->fd);
        (void) unlink(peer->path);
}

void peer_write(Peer *peer, const void *data, size_t size) {
        assert_non_null(peer->stream);
        assert_int_equal(stream_write(peer->stream, data, size), 0);
}

void peer_hang_up(Peer *peer) {
        peer->stream = stream_free(peer->stream);
}

static void on_agent_bytes(Peer *peer, const uint8_t *data, size_t size) {
        AgentPeer *agent = peer->userdata;
        const uint8_t *payload;
        size_t payload_size;
        Message message;

        while (frame_decoder_next(&agent->decoder, &data, &size, &payload, &payload_size)) {
                assert_int_equal(wire_decode(payload, payload_size, WIRE_FROM_HOST, &message), WIRE_OK);
                agent->n[message.type]++;
                agent->last[message.type] = message;
                if (message.type == MESSAGE_PING && message.session == 0 && agent->shakes_hands)
                        agent_peer_hello(agent);
                if (message.type == MESSAGE_WELCOME) {
                        agent->session = message.welcome.session;
                        agent->sequence = 0;
                }
                if (agent->on_message)
                        agent->on_message(agent, &message);
        }
}

void agent_peer_init(AgentPeer *agent, World *world, const char *name) {
        *agent = (AgentPeer){
                .peer = {.on_bytes = on_agent_bytes, .userdata = agent},
                .start_nonce = 1,
                .handshake_nonce = 100,
                .shakes_hands = true,
        };
        peer_init(&agent->peer, world, name);
}

void agent_peer_done(AgentPeer *agent) {
        peer_done(&agent->peer);
}

void agent_peer_hello(AgentPeer *agent) {
        agent_peer_send(agent, (Message){
                                       .type = MESSAGE_HELLO,
                                       .sequence = 1,
                                       .hello =
                                               {
                                                       .agent_version = "0.1.0",
                                                       .kernel_release = "6.1.0",
                                                       .start_nonce = agent->start_nonce,
                                                       .handshake_nonce = agent->handshake_nonce,
                                                       .page_size_bytes = 4096,
                                                       .block_size_bytes = 128 * MIB,
                                                       .memory_total_bytes = 512 * MIB,
                                               },
                               });
}

void agent_peer_send(AgentPeer *agent, Message message) {
        uint8_t frame[FRAME_ENCODED_MAX];
        size_t n;

        if (message.type != MESSAGE_HELLO && message.session == 0)
                message.session = agent->session;
        if (message.sequence == 0)
                message.sequence = ++agent->sequence;
        if (message.monotonic_usec == 0)
                message.monotonic_usec = world_now();
        n = wire_encode(&message, frame);
        assert_int_not_equal(n, 0);
        peer_write(&agent->peer, frame, n);
}
