/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A connected, non-blocking byte stream (Unix socket, pipe pair) in an sd_event loop, with a bounded
 * output buffer. It knows nothing of frames or lines: its owner does.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/macro.h"

#define STREAM_READ_MAX (16U * 1024U) /* the largest read_budget */

typedef struct Stream Stream;

/*
 * Called with bytes just read (borrowed for the call), or with size 0 once, when the peer has closed
 * or the stream failed; error is then 0 or -errno. The owner may free the stream inside.
 */
typedef void (*StreamHandler)(Stream *stream, const uint8_t *data, size_t size, int error, void *userdata);

/*
 * Takes over fd in any case, also on failure. output_max: most bytes kept for a slow peer.
 * read_budget: most bytes handed over per dispatch, so that one flooding peer can not starve others.
 * Returns 0 or -errno.
 */
int stream_new(sd_event *event, int fd, size_t output_max, size_t read_budget, StreamHandler handler,
               void *userdata, Stream **ret);
Stream *stream_free(Stream *stream);
DEFINE_CLEANUP_FUNC(Stream, stream_free)

/*
 * Writes what the peer takes now and keeps the rest, whole or not at all.
 * Returns 0, -ENOBUFS if the message does not fit into the buffer (nothing is kept then),
 * -EPIPE after the peer has closed, or -errno.
 */
int stream_write(Stream *stream, const uint8_t *data, size_t size);

/* Borrowed, as long as the stream is. */
int stream_fd(const Stream *stream);

/* Whether the peer has said something, or left, that the loop has not come to yet. */
bool stream_is_ready(const Stream *stream);

/* Bytes accepted and not yet taken by the peer. */
size_t stream_pending(const Stream *stream);

/* Stops and resumes reading: backpressure on the peer. Returns 0 or -errno. */
int stream_set_reading(Stream *stream, bool reading);

/*
 * Starts a non-blocking connect to a Unix stream socket.
 * Returns a descriptor that the caller owns, or -errno (-ENAMETOOLONG for a path beyond sun_path).
 */
int stream_connect_unix(const char *path);
