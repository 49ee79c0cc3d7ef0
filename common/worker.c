/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The thread is made at start, with a small stack, because a guest that needs memory can not be asked for one. The
 * kernel's loops behind memory.reclaim and behind "offline" of a memory block end on a pending signal and on nothing else
 * (linux:mm/memcontrol.c memory_reclaim(), mm/memory_hotplug.c offline_pages()), so cancelling sends one, whose handler
 * does nothing. One that comes between the look at worker_is_cancelled() and the system call would be lost: it is sent
 * again until the job has ended.
 *
 * Rejected: a fork per job (copies page tables while memory is short); io_uring (blocks a kernel worker in the same way,
 * and half of the guests forbid it); a thread per job (a stack each time).
 */

#include "common/worker.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "common/clock.h"
#include "common/units.h"

/* Jobs need less than 8 KiB of their own; the rest is libc's. */
#define WORKER_STACK_BYTES ((size_t) 128 * 1024)
#define WORKER_SIGNAL      SIGUSR2
#define WORKER_AGAIN_USEC  (20 * USEC_PER_MSEC)

struct Worker {
        WorkerJob job;
        void *userdata; /* borrowed */
        sd_event_source *io, *timer;
        int wake;  /* eventfd: the job is over */
        bool busy; /* the loop's own: until done() */

        pthread_t thread;
        bool has_thread;
        pthread_mutex_t mutex;
        pthread_cond_t wanted;
        bool start, stop; /* under the mutex */

        atomic_bool cancelled;
};

static void *worker_main(void *userdata) {
        Worker *worker = userdata;

        (void) pthread_mutex_lock(&worker->mutex);
        while (!worker->stop) {
                if (!worker->start) {
                        (void) pthread_cond_wait(&worker->wanted, &worker->mutex);
                        continue;
                }
                worker->start = false;

                (void) pthread_mutex_unlock(&worker->mutex);
                worker->job.run(worker, worker->userdata);
                (void) pthread_mutex_lock(&worker->mutex);

                (void) eventfd_write(worker->wake, 1); /* can not fail before 2^64 - 2 jobs */
        }
        (void) pthread_mutex_unlock(&worker->mutex);
        return NULL;
}

static int worker_on_done(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Worker *worker = userdata;
        eventfd_t n;

        if (eventfd_read(fd, &n) < 0)
                return 0;

        /* What the thread wrote before it let go of the mutex is seen after this. */
        (void) pthread_mutex_lock(&worker->mutex);
        (void) pthread_mutex_unlock(&worker->mutex);

        (void) sd_event_source_set_enabled(worker->timer, SD_EVENT_OFF);
        worker->busy = false;
        worker->job.done(worker->userdata);
        return 0;
}

static void worker_arm(Worker *worker, uint64_t at_usec) {
        if (sd_event_source_set_time(worker->timer, at_usec) >= 0)
                (void) sd_event_source_set_enabled(worker->timer, SD_EVENT_ONESHOT);
}

static int worker_on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        worker_cancel(userdata);
        return 0;
}

static void worker_signal_handler(int signal) {
}

static int worker_start_thread(Worker *worker) {
        struct sigaction action = {.sa_handler =
                                           worker_signal_handler}; /* no SA_RESTART: it is to interrupt */
        pthread_attr_t attributes;
        sigset_t mask;
        int r;

        if (sigaction(WORKER_SIGNAL, &action, NULL) < 0)
                return -errno;
        r = pthread_attr_init(&attributes);
        if (r != 0)
                return -r;

        (void) sigfillset(&mask); /* all others are the loop's */
        (void) sigdelset(&mask, WORKER_SIGNAL);
        r = pthread_attr_setstacksize(&attributes, WORKER_STACK_BYTES);
        if (r == 0)
                r = pthread_attr_setsigmask_np(&attributes, &mask);
        if (r == 0)
                r = pthread_create(&worker->thread, &attributes, worker_main, worker);
        (void) pthread_attr_destroy(&attributes);

        worker->has_thread = r == 0;
        return -r;
}

static int worker_add_sources(Worker *worker, sd_event *event) {
        int r;

        r = sd_event_add_io(event, &worker->io, worker->wake, EPOLLIN, worker_on_done, worker);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(worker->io, worker->job.name);
        r = sd_event_source_set_priority(worker->io, worker->job.priority);
        if (r < 0)
                return r;

        r = sd_event_add_time(event, &worker->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, worker_on_timer,
                              worker);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(worker->timer, worker->job.name);
        return sd_event_source_set_enabled(worker->timer, SD_EVENT_OFF);
}

int worker_new(sd_event *event, const WorkerJob *job, void *userdata, Worker **ret) {
        _cleanup_(worker_freep) Worker *worker = NULL;
        int r;

        assert(event);
        assert(job && job->run && job->done);
        assert(ret);

        worker = malloc(sizeof(*worker));
        if (!worker)
                return -ENOMEM;
        *worker = (Worker){
                .job = *job,
                .userdata = userdata,
                .wake = -EBADF,
                .mutex = PTHREAD_MUTEX_INITIALIZER,
                .wanted = PTHREAD_COND_INITIALIZER,
        };

        worker->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (worker->wake < 0)
                return -errno;
        r = worker_add_sources(worker, event);
        if (r >= 0)
                r = worker_start_thread(worker);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(worker);
        return 0;
}

static void worker_join(Worker *worker) {
        int r;

        (void) pthread_mutex_lock(&worker->mutex);
        worker->stop = true;
        (void) pthread_cond_signal(&worker->wanted);
        (void) pthread_mutex_unlock(&worker->mutex);

        atomic_store(&worker->cancelled, true);
        do {
                struct timespec until;
                uint64_t usec = clock_monotonic_usec() + WORKER_AGAIN_USEC;

                (void) pthread_kill(worker->thread, WORKER_SIGNAL);
                until = (struct timespec){
                        .tv_sec = (time_t) (usec / USEC_PER_SEC),
                        .tv_nsec = (long) (usec % USEC_PER_SEC * NSEC_PER_USEC),
                };
                r = pthread_clockjoin_np(worker->thread, NULL, CLOCK_MONOTONIC, &until);
        } while (r == ETIMEDOUT);
}

Worker *worker_free(Worker *worker) {
        if (!worker)
                return NULL;

        if (worker->has_thread)
                worker_join(worker);
        (void) sd_event_source_disable_unref(worker->io);
        (void) sd_event_source_disable_unref(worker->timer);
        worker->wake = safe_close(worker->wake);
        (void) pthread_cond_destroy(&worker->wanted);
        (void) pthread_mutex_destroy(&worker->mutex);
        free(worker);
        return NULL;
}

int worker_start(Worker *worker, uint64_t deadline_usec) {
        assert(worker);

        if (worker->busy)
                return -EBUSY;

        worker->busy = true;
        atomic_store(&worker->cancelled, false);
        if (deadline_usec < USEC_INFINITY)
                worker_arm(worker, deadline_usec);
        (void) pthread_mutex_lock(&worker->mutex);
        worker->start = true;
        (void) pthread_cond_signal(&worker->wanted);
        (void) pthread_mutex_unlock(&worker->mutex);
        return 0;
}

bool worker_is_busy(const Worker *worker) {
        assert(worker);
        return worker->busy;
}

void worker_cancel(Worker *worker) {
        assert(worker);

        if (!worker->busy)
                return;
        atomic_store(&worker->cancelled, true);
        (void) pthread_kill(worker->thread, WORKER_SIGNAL);
        worker_arm(worker, clock_monotonic_usec() + WORKER_AGAIN_USEC);
}

bool worker_is_cancelled(const Worker *worker) {
        assert(worker);
        return atomic_load(&worker->cancelled);
}
