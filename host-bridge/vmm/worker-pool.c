/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Not common/worker.h, whose one thread is waited for: a signal ends what it does, and nothing ends what hangs here.
 *
 * A call that is overdue is parked: its thread can not be ended (it may hold a lock of the library that it hangs in,
 * so pthread_cancel() was rejected), so it is left alone and another one takes its place among the active
 * ones. threads_max bounds what that can cost; beyond it jobs wait, and are refused in time.
 *
 * One list and one mutex: workers take jobs by the second, not by the microsecond.
 */

#include "host-bridge/vmm/worker-pool.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <utlist.h>

#include "common/clock.h"
#include "common/units.h"

struct WorkerPool {
        WorkerPoolOptions options;
        sd_event_source *timer, *wakeup;

        pthread_mutex_t mutex; /* of everything below, and of the pool's part of each job */
        pthread_cond_t work;
        unsigned n_refs; /* the owner and each thread */
        unsigned n_threads, n_idle, n_parked;
        PoolJob *queued, *running, *finished;
        int fd; /* eventfd: finished is not empty */
        bool closed;
};

static void lock(WorkerPool *pool) {
        (void) pthread_mutex_lock(&pool->mutex);
}

static void unlock(WorkerPool *pool) {
        (void) pthread_mutex_unlock(&pool->mutex);
}

/* To be called with the lock, which is gone afterwards. */
static void unref_and_unlock(WorkerPool *pool) {
        bool last = --pool->n_refs == 0;

        unlock(pool);
        if (!last)
                return;
        (void) pthread_cond_destroy(&pool->work);
        (void) pthread_mutex_destroy(&pool->mutex);
        free(pool);
}

/* With the lock. */
static void finish(WorkerPool *pool, PoolJob *job) {
        static const uint64_t one = 1;

        DL_DELETE(pool->running, job);
        if (job->overdue)
                pool->n_parked--;
        if (pool->closed) {
                job->free(job);
                return;
        }
        DL_APPEND(pool->finished, job);
        (void) !write(pool->fd, &one, sizeof(one)); /* full means that the loop has been woken 2^64 times */
}

static bool is_needed(const WorkerPool *pool) {
        return !pool->closed && pool->n_threads - pool->n_parked <= pool->options.active_max;
}

static void *work(void *userdata) {
        WorkerPool *pool = userdata;

        lock(pool);
        while (is_needed(pool)) {
                PoolJob *job = pool->queued;

                if (!job) {
                        pool->n_idle++;
                        (void) pthread_cond_wait(&pool->work, &pool->mutex);
                        pool->n_idle--;
                        continue;
                }
                DL_DELETE(pool->queued, job);
                job->begun = true;
                job->since_usec = clock_monotonic_usec();
                DL_APPEND(pool->running, job);

                unlock(pool);
                job->run(job);
                lock(pool);
                finish(pool, job);
        }
        pool->n_threads--;
        unref_and_unlock(pool);
        return NULL;
}

/* With the lock: sees to it that somebody takes what is queued. Without a thread it is refused in time. */
static void provide(WorkerPool *pool) {
        const WorkerPoolOptions *options = &pool->options;
        sigset_t all, before;
        pthread_t thread;

        if (!pool->queued)
                return;
        if (pool->n_idle > 0) {
                (void) pthread_cond_signal(&pool->work);
                return;
        }
        if (pool->n_threads - pool->n_parked >= options->active_max ||
            pool->n_threads >= options->threads_max)
                return;

        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the loop's */
        if (pthread_create(&thread, NULL, work, pool) == 0) {
                (void) pthread_detach(thread);
                pool->n_threads++;
                pool->n_refs++;
        }
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Tells the owner, if there is one still, and frees the job unless it runs on. */
static void tell(PoolJob *job, PoolOutcome outcome) {
        if (!job->forgotten)
                job->done(job, outcome, job->owner);
        if (outcome != POOL_OVERDUE)
                job->free(job);
}

static int on_finished(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        WorkerPool *pool = userdata;
        uint64_t n;

        (void) !read(fd, &n, sizeof(n));
        for (;;) {
                PoolJob *job;

                lock(pool);
                job = pool->finished;
                if (job)
                        DL_DELETE(pool->finished, job);
                unlock(pool);
                if (!job)
                        return 0;
                tell(job, job->overdue ? POOL_LATE : POOL_DONE);
        }
}

/* The next job whose time is over, or NULL and when to look again. */
static PoolJob *next_overdue(WorkerPool *pool, uint64_t *ret_next_usec) {
        uint64_t now = clock_monotonic_usec(), next = USEC_INFINITY, until;
        PoolJob *job;

        DL_FOREACH (pool->running, job) {
                if (job->overdue)
                        continue;
                until = u64_add(job->since_usec, pool->options.deadline_usec);
                next = u64_min(next, until);
                if (until > now)
                        continue;
                job->overdue = true;
                pool->n_parked++;
                provide(pool);
                return job;
        }
        job = pool->queued; /* the oldest one */
        if (job) {
                until = u64_add(job->since_usec, pool->options.queue_usec);
                next = u64_min(next, u64_min(until, u64_add(now, pool->options.deadline_usec)));
                if (until <= now) {
                        DL_DELETE(pool->queued, job);
                        return job;
                }
        }
        *ret_next_usec = next;
        return NULL;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        WorkerPool *pool = userdata;
        uint64_t next_usec;
        PoolJob *job;

        for (;;) {
                PoolOutcome outcome;

                lock(pool);
                job = next_overdue(pool, &next_usec);
                outcome = job && job->begun ? POOL_OVERDUE : POOL_REFUSED;
                unlock(pool);
                if (!job)
                        break;
                tell(job, outcome);
        }
        if (next_usec == USEC_INFINITY)
                return 0;
        (void) sd_event_source_set_time(source, next_usec);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* A job begins after now, so that no deadline is before this; the timer then finds the true one. */
static void arm(WorkerPool *pool) {
        int enabled = SD_EVENT_OFF;

        (void) sd_event_source_get_enabled(pool->timer, &enabled);
        if (enabled != SD_EVENT_OFF)
                return;
        (void) sd_event_source_set_time(pool->timer,
                                        u64_add(clock_monotonic_usec(), pool->options.deadline_usec));
        (void) sd_event_source_set_enabled(pool->timer, SD_EVENT_ONESHOT);
}

void worker_pool_submit(WorkerPool *pool, PoolJob *job, void *owner) {
        assert(pool);
        assert(job && job->run && job->done && job->free);

        job->pool = pool;
        job->owner = owner;
        job->since_usec = clock_monotonic_usec();
        job->begun = job->overdue = job->forgotten = false;
        lock(pool);
        DL_APPEND(pool->queued, job);
        provide(pool);
        unlock(pool);
        arm(pool);
}

void pool_job_forget(PoolJob *job) {
        if (!job)
                return;

        /* done() is called by this thread only, and only if this is not set: the lock is not needed for that. */
        job->forgotten = true;
}

static int add_sources(WorkerPool *pool, sd_event *event) {
        int r;

        r = sd_event_add_io(event, &pool->wakeup, pool->fd, EPOLLIN, on_finished, pool);
        if (r < 0)
                return r;
        r = sd_event_add_time(event, &pool->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_timer, pool);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(pool->wakeup, "worker-finished");
        (void) sd_event_source_set_description(pool->timer, "worker-deadline");
        return sd_event_source_set_enabled(pool->timer, SD_EVENT_OFF);
}

int worker_pool_new(sd_event *event, const WorkerPoolOptions *options, WorkerPool **ret) {
        _cleanup_(worker_pool_freep) WorkerPool *pool = NULL;
        int r;

        assert(event);
        assert(options && options->active_max > 0 && options->threads_max >= options->active_max);
        assert(ret);

        pool = malloc(sizeof(*pool));
        if (!pool)
                return -ENOMEM;
        *pool = (WorkerPool){
                .options = *options,
                .n_refs = 1,
                .mutex = PTHREAD_MUTEX_INITIALIZER,
                .work = PTHREAD_COND_INITIALIZER,
                .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        };
        if (pool->fd < 0)
                return -errno;
        r = add_sources(pool, event);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(pool);
        return 0;
}

static void free_all(PoolJob **jobs) {
        PoolJob *job, *next;

        DL_FOREACH_SAFE(*jobs, job, next) {
                DL_DELETE(*jobs, job);
                job->free(job);
        }
}

WorkerPool *worker_pool_free(WorkerPool *pool) {
        if (!pool)
                return NULL;

        (void) sd_event_source_disable_unref(pool->timer);
        (void) sd_event_source_disable_unref(pool->wakeup);
        lock(pool);
        pool->closed = true;
        pool->fd = safe_close(pool->fd);
        free_all(&pool->queued);
        free_all(&pool->finished);
        (void) pthread_cond_broadcast(&pool->work);
        unref_and_unlock(pool);
        return NULL;
}
