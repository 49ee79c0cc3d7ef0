/* SPDX-License-Identifier: Apache-2.0 */

/* A stream over real descriptors and a real loop, with the test as the peer. SIGPIPE is left at its default. */

#include "common/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define OUTPUT_MAX  16384 /* several times what the socket takes at once */
#define READ_BUDGET 1000

typedef struct Bench {
        sd_event *event;
        Stream *stream;
        int peer;

        uint8_t received[65536];
        size_t n_received, largest;
        unsigned n_calls, n_ends;
        int error;
        bool free_inside;
} Bench;

static void on_stream(Stream *stream, const uint8_t *data, size_t size, int error, void *userdata) {
        Bench *bench = userdata;

        bench->n_calls++;
        if (size == 0) {
                bench->n_ends++;
                bench->error = error;
        } else {
                assert_int_equal(error, 0);
                assert_int_equal(bench->n_ends, 0);
                assert_true(size <= sizeof(bench->received) - bench->n_received);
                memcpy(bench->received + bench->n_received, data, size);
                bench->n_received += size;
                bench->largest = MAX_OF(bench->largest, size);
        }
        if (bench->free_inside)
                bench->stream = stream_free(stream);
}

static Stream *stream_over(Bench *bench, int fd) {
        Stream *stream = NULL;

        assert_int_equal(stream_new(bench->event, fd, OUTPUT_MAX, READ_BUDGET, on_stream, bench, &stream), 0);
        assert_non_null(stream);
        return stream;
}

static int set_up(void **state) {
        Bench *bench = calloc(1, sizeof(*bench));
        int fds[2], size = 1; /* the kernel makes it its minimum, some 2 KiB of data */

        assert_non_null(bench);
        assert_int_equal(sd_event_new(&bench->event), 0);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
        assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
        bench->stream = stream_over(bench, fds[0]);
        bench->peer = fds[1];
        *state = bench;
        return 0;
}

static int tear_down(void **state) {
        Bench *bench = *state;

        assert_null(stream_free(bench->stream));
        (void) safe_close(bench->peer);
        sd_event_unref(bench->event);
        free(bench);
        return 0;
}

/* Dispatches until nothing is ready. Returns the number of dispatches; a spin ends at the limit. */
static unsigned run_until_idle(Bench *bench) {
        unsigned n = 0;

        while (n < 10000 && sd_event_run(bench->event, 0) > 0)
                n++;
        return n;
}

static void peer_says(Bench *bench, const void *data, size_t size) {
        assert_int_equal(write(bench->peer, data, size), size);
}

static void test_reads_then_ends_once(void **state) {
        Bench *bench = *state;

        assert_int_equal(run_until_idle(bench), 0);
        peer_says(bench, "hello", 5);
        assert_int_equal(run_until_idle(bench), 1);
        assert_memory_equal(bench->received, "hello", 5);

        peer_says(bench, " and bye", 8);
        bench->peer = safe_close(bench->peer);
        run_until_idle(bench);
        assert_int_equal(bench->n_received, 13);
        assert_int_equal(bench->n_ends, 1);
        assert_int_equal(bench->error, 0);
        assert_int_equal(run_until_idle(bench), 0);
}

static void test_budget_bounds_each_dispatch(void **state) {
        Bench *bench = *state;
        static const uint8_t flood[10 * READ_BUDGET];

        peer_says(bench, flood, sizeof(flood));
        assert_int_equal(run_until_idle(bench), 10);
        assert_int_equal(bench->n_received, sizeof(flood));
        assert_int_equal(bench->largest, READ_BUDGET);
}

static void test_descriptor_flags(void **state) {
        Bench *bench = *state;
        _cleanup_(stream_freep) Stream *stream = NULL;
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        stream = stream_over(bench, fds[0]);
        assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
        assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
        (void) close(fds[1]);
}

/* Byte i of the whole conversation. */
static uint8_t pattern(size_t i) {
        return (uint8_t) (i * 2654435761U >> 13);
}

/* Messages of all sizes to a slow peer: none torn, none lost, the order kept, the ring wrapped many times. */
static void test_slow_peer_gets_all_in_order(void **state) {
        Bench *bench = *state;
        size_t n_written = 0, n_read = 0;
        unsigned n_refused = 0, seed = 7;

        while (n_written < 300000) {
                uint8_t message[700], taken[900];
                size_t size = (size_t) rand_r(&seed) % sizeof(message);
                ssize_t n;
                int r;

                for (size_t i = 0; i < size; i++)
                        message[i] = pattern(n_written + i);
                r = stream_write(bench->stream, message, size);
                assert_true(r == 0 || r == -ENOBUFS);
                if (r == 0)
                        n_written += size;
                else
                        n_refused++;

                if (r < 0 || rand_r(&seed) % 3 == 0) {
                        n = read(bench->peer, taken, (size_t) rand_r(&seed) % sizeof(taken));
                        for (ssize_t i = 0; i < n; i++)
                                assert_int_equal(taken[i], pattern(n_read + (size_t) i));
                        n_read += n > 0 ? (size_t) n : 0;
                }
                run_until_idle(bench);
        }
        assert_true(n_refused > 10);

        for (;;) {
                uint8_t taken[4096];
                ssize_t n = read(bench->peer, taken, sizeof(taken));

                for (ssize_t i = 0; i < n; i++)
                        assert_int_equal(taken[i], pattern(n_read + (size_t) i));
                n_read += n > 0 ? (size_t) n : 0;
                if (run_until_idle(bench) == 0 && n < 0)
                        break;
        }
        assert_int_equal(n_read, n_written);
        assert_int_equal(stream_pending(bench->stream), 0);
}

/* Fills the socket and then the buffer to the last byte. */
static void fill_output(Bench *bench) {
        static const uint8_t byte = 'x';

        while (stream_write(bench->stream, &byte, 1) == 0)
                ;
        assert_int_equal(stream_pending(bench->stream), OUTPUT_MAX);
}

static void test_all_or_nothing(void **state) {
        Bench *bench = *state;
        static const uint8_t big[OUTPUT_MAX + 1];
        uint8_t byte;

        /* never fits, although the socket would take a part of it */
        assert_int_equal(stream_write(bench->stream, big, sizeof(big)), -ENOBUFS);
        assert_int_equal(stream_pending(bench->stream), 0);
        assert_int_equal(read(bench->peer, &byte, 1), -1);

        assert_int_equal(stream_write(bench->stream, NULL, 0), 0);
        fill_output(bench);
        assert_int_equal(stream_write(bench->stream, big, 1), -ENOBUFS);
        assert_int_equal(stream_pending(bench->stream), OUTPUT_MAX);

        /* nothing to do while the peer does not read: no spin on a socket that is full */
        assert_int_equal(run_until_idle(bench), 0);
}

static void test_idle_when_writable(void **state) {
        Bench *bench = *state;

        assert_int_equal(stream_write(bench->stream, (const uint8_t *) "x", 1), 0);
        assert_int_equal(run_until_idle(bench), 0);
}

static void test_write_after_close(void **state) {
        Bench *bench = *state;

        /* known only to the kernel so far */
        bench->peer = safe_close(bench->peer);
        assert_int_equal(stream_write(bench->stream, (const uint8_t *) "x", 1), -EPIPE);
        assert_int_equal(bench->n_calls, 0);
        run_until_idle(bench);
        assert_int_equal(bench->n_ends, 1);
        assert_int_equal(stream_write(bench->stream, (const uint8_t *) "x", 1), -EPIPE);
}

/* The peer leaves while output waits for it: what it had said is heard, the rest is given up. */
static void test_close_with_output_pending(void **state) {
        Bench *bench = *state;

        fill_output(bench);
        peer_says(bench, "last words", 10);
        bench->peer = safe_close(bench->peer);
        assert_in_range(run_until_idle(bench), 1, 5);
        assert_int_equal(bench->n_received, 10);
        assert_int_equal(bench->n_ends, 1);
        assert_int_equal(stream_pending(bench->stream), 0);
}

static void test_free_inside_handler(void **state) {
        Bench *bench = *state;

        bench->free_inside = true;
        peer_says(bench, "hello", 5);
        run_until_idle(bench);
        assert_null(bench->stream);
        assert_int_equal(bench->n_calls, 1);
}

static void test_free_inside_handler_at_end(void **state) {
        Bench *bench = *state;

        bench->free_inside = true;
        fill_output(bench);
        bench->peer = safe_close(bench->peer);
        run_until_idle(bench);
        assert_null(bench->stream);
        assert_int_equal(bench->n_ends, 1);
}

static void test_paused_reading(void **state) {
        Bench *bench = *state;

        assert_int_equal(stream_set_reading(bench->stream, false), 0);
        peer_says(bench, "waiting", 7);
        assert_int_equal(run_until_idle(bench), 0);
        assert_int_equal(bench->n_calls, 0);

        /* a hang-up can not be masked in epoll: neither may it spin, nor be told before its time */
        fill_output(bench);
        bench->peer = safe_close(bench->peer);
        assert_in_range(run_until_idle(bench), 0, 2);
        assert_int_equal(bench->n_calls, 0);

        assert_int_equal(stream_set_reading(bench->stream, true), 0);
        run_until_idle(bench);
        assert_memory_equal(bench->received, "waiting", 7);
        assert_int_equal(bench->n_ends, 1);

        assert_int_equal(stream_set_reading(bench->stream, true), 0);
        assert_int_equal(run_until_idle(bench), 0);
}

static void test_pipe(void **state) {
        Bench *bench = *state;
        _cleanup_(stream_freep) Stream *in = NULL, *out = NULL;
        int fds[2];

        assert_int_equal(pipe(fds), 0);
        in = stream_over(bench, fds[0]);
        out = stream_over(bench, fds[1]);
        assert_int_equal(stream_write(out, (const uint8_t *) "through", 7), 0);
        run_until_idle(bench);
        assert_memory_equal(bench->received, "through", 7);

        (void) signal(SIGPIPE, SIG_IGN);
        in = stream_free(in);
        assert_int_equal(stream_write(out, (const uint8_t *) "x", 1), -EPIPE);
        run_until_idle(bench);
        assert_int_equal(bench->n_ends, 1);
        (void) signal(SIGPIPE, SIG_DFL);
}

static void test_new_takes_the_descriptor_also_on_failure(void **state) {
        Bench *bench = *state;
        Stream *stream = NULL;
        int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

        assert_true(fd >= 0); /* a regular file is nothing that epoll takes */
        assert_int_equal(stream_new(bench->event, fd, 1, 1, on_stream, bench, &stream), -EPERM);
        assert_null(stream);
        assert_int_equal(fcntl(fd, F_GETFD), -1);
        assert_int_equal(stream_new(bench->event, -EBADF, 1, 1, on_stream, bench, &stream), -EBADF);
}

static void test_connect(void **state) {
        char folder[] = "/tmp/test-stream-XXXXXX", path[64], endless[256];
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int listener, fd, r, held[8];
        size_t n_held = 0;

        assert_non_null(mkdtemp(folder));
        (void) snprintf(path, sizeof(path), "%s/socket", folder);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        memset(endless, 'x', sizeof(endless) - 1);
        endless[sizeof(endless) - 1] = '\0';

        assert_int_equal(stream_connect_unix(path), -ENOENT);
        assert_int_equal(stream_connect_unix(""), -ENOENT);
        assert_int_equal(stream_connect_unix(endless), -ENAMETOOLONG);

        listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(listener, (const struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(stream_connect_unix(path), -ECONNREFUSED);

        assert_int_equal(listen(listener, 1), 0);
        fd = stream_connect_unix(path);
        assert_true(fd >= 0);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
        (void) close(fd);

        /* nobody accepts: it must say so, not wait */
        while ((r = stream_connect_unix(path)) >= 0 && n_held < ELEMENTSOF(held))
                held[n_held++] = r;
        assert_int_equal(r, -EAGAIN);

        while (n_held > 0)
                (void) close(held[--n_held]);
        (void) close(listener);
        (void) unlink(path);
        (void) rmdir(folder);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_reads_then_ends_once),
                TEST(test_budget_bounds_each_dispatch),
                TEST(test_descriptor_flags),
                TEST(test_slow_peer_gets_all_in_order),
                TEST(test_all_or_nothing),
                TEST(test_idle_when_writable),
                TEST(test_write_after_close),
                TEST(test_close_with_output_pending),
                TEST(test_free_inside_handler),
                TEST(test_free_inside_handler_at_end),
                TEST(test_paused_reading),
                TEST(test_pipe),
                TEST(test_new_takes_the_descriptor_also_on_failure),
                cmocka_unit_test(test_connect),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
