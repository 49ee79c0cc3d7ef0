/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A disk can stall for seconds, and a grow must not: an fsync of a checkpoint on the loop would hold up the alarms of
 * all VMs, however rarely. So not even an idle source will do; sqlite lives in a thread of its own, which shares with
 * the loop a queue under a mutex that is held for copies only. What does not fit into the queue is counted and missing.
 *
 * The thread gathers for half a second before it writes, so that a resize, which is put several times, is one row, and
 * a storm of resizes is a few transactions. A question hurries it.
 */

#include "host-bridge/surfaces/audit.h"

#include <assert.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"
#include "host-bridge/surfaces/audit-file.h"

#define STACK_BYTES   ((size_t) (512 * KIB))
#define GATHER_USEC   (500 * USEC_PER_MSEC)
#define END_USEC      (2 * USEC_PER_SEC)
#define QUESTIONS_MAX 16U
#define LOOK_BACK     64U /* so far back an update looks for its decision in the queue */

const AuditOptions audit_defaults = {
        .retention_usec = 30 * 86400 * USEC_PER_SEC,
        .rows_max = 200000,
        .queue_max = 1024,
};

typedef struct Question Question;
struct Question {
        char vm[DECISION_VM_NAME_MAX];
        AuditHandler handler;
        void *userdata;
        int r;
        size_t most, n;
        Question *next;
        Decision decisions[];
};

struct Audit {
        size_t queue_max;
        char path[PATH_MAX];
        sd_event_source *source;
        int event_fd; /* the thread has answered */
        bool has_thread;
        pthread_t thread;
        pthread_mutex_t mutex;
        pthread_cond_t wanted;
        bool behind; /* the loop's: decisions are missing since it was named */

        /* Under the mutex. */
        bool stop;
        Decision *queue;
        size_t n_queued;
        uint64_t n_missing;
        Question *asked, *answered;
        unsigned n_questions;

        /* The thread's. */
        Decision *batch;
        AuditFile file;
};

static struct timespec monotonic_in(uint64_t usec) {
        usec = u64_add(clock_monotonic_usec(), usec);
        return (struct timespec){.tv_sec = (time_t) (usec / USEC_PER_SEC),
                                 .tv_nsec = (long) (usec % USEC_PER_SEC * NSEC_PER_USEC)};
}

/* -- the thread ------------------------------------------------------------------------------------ */

/* With the mutex held. Returns false when all is done. */
static bool wait_for_work(Audit *audit) {
        struct timespec deadline;

        while (!audit->stop && audit->n_queued == 0 && !audit->asked)
                (void) pthread_cond_wait(&audit->wanted, &audit->mutex);
        deadline = monotonic_in(GATHER_USEC);
        while (!audit->stop && !audit->asked && audit->n_queued < audit->queue_max / 2 &&
               pthread_cond_clockwait(&audit->wanted, &audit->mutex, CLOCK_MONOTONIC, &deadline) == 0)
                ;
        return !audit->stop || audit->n_queued > 0;
}

static void work(Audit *audit) {
        Question *questions = TAKE_PTR(audit->asked), *last = NULL;
        Decision *batch = audit->queue;
        size_t n = audit->n_queued;

        audit->queue = audit->batch;
        audit->batch = batch;
        audit->n_queued = 0;
        (void) pthread_mutex_unlock(&audit->mutex);

        audit_file_write(&audit->file, audit->batch, n);
        for (Question *question = questions; question; question = question->next) {
                question->r = audit_file_list(&audit->file, question->vm, question->decisions, question->most,
                                              &question->n);
                last = question;
        }

        (void) pthread_mutex_lock(&audit->mutex);
        if (!last)
                return;
        last->next = audit->answered;
        audit->answered = questions;
        (void) eventfd_write(audit->event_fd, 1);
}

static void *thread_main(void *userdata) {
        Audit *audit = userdata;

        /* At once, so that what is wrong is named when the bridge starts and not hours later. */
        audit_file_write(&audit->file, NULL, 0);
        (void) pthread_mutex_lock(&audit->mutex);
        while (wait_for_work(audit))
                work(audit);
        (void) pthread_mutex_unlock(&audit->mutex);
        audit_file_close(&audit->file);
        return NULL;
}

/* -- the loop -------------------------------------------------------------------------------------- */

/* r: 0, or what they are told in place of their answers. */
static void finish(Question *questions, int r) {
        while (questions) {
                Question *question = questions;

                questions = question->next;
                question->handler(r < 0 ? r : question->r, question->decisions, question->n,
                                  question->userdata);
                free(question);
        }
}

static int on_answered(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Audit *audit = userdata;
        Question *questions;
        eventfd_t ignored;

        if (eventfd_read(fd, &ignored) < 0)
                return 0;
        (void) pthread_mutex_lock(&audit->mutex);
        questions = TAKE_PTR(audit->answered);
        for (Question *question = questions; question; question = question->next)
                audit->n_questions--;
        (void) pthread_mutex_unlock(&audit->mutex);
        finish(questions, 0);
        return 0;
}

/* With the mutex held. Returns false if there is no room. */
static bool enqueue(Audit *audit, const Decision *decision) {
        for (size_t i = audit->n_queued, n = 0; i > 0 && n < LOOK_BACK; i--, n++)
                if (audit->queue[i - 1].id == decision->id) {
                        audit->queue[i - 1] = *decision;
                        return true;
                }
        if (audit->n_queued == audit->queue_max) {
                audit->n_missing++;
                return false;
        }
        audit->queue[audit->n_queued++] = *decision;
        return true;
}

void audit_put(Audit *audit, const Decision *decision) {
        uint64_t n_missing;
        bool taken;

        assert(audit);
        assert(decision);

        (void) pthread_mutex_lock(&audit->mutex);
        taken = enqueue(audit, decision);
        n_missing = audit->n_missing;
        (void) pthread_cond_signal(&audit->wanted);
        (void) pthread_mutex_unlock(&audit->mutex);

        if (!taken && !audit->behind)
                log_warning("The audit %s does not keep up: decisions are missing from it", audit->path);
        else if (taken && audit->behind)
                log_info("The audit %s keeps up again; %llu decisions are missing", audit->path,
                         (unsigned long long) n_missing);
        audit->behind = !taken;
}

int audit_list(Audit *audit, const char *vm, size_t most, AuditHandler handler, void *userdata) {
        Question *question;
        bool room;

        assert(audit);
        assert(vm);
        assert(handler);

        question = calloc(1, sizeof(*question) + most * sizeof(Decision));
        if (!question)
                return -ENOMEM;
        question->handler = handler;
        question->userdata = userdata;
        question->most = most;
        (void) snprintf(question->vm, sizeof(question->vm), "%s", vm);

        (void) pthread_mutex_lock(&audit->mutex);
        room = audit->n_questions < QUESTIONS_MAX;
        if (room) {
                audit->n_questions++;
                question->next = audit->asked;
                audit->asked = question;
                (void) pthread_cond_signal(&audit->wanted);
        }
        (void) pthread_mutex_unlock(&audit->mutex);
        if (!room)
                free(question);
        return room ? 0 : -EBUSY;
}

/* -- life ------------------------------------------------------------------------------------------ */

static int start_thread(Audit *audit) {
        pthread_attr_t attributes;
        sigset_t all;
        int r;

        r = pthread_attr_init(&attributes);
        if (r > 0)
                return -r;
        (void) sigfillset(&all); /* signals are the loop's */
        r = pthread_attr_setstacksize(&attributes, STACK_BYTES);
        if (r == 0)
                r = pthread_attr_setsigmask_np(&attributes, &all);
        if (r == 0)
                r = pthread_create(&audit->thread, &attributes, thread_main, audit);
        (void) pthread_attr_destroy(&attributes);
        audit->has_thread = r == 0;
        return -r;
}

int audit_new(sd_event *event, const AuditOptions *options, Audit **ret) {
        _cleanup_(audit_freep) Audit *audit = NULL;
        int r;

        assert(event);
        assert(options && options->path && options->queue_max > 0);
        assert(ret);

        audit = malloc(sizeof(*audit));
        if (!audit)
                return -ENOMEM;
        *audit = (Audit){
                .queue_max = options->queue_max,
                .event_fd = -EBADF,
                .mutex = PTHREAD_MUTEX_INITIALIZER,
                .wanted = PTHREAD_COND_INITIALIZER,
        };
        if (strlen(options->path) >= sizeof(audit->path))
                return -ENAMETOOLONG;
        (void) snprintf(audit->path, sizeof(audit->path), "%s", options->path);
        audit->file = (AuditFile){
                .path = audit->path,
                .retention_usec = options->retention_usec,
                .rows_max = options->rows_max,
        };
        audit->queue = calloc(options->queue_max, sizeof(Decision));
        audit->batch = calloc(options->queue_max, sizeof(Decision));
        if (!audit->queue || !audit->batch)
                return -ENOMEM;

        audit->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (audit->event_fd < 0)
                return -errno;
        r = sd_event_add_io(event, &audit->source, audit->event_fd, EPOLLIN, on_answered, audit);
        if (r >= 0)
                r = sd_event_source_set_priority(audit->source, SD_EVENT_PRIORITY_IDLE);
        if (r >= 0)
                r = start_thread(audit);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(audit->source, "audit");
        *ret = TAKE_PTR(audit);
        return 0;
}

/* Returns false if the thread hangs on its disk: then it keeps what it uses, until the process ends. */
static bool end_thread(Audit *audit) {
        struct timespec deadline = monotonic_in(END_USEC);

        if (!audit->has_thread)
                return true;
        (void) pthread_mutex_lock(&audit->mutex);
        audit->stop = true;
        (void) pthread_cond_signal(&audit->wanted);
        (void) pthread_mutex_unlock(&audit->mutex);
        if (pthread_clockjoin_np(audit->thread, NULL, CLOCK_MONOTONIC, &deadline) == 0)
                return true;
        (void) pthread_detach(audit->thread);
        log_warning("The audit %s hangs: its last decisions may be missing", audit->path);
        return false;
}

Audit *audit_free(Audit *audit) {
        if (!audit)
                return NULL;
        audit->source = sd_event_source_disable_unref(audit->source);
        if (!end_thread(audit))
                return NULL;
        finish(audit->asked, -ECANCELED);
        finish(audit->answered, -ECANCELED);
        (void) safe_close(audit->event_fd);
        free(audit->queue);
        free(audit->batch);
        free(audit);
        return NULL;
}
