/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A row is some hundred numbers, about 600 bytes. It is put into one of two buffers on the loop; a worker writes the
 * other one out meanwhile, because a write to a file takes a page for it, and waits for the disk, when there is none to be
 * had: just when the samples matter. If both are full the row is dropped and counted, and the next one tells.
 *
 * All fields of Snapshot are written, whatever was read in this sample, so a row stands for itself; the replay is exact as
 * long as no row is missing, and a recording begins with the agent's first sample.
 *
 * Rejected: a binary dump of the structs. Its reader would have to be of the same build, and nobody could look at it.
 */

#include "agent/recorder.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#include "common/log.h"
#include "common/units.h"
#include "common/worker.h"

/* A hundred rows each: two seconds at the pace of a shrink. */
#define RECORDER_BUFFER_SIZE ((size_t) 64 * 1024)

#define SIGNAL_U64(name)                                                                                     \
        { #name, offsetof(RecorderRow, snapshot.name), RECORDER_U64, false }
#define SIGNAL_UINT(name)                                                                                    \
        { #name, offsetof(RecorderRow, snapshot.name), RECORDER_UNSIGNED, false }
#define SIGNAL_BOOL(name)                                                                                    \
        { #name, offsetof(RecorderRow, snapshot.name), RECORDER_BOOL, false }
#define DECISION(name, as)                                                                                   \
        { "demand." #name, offsetof(RecorderRow, demand.name), as, true }

const RecorderColumn recorder_columns[] = {
        {"n_dropped", offsetof(RecorderRow, n_dropped), RECORDER_U64, false},
        {"config.actuator_delay_usec", offsetof(RecorderRow, config.actuator_delay_usec), RECORDER_U64,
         false},
        {"config.floor_bytes", offsetof(RecorderRow, config.floor_bytes), RECORDER_U64, false},
        SIGNAL_U64(now_usec),
        SIGNAL_UINT(has),
        SIGNAL_U64(total_bytes),
        SIGNAL_U64(available_bytes),
        SIGNAL_U64(free_bytes),
        SIGNAL_U64(active_file_bytes),
        SIGNAL_U64(inactive_file_bytes),
        SIGNAL_U64(swap_total_bytes),
        SIGNAL_U64(swap_free_bytes),
        SIGNAL_U64(swap_cached_bytes),
        SIGNAL_U64(zram_used_bytes),
        SIGNAL_U64(offlining_bytes),
        SIGNAL_U64(balloon_bytes),
        SIGNAL_BOOL(balloon_in_total),
        SIGNAL_U64(psi_some_usec),
        SIGNAL_U64(psi_full_usec),
        SIGNAL_BOOL(psi_triggered),
        SIGNAL_U64(psi_io_some_usec),
        SIGNAL_U64(pgscan_kswapd),
        SIGNAL_U64(pgscan_direct),
        SIGNAL_U64(allocstall),
        SIGNAL_U64(pswpin),
        SIGNAL_U64(pswpout),
        SIGNAL_U64(workingset_refault),
        SIGNAL_U64(workingset_activate),
        SIGNAL_U64(oom_kill),
        SIGNAL_U64(contained_refault),
        SIGNAL_U64(contained_activate),
        SIGNAL_U64(contained_pswpin),
        SIGNAL_U64(contained_pswpout),
        SIGNAL_UINT(n_contained),
        SIGNAL_UINT(n_limited),
        SIGNAL_BOOL(contained_lost),
        SIGNAL_BOOL(lru_gen),
        SIGNAL_U64(kernel_free_bytes),
        SIGNAL_U64(kernel_high_bytes),
        SIGNAL_U64(kernel_low_bytes),
        SIGNAL_U64(kernel_file_bytes),
        SIGNAL_U64(kernel_managed_bytes),
        SIGNAL_U64(movable_managed_bytes),
        SIGNAL_U64(slab_reclaimable_bytes),
        SIGNAL_U64(page_size_bytes),
        DECISION(urgency, RECORDER_UNSIGNED),
        DECISION(cause, RECORDER_UNSIGNED),
        DECISION(kernel_zone, RECORDER_BOOL),
        DECISION(fired, RECORDER_UNSIGNED),
        DECISION(used_bytes, RECORDER_U64),
        DECISION(swapped_bytes, RECORDER_U64),
        DECISION(hot_bytes, RECORDER_U64),
        DECISION(reserve_bytes, RECORDER_U64),
        DECISION(demand_bytes, RECORDER_U64),
        DECISION(need_bytes, RECORDER_I64),
        DECISION(floor_bytes, RECORDER_U64),
        DECISION(time_to_exhaustion_usec, RECORDER_U64),
        DECISION(fall_bytes_per_sec, RECORDER_U64),
        DECISION(rate_high_bytes_per_sec, RECORDER_U64),
        DECISION(tier, RECORDER_UNSIGNED),
        DECISION(walk_cgroups, RECORDER_BOOL),
        DECISION(next_sample_usec, RECORDER_U64),
        DECISION(contained_oom_kills, RECORDER_U64),
        DECISION(rose, RECORDER_BOOL),
};
const size_t recorder_n_columns = ELEMENTSOF(recorder_columns);

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

/* -- rows ------------------------------------------------------------------------------------------ */

static int print_value(char *text, size_t size, const RecorderColumn *column, const RecorderRow *row) {
        const void *value = (const char *) row + column->offset;

        switch (column->type) {
        case RECORDER_U64:
                return snprintf(text, size, "%" PRIu64, *(const uint64_t *) value);
        case RECORDER_I64:
                return snprintf(text, size, "%" PRIi64, *(const int64_t *) value);
        case RECORDER_UNSIGNED:
                return snprintf(text, size, "%u", *(const unsigned *) value);
        case RECORDER_BOOL:
                return snprintf(text, size, "%d", *(const bool *) value);
        }
        return -1;
}

/* The row, or with NULL the names of its columns. Returns false, and leaves the buffer as it was, without room for it. */
static bool print_row(Buffer *buffer, const RecorderRow *row) {
        size_t size = buffer->size;

        for (size_t i = 0; i < recorder_n_columns; i++) {
                const RecorderColumn *column = &recorder_columns[i];
                size_t left = sizeof(buffer->text) - size;
                int n = row ? print_value(buffer->text + size, left, column, row)
                            : snprintf(buffer->text + size, left, "%s", column->name);

                if (n < 0 || (size_t) n + 1 > left)
                        return false;
                size += (size_t) n;
                buffer->text[size++] = i + 1 < recorder_n_columns ? ',' : '\n';
        }
        buffer->size = size;
        return true;
}

void recorder_take(Recorder *recorder, const DemandConfig *config, const Snapshot *snapshot,
                   const Demand *demand) {
        RecorderRow row;

        if (!recorder || recorder->error > 0)
                return;
        row = (RecorderRow){
                .config = *config,
                .snapshot = *snapshot,
                .demand = *demand,
                .n_dropped = recorder->n_dropped,
        };
        if (!print_row(&recorder->buffers[recorder->filling], &row))
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
        (void) print_row(&recorder->buffers[0], NULL);

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
