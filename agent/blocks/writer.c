/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The write to memoryN/state takes 3 to 100 ms under TCG while the guest is at its limit, and waits without bound where
 * somebody else (a DIMM's ejection, an administrator's offline) holds the kernel's hotplug lock; on the loop, that would
 * be time without a sample just when samples matter. The kernel has one lock for going online and offline, so one thread
 * does both: a second one would only wait.
 *
 * Rejected: one block per hand-over. The loop and the thread then wake each other for every block, which on the only CPU
 * of a guest cost as much again as the kernel's own work.
 */

#include "agent/blocks/writer.h"

#include <assert.h>

#include "agent/blocks/offliner.h"
#include "common/units.h"
#include "common/worker.h"

struct BlockWriter {
        const RootDir *root; /* borrowed */
        const BlockWriterHandlers *handlers;
        void *userdata; /* borrowed */
        Worker *worker;
        bool ranging; /* the job is run, else batch */
        BlockBatch batch;
        OfflineRun run;
        OfflineBlock range[OFFLINE_BLOCKS_MAX];
};

static void writer_run(Worker *worker, void *userdata) {
        BlockWriter *writer = userdata;

        if (writer->ranging) {
                offliner_run(writer->root, &writer->run, worker);
                return;
        }
        for (size_t i = 0; i < writer->batch.n && !worker_is_cancelled(worker); i++) {
                BlockWrite *write = &writer->batch.writes[i];

                write->outcome = block_online(writer->root, write->number, write->zone);
        }
}

static void writer_done(void *userdata) {
        BlockWriter *writer = userdata;

        if (writer->ranging)
                writer->handlers->ranged(&writer->run, writer->userdata);
        else
                writer->handlers->written(&writer->batch, writer->userdata);
}

int block_writer_new(sd_event *event, const RootDir *root, int64_t priority,
                     const BlockWriterHandlers *handlers, void *userdata, BlockWriter **ret) {
        WorkerJob job = {
                .name = "block-writer",
                .priority = priority,
                .run = writer_run,
                .done = writer_done,
        };
        _cleanup_(block_writer_freep) BlockWriter *writer = NULL;
        int r;

        assert(event);
        assert(root);
        assert(handlers);
        assert(ret);

        writer = calloc(1, sizeof(*writer));
        if (!writer)
                return -ENOMEM;
        writer->root = root;
        writer->handlers = handlers;
        writer->userdata = userdata;

        r = worker_new(event, &job, writer, &writer->worker);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(writer);
        return 0;
}

BlockWriter *block_writer_free(BlockWriter *writer) {
        if (!writer)
                return NULL;

        (void) worker_free(writer->worker);
        free(writer);
        return NULL;
}

static void start(BlockWriter *writer, bool ranging, uint64_t deadline_usec) {
        int r;

        writer->ranging = ranging;
        r = worker_start(writer->worker, deadline_usec);
        assert(r >= 0);
        (void) r;
}

void block_writer_start(BlockWriter *writer, const BlockBatch *batch) {
        assert(writer);
        assert(batch);
        assert(!worker_is_busy(writer->worker));

        writer->batch = *batch;
        start(writer, false, USEC_INFINITY);
}

OfflineBlock *block_writer_range(BlockWriter *writer) {
        assert(writer);
        return writer->range;
}

void block_writer_start_range(BlockWriter *writer, size_t n, bool back, uint64_t deadline_usec) {
        assert(writer);
        assert(n <= OFFLINE_BLOCKS_MAX);
        assert(!worker_is_busy(writer->worker));

        offline_begin(&writer->run, writer->range, n, back);
        start(writer, true, deadline_usec);
}

void block_writer_cancel_range(BlockWriter *writer) {
        assert(writer);

        if (writer->ranging)
                worker_cancel(writer->worker);
}

bool block_writer_is_busy(const BlockWriter *writer) {
        assert(writer);
        return worker_is_busy(writer->worker);
}
