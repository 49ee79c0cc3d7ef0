/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A row is some hundred numbers, about 600 bytes. It is put into one of two buffers on the loop; a worker writes the
 * other one out meanwhile, because a write to a file takes a page for it, and waits for the disk, when there is none to be
 * had: just when the samples matter. If both are full the row is dropped and counted, and the next one tells.
 *
 * A recording begins with the agent's first look, so that a replay (replay.c) knows all that the agent remembers; it is
 * exact as long as no row is missing.
 *
 * Rejected: a ring of the last minutes in memory, written out on demand. What happened before its first row is part of
 * every decision in it.
 */

#include "agent/recorder.h"

#include <assert.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>

#include "common/log.h"
#include "common/worker.h"

/* A hundred rows each: two seconds at the pace of a shrink. */
#define RECORDER_BUFFER_SIZE ((size_t) 64 * 1024)

typedef struct Buffer {
        char text[RECORDER_BUFFER_SIZE];
        size_t size, n_written;
} Buffer;

struct Recorder {
        int fd;
        Worker *worker;
        Buffer buffers[2];
        unsigned filling; /* the other one is the worker's while it is busy */
        uint64_t n_dropped;
        atomic_int error; /* of the worker, positive; the recording is over then */
};

static int buffer_write(Buffer *buffer, int fd) {
        ssize_t n = write(fd, buffer->text + buffer->n_written, buffer->size - buffer->n_written);

        if (n < 0)
                return -errno;
        buffer->n_written += (size_t) n;
        return 0;
}

static void recorder_run(Worker *worker, void *userdata) {
        Recorder *recorder = userdata;
        Buffer *buffer = &recorder->buffers[!recorder->filling];

        while (buffer->n_written < buffer->size && !worker_is_cancelled(worker)) {
                int r = buffer_write(buffer, recorder->fd);

                if (r < 0 && r != -EINTR) {
                        recorder->error = -r;
                        return;
                }
        }
}

/* Hands the filled buffer to the worker, if that is idle. */
static void recorder_flush(Recorder *recorder) {
        Buffer *filled = &recorder->buffers[recorder->filling];

        if (recorder->error > 0 || filled->size == 0 || worker_is_busy(recorder->worker))
                return;
        recorder->filling = !recorder->filling;
        recorder->buffers[recorder->filling].size = recorder->buffers[recorder->filling].n_written = 0;
        (void) worker_start(recorder->worker, USEC_INFINITY);
}

static void recorder_done(void *userdata) {
        Recorder *recorder = userdata;

        if (recorder->error > 0)
                (void) log_warning_errno(-recorder->error, "The recording has ended: %m");
        recorder_flush(recorder);
}

/* The row, or with NULL the names of its columns. Returns false, and leaves the buffer as it was, without room for it. */
static bool buffer_print(Buffer *buffer, const TraceRow *row) {
        int n = trace_print(buffer->text + buffer->size, sizeof(buffer->text) - buffer->size, row);

        if (n < 0)
                return false;
        buffer->size += (size_t) n;
        return true;
}

void recorder_take(Recorder *recorder, TraceRow *row) {
        assert(row);

        if (!recorder || recorder->error > 0)
                return;
        row->n_dropped = recorder->n_dropped;
        if (!buffer_print(&recorder->buffers[recorder->filling], row))
                recorder->n_dropped++;
        recorder_flush(recorder);
}

/* -- life ------------------------------------------------------------------------------------------ */

int recorder_new(sd_event *event, const char *path, Recorder **ret) {
        static const WorkerJob job = {
                .name = "recorder",
                .priority = SD_EVENT_PRIORITY_IDLE,
                .run = recorder_run,
                .done = recorder_done,
        };
        _cleanup_(recorder_freep) Recorder *recorder = NULL;
        int r;

        assert(event);
        assert(path);
        assert(ret);

        recorder = malloc(sizeof(*recorder));
        if (!recorder)
                return -ENOMEM;
        memset(recorder, 0, sizeof(*recorder)); /* touched, since there may be no page for it later */
        recorder->fd = -EBADF;
        recorder->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
        if (recorder->fd < 0)
                return -errno;
        if (fcntl(recorder->fd, F_SETFL, 0) < 0) /* from here on the worker waits for the reader of a FIFO */
                return -errno;

        r = worker_new(event, &job, recorder, &recorder->worker);
        if (r < 0)
                return r;
        (void) buffer_print(&recorder->buffers[0], NULL);

        *ret = TAKE_PTR(recorder);
        return 0;
}

Recorder *recorder_free(Recorder *recorder) {
        if (!recorder)
                return NULL;

        if (recorder->worker) {
                recorder->worker = worker_free(recorder->worker);
                (void) fcntl(recorder->fd, F_SETFL, O_NONBLOCK);
                if (recorder->error == 0 &&
                    buffer_write(&recorder->buffers[!recorder->filling], recorder->fd) >= 0)
                        (void) buffer_write(&recorder->buffers[recorder->filling], recorder->fd);
        }
        recorder->fd = safe_close(recorder->fd);
        free(recorder);
        return NULL;
}
