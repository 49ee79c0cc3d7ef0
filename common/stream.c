/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A non-blocking byte stream in the loop of its owner. One read per dispatch: what is left makes the level-triggered
 * epoll call again, behind the other sources; a loop here would let one peer starve them.
 *
 * There are thousands of them and nearly all are idle, so an idle one has no buffers: input is read into one that all
 * share, since its bytes are borrowed for the call only, and output gets its own only while a peer does not take it.
 *
 * Output is a ring of output_max bytes. EPOLLOUT is asked for only while it holds something. A write that fails
 * is reported to the writer; the handler hears of the end only from reading, so that what the peer said
 * before it left is heard first, and exactly once.
 *
 * The handler is called as the last thing that a dispatch does: it may free the stream.
 */

#include "common/stream.h"

#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "common/crowd.h"

struct Stream {
        CrowdMember member;
        int fd;
        bool is_socket;
        bool reading;
        bool write_failed; /* the peer takes nothing any more */
        bool ended;        /* the handler has been told */
        StreamHandler handler;
        void *userdata; /* borrowed */

        size_t read_budget;
        size_t output_max, output_start, n_output; /* a ring: n_output bytes from output_start */
        uint8_t *output;                           /* NULL while it holds nothing */
};

static _Thread_local uint8_t input[STREAM_READ_MAX];

/* Asks epoll for exactly what can be acted on; nothing wanted means off, or a hang-up would spin. */
static int stream_update_events(Stream *stream) {
        uint32_t events = 0;

        if (stream->reading && !stream->ended)
                events |= EPOLLIN;
        if (stream->n_output > 0)
                events |= EPOLLOUT;

        return crowd_watch(&stream->member, events);
}

/* Returns the bytes that the peer took, maybe 0, or -errno. */
static ssize_t stream_send(Stream *stream, struct iovec *iov, size_t n_iov) {
        ssize_t n;

        do {
                /* Only sockets can be told not to raise SIGPIPE; for pipes main() ignores it. */
                if (stream->is_socket)
                        n = sendmsg(stream->fd, &(struct msghdr){.msg_iov = iov, .msg_iovlen = n_iov},
                                    MSG_DONTWAIT | MSG_NOSIGNAL);
                else
                        n = writev(stream->fd, iov, (int) n_iov);
        } while (n < 0 && errno == EINTR);

        if (n >= 0)
                return n;
        return errno == EAGAIN ? 0 : -errno;
}

static void stream_drop_output(Stream *stream) {
        free(stream->output);
        stream->output = NULL;
        stream->output_start = stream->n_output = 0;
}

static void stream_fail_writing(Stream *stream) {
        stream->write_failed = true;
        stream_drop_output(stream);
}

static void stream_flush(Stream *stream) {
        struct iovec iov[2];
        size_t n_first;
        ssize_t n;

        if (stream->n_output == 0)
                return;

        n_first = MIN_OF(stream->n_output, stream->output_max - stream->output_start);
        iov[0] = (struct iovec){stream->output + stream->output_start, n_first};
        iov[1] = (struct iovec){stream->output, stream->n_output - n_first};
        n = stream_send(stream, iov, ELEMENTSOF(iov));
        if (n < 0) {
                stream_fail_writing(stream);
                return;
        }
        stream->output_start = (stream->output_start + (size_t) n) % stream->output_max;
        stream->n_output -= (size_t) n;
        if (stream->n_output == 0)
                stream_drop_output(stream);
}

/* The caller has made sure of the room, and of the buffer. */
static void stream_keep(Stream *stream, const uint8_t *data, size_t size) {
        size_t end = (stream->output_start + stream->n_output) % stream->output_max;
        size_t n_first = MIN_OF(size, stream->output_max - end);

        memcpy(stream->output + end, data, n_first);
        memcpy(stream->output, data + n_first, size - n_first);
        stream->n_output += size;
}

static void stream_end(Stream *stream, int error) {
        stream->ended = true;
        stream_fail_writing(stream);
        (void) crowd_watch(&stream->member, 0); /* to watch for nothing can not fail */
        stream->handler(stream, NULL, 0, error, stream->userdata);
}

static void stream_receive(Stream *stream) {
        ssize_t n;

        do
                /* Of what a socket's read costs, recv() spares the file's part: its position, its watchers. */
                n = stream->is_socket ? recv(stream->fd, input, stream->read_budget, MSG_DONTWAIT)
                                      : read(stream->fd, input, stream->read_budget);
        while (n < 0 && errno == EINTR);

        if (n > 0)
                stream->handler(stream, input, (size_t) n, 0, stream->userdata);
        else if (n == 0)
                stream_end(stream, 0);
        else if (errno != EAGAIN)
                stream_end(stream, -errno);
}

static void stream_dispatch(uint32_t revents, void *userdata) {
        Stream *stream = userdata;
        int r;

        /* A hang-up makes the write fail, which is how output that nobody will take is given up. */
        if (revents & (EPOLLOUT | EPOLLERR | EPOLLHUP))
                stream_flush(stream);

        r = stream_update_events(stream);
        if (r < 0)
                stream_end(stream, r);
        else if (stream->reading && (revents & (EPOLLIN | EPOLLERR | EPOLLHUP)))
                stream_receive(stream);
}

static int fd_prepare(int fd, bool *ret_is_socket) {
        struct stat st;
        int flags;

        if (fstat(fd, &st) < 0)
                return -errno;
        flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return -errno;
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
                return -errno;

        *ret_is_socket = S_ISSOCK(st.st_mode);
        return 0;
}

int stream_new(sd_event *event, int fd, size_t output_max, size_t read_budget, StreamHandler handler,
               void *userdata, Stream **ret) {
        _cleanup_(stream_freep) Stream *stream = NULL;
        _cleanup_close_ int owned_fd = fd;
        int r;

        assert(event);
        assert(output_max > 0);
        assert(read_budget > 0 && read_budget <= STREAM_READ_MAX);
        assert(handler);
        assert(ret);

        stream = malloc(sizeof(*stream));
        if (!stream)
                return -ENOMEM;
        *stream = (Stream){
                .fd = TAKE_FD(owned_fd),
                .reading = true,
                .handler = handler,
                .userdata = userdata,
                .read_budget = read_budget,
                .output_max = output_max,
        };

        r = fd_prepare(stream->fd, &stream->is_socket);
        if (r < 0)
                return r;
        r = crowd_join(event, stream->fd, stream_dispatch, stream, &stream->member);
        if (r < 0)
                return r;
        r = stream_update_events(stream);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(stream);
        return 0;
}

Stream *stream_free(Stream *stream) {
        if (!stream)
                return NULL;

        crowd_leave(&stream->member);
        (void) safe_close(stream->fd);
        free(stream->output);
        free(stream);
        return NULL;
}

int stream_write(Stream *stream, const uint8_t *data, size_t size) {
        ssize_t n = 0;

        assert(stream);
        assert(data || size == 0);

        if (stream->write_failed)
                return -EPIPE;
        if (size > stream->output_max - stream->n_output)
                return -ENOBUFS;
        if (size == 0)
                return 0;

        if (stream->n_output == 0) {
                n = stream_send(stream, &(struct iovec){(void *) data, size}, 1);
                if (n < 0) {
                        stream_fail_writing(stream);
                        return n == -ECONNRESET ? -EPIPE : (int) n;
                }
                if ((size_t) n == size)
                        return 0;
        }

        if (!stream->output) {
                stream->output = malloc(stream->output_max);
                if (!stream->output) { /* a part of it may be gone: what follows would not be understood */
                        stream_fail_writing(stream);
                        return -ENOMEM;
                }
        }
        stream_keep(stream, data + n, size - (size_t) n);
        return stream_update_events(stream);
}

int stream_fd(const Stream *stream) {
        assert(stream);
        return stream->fd;
}

bool stream_is_ready(const Stream *stream) {
        struct pollfd poller = {.events = POLLIN};

        assert(stream);

        poller.fd = stream->fd;
        return poll(&poller, 1, 0) > 0;
}

size_t stream_pending(const Stream *stream) {
        assert(stream);
        return stream->n_output;
}

int stream_set_reading(Stream *stream, bool reading) {
        assert(stream);

        stream->reading = reading;
        return stream_update_events(stream);
}
