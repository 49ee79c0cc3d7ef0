/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The write to memoryN/state takes 3 to 100 ms under TCG while the guest is at its limit, and waits without bound where
 * somebody else (a DIMM's ejection, an administrator's offline) holds the kernel's hotplug lock; on the loop, that would
 * be time without a sample just when samples matter.
 *
 * Rejected: one block per hand-over. The loop and the thread then wake each other for every block, which on the only CPU
 * of a guest cost as much again as the kernel's own work.
 */

#include "agent/blocks/writer.h"

#include <assert.h>

#include "common/units.h"
#include "common/worker.h"

struct BlockWriter {
        const RootDir *root; /* borrowed */
        BlockWriterHandler handler;
        void *userdata; /* borrowed */
        Worker *worker;
        BlockBatch batch;
};

static void writer_run(Worker *worker, void *userdata) {
        BlockWriter *writer = userdata;

        for (size_t i = 0; i < writer->batch.n && !worker_is_cancelled(worker); i++) {
                BlockWrite *write = &writer->batch.writes[i];

                write->outcome = block_online(writer->root, write->number, write->zone);
        }
}

static void writer_done(void *userdata) {
        BlockWriter *writer = userdata;

        writer->handler(&writer->batch, writer->userdata);
}

int block_writer_new(sd_event *event, const RootDir *root, int64_t priority, BlockWriterHandler handler,
                     void *userdata, BlockWriter **ret) {
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
        assert(handler);
        assert(ret);

        writer = calloc(1, sizeof(*writer));
        if (!writer)
                return -ENOMEM;
        writer->root = root;
        writer->handler = handler;
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

void block_writer_start(BlockWriter *writer, const BlockBatch *batch) {
        int r;

        assert(writer);
        assert(batch);
        assert(!worker_is_busy(writer->worker));

        writer->batch = *batch;
        r = worker_start(writer->worker, USEC_INFINITY);
        assert(r >= 0);
        (void) r;
}

bool block_writer_is_busy(const BlockWriter *writer) {
        assert(writer);
        return worker_is_busy(writer->worker);
}
