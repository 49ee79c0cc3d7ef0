/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One thread for one job at a time that blocks: a write to a file of the kernel's that returns when the work is done. The
 * loop goes on meanwhile, and can end the job by a deadline or at any moment.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/macro.h"

typedef struct Worker Worker;

typedef struct WorkerJob {
        const char *name;                            /* of its event sources */
        int64_t priority;                            /* of them */
        void (*run)(Worker *worker, void *userdata); /* on the thread; logs, and allocates nothing */
        void (*done)(void *userdata); /* on the loop; may start the next, may not free the worker */
} WorkerJob;

/*
 * What run() works on belongs to the thread from worker_start() until done(), and to the loop otherwise. job is copied.
 * Returns 0 or -errno.
 */
int worker_new(sd_event *event, const WorkerJob *job, void *userdata, Worker **ret);

/* Ends the job first, as worker_cancel() would, and waits for that: done() is not called. */
Worker *worker_free(Worker *worker);
DEFINE_CLEANUP_FUNC(Worker, worker_free)

/* deadline_usec: CLOCK_MONOTONIC, when to cancel; USEC_INFINITY = never. Returns 0, or -EBUSY while a job goes on. */
int worker_start(Worker *worker, uint64_t deadline_usec);
bool worker_is_busy(const Worker *worker);

/* Ends the job soon: a system call that a signal can end returns EINTR, and worker_is_cancelled() is true. */
void worker_cancel(Worker *worker);

/* For run(): to be asked between two system calls. */
bool worker_is_cancelled(const Worker *worker);
