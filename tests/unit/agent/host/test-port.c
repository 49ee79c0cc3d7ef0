/* SPDX-License-Identifier: Apache-2.0 */

/* Finding the port in a tree, and the stream over a real socket: up, down, full, flooded. */

#include "agent/host/port.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pty.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>

#include "agent/host/port-find.h"
#include "common/units.h"
#include "proto/frame.h"
#include "tree.h"

#define BY_NAME "dev/virtio-ports/org.memtide.agent.0"

static void test_found_by_its_link(void **state) {
        _cleanup_(tree_freep) Tree *tree = tree_new(NULL);
        PortFound found;

        tree_write(tree, "dev/vport1p2", "");
        tree_write(tree, "dev/virtio-ports/other", "");
        assert_int_equal(port_find(tree->root, NULL, &found), -ENOENT);
        tree_link(tree, BY_NAME, "../vport1p2");
        assert_int_equal(port_find(tree->root, NULL, &found), 0);
        assert_false(found.socket);
        assert_true(fcntl(found.fd, F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(found.fd, F_GETFD) & FD_CLOEXEC);
        (void) safe_close(found.fd);
}

static void test_found_in_sysfs(void **state) {
        _cleanup_(tree_freep) Tree *tree = tree_new(NULL);
        PortFound found;

        tree_write(tree, "sys/class/virtio-ports/vport1p1/name", "org.qemu.guest_agent.0\n");
        tree_write(tree, "sys/class/virtio-ports/vport1p3/dev", "250:3\n"); /* its name has not arrived yet */
        tree_write(tree, "dev/vport1p1", "");
        assert_int_equal(port_find(tree->root, NULL, &found), -ENOENT);
        tree_write(tree, "sys/class/virtio-ports/vport1p3/name", "org.memtide.agent.0\n");
        assert_int_equal(port_find(tree->root, NULL, &found), -ENOENT); /* nor its node */
        tree_write(tree, "dev/vport1p3", "");
        assert_int_equal(port_find(tree->root, NULL, &found), 0);
        (void) safe_close(found.fd);
}

/* A port over a socket that the test listens on. */
typedef struct World {
        Tree *tree;
        sd_event *event;
        Port *port;
        char path[128];
        int listener, peer;
        unsigned n_up, n_down, n_writable;
        size_t n_received;
} World;

static void on_up(void *userdata) {
        ((World *) userdata)->n_up++;
}

static void on_down(void *userdata) {
        ((World *) userdata)->n_down++;
}

static void on_received(const uint8_t *data, size_t size, void *userdata) {
        ((World *) userdata)->n_received += size;
}

static void on_writable(void *userdata) {
        ((World *) userdata)->n_writable++;
}

static const PortHandlers handlers = {on_up, on_down, on_received, on_writable};

static void listen_at(World *world) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        memcpy(address.sun_path, world->path, strlen(world->path) + 1);
        world->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(world->listener >= 0);
        assert_int_equal(bind(world->listener, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(world->listener, 4), 0);
}

static int set_up(void **state) {
        World *world = calloc(1, sizeof(*world));

        assert_non_null(world);
        world->tree = tree_new(NULL);
        world->peer = -EBADF;
        assert_true((size_t) snprintf(world->path, sizeof(world->path), "%s/port", world->tree->path) <
                    sizeof(world->path));
        listen_at(world);
        assert_int_equal(sd_event_new(&world->event), 0);
        assert_int_equal(port_new(world->event, world->tree->root, world->path, &handlers, world,
                                  &world->port),
                         0);
        *state = world;
        return 0;
}

static int tear_down(void **state) {
        World *world = *state;

        port_free(world->port);
        sd_event_unref(world->event);
        (void) safe_close(world->peer);
        (void) safe_close(world->listener);
        tree_free(world->tree);
        free(world);
        return 0;
}

/* Runs the loop until nothing has happened for a moment. Returns how many events there were. */
static unsigned settle(World *world, uint64_t idle_usec) {
        unsigned n = 0;

        while (sd_event_run(world->event, idle_usec) > 0)
                assert_true(++n < 1000); /* a spin */
        return n;
}

static uint64_t now_of(const World *world) {
        uint64_t usec;

        assert_true(sd_event_now(world->event, CLOCK_MONOTONIC, &usec) >= 0);
        return usec;
}

static void connect_up(World *world) {
        assert_int_equal(port_start(world->port), 0);
        world->peer = accept(world->listener, NULL, NULL);
        assert_true(world->peer >= 0);
        assert_int_equal(world->n_up, 1);
        assert_int_equal(port_state(world->port), PORT_UP);
}

static void test_bytes_both_ways(void **state) {
        World *world = *state;
        char text[8];

        connect_up(world);
        assert_int_equal(port_send(world->port, (const uint8_t *) "abc", 3), 0);
        assert_int_equal(read(world->peer, text, sizeof(text)), 3);
        assert_int_equal(write(world->peer, "hello", 5), 5);
        (void) settle(world, 10 * USEC_PER_MSEC);
        assert_int_equal(world->n_received, 5);
}

static void test_a_closed_peer_is_found_again(void **state) {
        World *world = *state;

        connect_up(world);
        assert_int_equal(write(world->peer, "last", 4), 4);
        world->peer = safe_close(world->peer);
        (void) settle(world, 20 * USEC_PER_MSEC);
        assert_int_equal(world->n_received, 4); /* what it said before it left */
        assert_int_equal(world->n_down, 1);
        assert_int_equal(port_send(world->port, (const uint8_t *) "x", 1), -ENOTCONN);
        assert_false(port_can_send(world->port));

        (void) settle(world, 300 * USEC_PER_MSEC);
        assert_int_equal(world->n_up, 2);
}

static void test_a_gone_peer_is_not_hammered(void **state) {
        World *world = *state;

        connect_up(world);
        world->peer = safe_close(world->peer);
        world->listener = safe_close(world->listener);
        assert_int_equal(unlink(world->path), 0);
        assert_in_range(settle(world, 400 * USEC_PER_MSEC), 1, 4);
        assert_int_equal(port_state(world->port), PORT_ABSENT);
        listen_at(world);
        (void) settle(world, 1500 * USEC_PER_MSEC);
        assert_int_equal(world->n_up, 2);
}

static void test_full_keeps_one_frame(void **state) {
        uint8_t frame[FRAME_ENCODED_MAX] = {1}, sink[65536];
        World *world = *state;
        size_t n_sent = 0, n_read = 0;
        ssize_t n;
        int r;

        connect_up(world);
        while ((r = port_send(world->port, frame, sizeof(frame))) == 0)
                assert_true(++n_sent < 10000);
        assert_int_equal(r, -EBUSY);
        assert_int_equal(port_state(world->port), PORT_UP);
        (void) settle(world, 20 * USEC_PER_MSEC);
        assert_int_equal(world->n_writable, 0);

        do {
                while ((n = recv(world->peer, sink, sizeof(sink), MSG_DONTWAIT)) > 0)
                        n_read += (size_t) n;
        } while (settle(world, 20 * USEC_PER_MSEC) > 0);
        assert_int_equal(world->n_writable, 1);
        assert_int_equal(n_read, n_sent * sizeof(frame)); /* whole frames, none torn */
        assert_true(port_can_send(world->port));
}

/* write(2) as the linker gives it to port.c; a virtio-serial port allocates for each one. */
static bool no_memory;
static unsigned n_writes;

ssize_t __real_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size);

ssize_t __wrap_write(int fd, const void *data, size_t size) {
        n_writes++;
        if (!no_memory)
                return __real_write(fd, data, size);
        errno = ENOMEM;
        return -1;
}

static void test_no_memory_for_a_write_does_not_spin(void **state) {
        uint8_t frame[FRAME_ENCODED_MAX] = {1}, sink[65536];
        World *world = *state;
        ssize_t n;

        connect_up(world);
        while (port_send(world->port, frame, sizeof(frame)) == 0) /* until the loop waits for room */
                ;
        no_memory = true;
        while ((n = recv(world->peer, sink, sizeof(sink), MSG_DONTWAIT)) > 0)
                ;
        n_writes = 0;
        for (uint64_t begin_usec = now_of(world); now_of(world) - begin_usec < 200 * USEC_PER_MSEC;)
                (void) sd_event_run(world->event, 5 * USEC_PER_MSEC);
        no_memory = false;
        assert_in_range(n_writes, 2, 12); /* every 20 ms */
        assert_int_equal(port_state(world->port), PORT_UP);

        (void) settle(world, 50 * USEC_PER_MSEC);
        assert_int_equal(world->n_writable, 1);
        assert_true(port_can_send(world->port));
}

/* A terminal takes a part of what it is given, as a socket does not. */
static void test_a_frame_taken_in_parts_arrives_whole(void **state) {
        uint8_t frame[FRAME_ENCODED_MAX], sink[1024];
        _cleanup_close_ int master = -EBADF, slave = -EBADF;
        World *world = *state;
        struct termios raw = {};
        size_t n_sent = 0, n_read = 0;
        ssize_t n;
        char path[64];

        if (openpty(&master, &slave, path, NULL, NULL) < 0) {
                print_message("no pseudo-terminal here (%s): is /dev/pts mounted?\n", strerror(errno));
                skip();
        }
        cfmakeraw(&raw);
        assert_int_equal(tcsetattr(slave, TCSANOW, &raw), 0);
        assert_int_equal(fcntl(master, F_SETFL, O_NONBLOCK), 0);
        port_free(world->port);
        assert_int_equal(port_new(world->event, world->tree->root, path, &handlers, world, &world->port), 0);
        assert_int_equal(port_start(world->port), 0);
        assert_int_equal(port_state(world->port), PORT_UP);

        for (size_t i = 0; i < sizeof(frame); i++)
                frame[i] = (uint8_t) (i % 251 + 1);
        while (port_send(world->port, frame, sizeof(frame)) == 0)
                assert_true(++n_sent < 10000);
        do {
                while ((n = read(master, sink, sizeof(sink))) > 0)
                        for (ssize_t i = 0; i < n; i++, n_read++)
                                assert_int_equal(sink[i], frame[n_read % sizeof(frame)]);
        } while (settle(world, 20 * USEC_PER_MSEC) > 0);
        assert_int_equal(n_read, n_sent * sizeof(frame));
        assert_int_equal(world->n_writable, 1);
}

static void test_a_flood_is_read_at_a_bounded_rate(void **state) {
        uint8_t noise[16384] = {1};
        World *world = *state;
        uint64_t begin_usec;

        connect_up(world);
        assert_int_equal(fcntl(world->peer, F_SETFL, O_NONBLOCK), 0);
        begin_usec = now_of(world);
        do {
                (void) !write(world->peer, noise, sizeof(noise));
                (void) sd_event_run(world->event, 10 * USEC_PER_MSEC);
        } while (now_of(world) - begin_usec < 500 * USEC_PER_MSEC);
        assert_in_range(world->n_received, 64 * KIB, 7 * 68 * KIB); /* 64 KiB per 100 ms, and a read more */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_found_by_its_link),
                cmocka_unit_test(test_found_in_sysfs),
                cmocka_unit_test_setup_teardown(test_bytes_both_ways, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_a_closed_peer_is_found_again, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_a_gone_peer_is_not_hammered, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_full_keeps_one_frame, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_no_memory_for_a_write_does_not_spin, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_a_frame_taken_in_parts_arrives_whole, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_a_flood_is_read_at_a_bounded_rate, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
