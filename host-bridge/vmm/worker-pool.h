/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A bounded number of threads for calls that block, and may do so for ever. Everything that the owner sees
 * comes from its event loop.
 */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/macro.h"

typedef struct WorkerPool WorkerPool;
typedef struct PoolJob PoolJob;

typedef enum PoolOutcome {
        POOL_DONE,    /* run() returned in time */
        POOL_OVERDUE, /* its deadline has passed and it still runs: what it works on is not to be read yet */
        POOL_LATE,    /* an overdue one has returned after all */
        POOL_REFUSED, /* it never ran: no worker was free for too long */
} PoolOutcome;

/* The beginning of what a call works on; allocated by the owner, the pool's from worker_pool_submit() on. */
struct PoolJob {
        void (*run)(PoolJob *job); /* in a worker */
        /* In the loop. The job is freed afterwards, unless it is overdue. The pool must not be freed inside. */
        void (*done)(PoolJob *job, PoolOutcome outcome, void *owner);
        void (*free)(PoolJob *job); /* in any thread, once */

        /* the pool's */
        void *owner;
        WorkerPool *pool;
        PoolJob *next, *prev;
        uint64_t since_usec; /* queued, then begun */
        bool begun, overdue, forgotten;
};

typedef struct WorkerPoolOptions {
        unsigned active_max;    /* workers that are within their deadline */
        unsigned threads_max;   /* with those that are overdue, each of which is replaced up to here */
        uint64_t deadline_usec; /* of a call, from its begin */
        uint64_t queue_usec;    /* the longest wait for a worker */
} WorkerPoolOptions;

int worker_pool_new(sd_event *event, const WorkerPoolOptions *options, WorkerPool **ret);

/* Calls that run are left to their end; nobody is told of it. */
WorkerPool *worker_pool_free(WorkerPool *pool);
DEFINE_CLEANUP_FUNC(WorkerPool, worker_pool_free)

/* done() follows, from the loop, with owner. */
void worker_pool_submit(WorkerPool *pool, PoolJob *job, void *owner);

/* The owner goes: done() is not called any more, and the job is not the owner's to touch. NULL is allowed. */
void pool_job_forget(PoolJob *job);
