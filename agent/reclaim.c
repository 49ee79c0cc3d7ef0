/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One worker, made at start with a small stack, asleep but for its jobs. It writes in chunks, and looks
 * at deadline and cancellation between two; inside of a write only a signal helps: the kernel's loop ends
 * on a pending one (linux:mm/memcontrol.c, memory_reclaim()). So cancelling sends one, whose handler does nothing.
 *
 * EAGAIN means that less could be reclaimed than was asked: there is no more to be had, the job ends.
 *
 * Rejected: a fork per job (copies page tables while memory is short), io_uring (blocks a kernel worker
 * in the same way, and half of the guests forbid it).
 */

#include "agent/reclaim.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"

#define RECLAIM_CHUNK_BYTES (16 * MIB)
#define RECLAIM_STACK_SIZE  (256 * KIB)
#define RECLAIM_SIGNAL      SIGUSR2

struct Reclaim {
        ReclaimHandler handler;
        void *userdata;
        sd_event_source *io;
        int fd;   /* memory.reclaim */
        int wake; /* eventfd: a job is over */

        pthread_t thread;
        bool has_thread;
        pthread_mutex_t mutex;
        pthread_cond_t cond;
        /* under mutex */
        bool busy, stop;
        uint64_t bytes, deadline_usec;

        atomic_bool cancelled;
};

/* Finds the mount point of cgroup2 in a line of mountinfo. Returns true with its path below the root. */
static bool mountinfo_parse_line(char *line, char *ret, size_t size) {
        char *type, *field, *save = NULL;

        type = strstr(line, " - ");
        if (!type || strncmp(type + 3, "cgroup2 ", STRLEN("cgroup2 ")) != 0)
                return false;

        field = strtok_r(line, " ", &save);
        for (unsigned i = 0; field && i < 4; i++)
                field = strtok_r(NULL, " ", &save);
        if (!field || field[0] != '/')
                return false;
        return (size_t) snprintf(ret, size, "%s/memory.reclaim", field + 1) < size;
}

static int reclaim_open_mounted(const RootDir *root) {
        _cleanup_fclose_ FILE *file = NULL;
        _cleanup_close_ int fd = -EBADF;
        char line[4096], path[512];

        fd = rootdir_open(root, "proc/self/mountinfo", O_RDONLY);
        if (fd < 0)
                return fd;
        file = fdopen(fd, "re");
        if (!file)
                return -errno;
        (void) TAKE_FD(fd);

        while (fgets(line, sizeof(line), file))
                if (mountinfo_parse_line(line, path, sizeof(path)))
                        return rootdir_open(root, path, O_WRONLY);
        return -ENOENT;
}

/* Returns a descriptor that the caller owns, or -errno. */
static int reclaim_open(const RootDir *root) {
        static const char *const usual[] = {
                "sys/fs/cgroup/memory.reclaim",
                "sys/fs/cgroup/unified/memory.reclaim",
        };
        int fd;

        fd = reclaim_open_mounted(root);
        for (size_t i = 0; fd < 0 && i < ELEMENTSOF(usual); i++)
                fd = rootdir_open(root, usual[i], O_WRONLY);
        return fd;
}

static void reclaim_work(Reclaim *reclaim, uint64_t bytes, uint64_t deadline_usec) {
        while (bytes > 0 && !atomic_load(&reclaim->cancelled) && clock_monotonic_usec() < deadline_usec) {
                uint64_t chunk = u64_min(bytes, RECLAIM_CHUNK_BYTES);
                char text[sizeof("18446744073709551615\n")];
                int n;

                n = snprintf(text, sizeof(text), "%" PRIu64 "\n", chunk);
                if (write(reclaim->fd, text, (size_t) n) < 0)
                        break; /* EAGAIN: no more to be had; EINTR: cancelled */
                bytes -= chunk;
        }
}

static void *reclaim_thread(void *userdata) {
        Reclaim *reclaim = userdata;
        sigset_t mask;

        (void) sigfillset(&mask);
        (void) sigdelset(&mask, RECLAIM_SIGNAL);
        (void) pthread_sigmask(SIG_SETMASK, &mask, NULL);

        (void) pthread_mutex_lock(&reclaim->mutex);
        while (!reclaim->stop) {
                uint64_t bytes = reclaim->bytes, deadline_usec = reclaim->deadline_usec;

                if (!reclaim->busy) {
                        (void) pthread_cond_wait(&reclaim->cond, &reclaim->mutex);
                        continue;
                }

                (void) pthread_mutex_unlock(&reclaim->mutex);
                reclaim_work(reclaim, bytes, deadline_usec);
                (void) pthread_mutex_lock(&reclaim->mutex);

                reclaim->busy = false;
                (void) eventfd_write(reclaim->wake, 1);
        }
        (void) pthread_mutex_unlock(&reclaim->mutex);
        return NULL;
}

static int reclaim_done_handler(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Reclaim *reclaim = userdata;
        eventfd_t n;

        if (eventfd_read(fd, &n) >= 0)
                reclaim->handler(reclaim->userdata);
        return 0;
}

static void reclaim_signal_handler(int signal) {
}

static int reclaim_start_thread(Reclaim *reclaim) {
        struct sigaction action = {.sa_handler =
                                           reclaim_signal_handler}; /* no SA_RESTART: it is to interrupt */
        pthread_attr_t attributes;
        int r;

        if (sigaction(RECLAIM_SIGNAL, &action, NULL) < 0)
                return -errno;

        r = pthread_attr_init(&attributes);
        if (r != 0)
                return -r;
        (void) pthread_attr_setstacksize(&attributes, RECLAIM_STACK_SIZE);
        r = pthread_create(&reclaim->thread, &attributes, reclaim_thread, reclaim);
        (void) pthread_attr_destroy(&attributes);
        if (r != 0)
                return -r;

        reclaim->has_thread = true;
        return 0;
}

int reclaim_probe(const RootDir *root) {
        _cleanup_close_ int fd = -EBADF;

        assert(root);
        fd = reclaim_open(root);
        return fd < 0 ? fd : 0;
}

int reclaim_new(sd_event *event, const RootDir *root, ReclaimHandler handler, void *userdata, Reclaim **ret) {
        _cleanup_(reclaim_freep) Reclaim *reclaim = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        assert(event);
        assert(root);
        assert(handler);
        assert(ret);

        fd = reclaim_open(root);
        if (fd < 0)
                return fd;

        reclaim = calloc(1, sizeof(*reclaim));
        if (!reclaim)
                return -ENOMEM;
        reclaim->handler = handler;
        reclaim->userdata = userdata;
        reclaim->wake = -EBADF;
        reclaim->fd = TAKE_FD(fd);
        (void) pthread_mutex_init(&reclaim->mutex, NULL);
        (void) pthread_cond_init(&reclaim->cond, NULL);

        reclaim->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (reclaim->wake < 0)
                return -errno;
        r = sd_event_add_io(event, &reclaim->io, reclaim->wake, EPOLLIN, reclaim_done_handler, reclaim);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(reclaim->io, "reclaim");

        r = reclaim_start_thread(reclaim);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(reclaim);
        return 0;
}

Reclaim *reclaim_free(Reclaim *reclaim) {
        if (!reclaim)
                return NULL;

        if (reclaim->has_thread) {
                (void) pthread_mutex_lock(&reclaim->mutex);
                reclaim->stop = true;
                (void) pthread_cond_signal(&reclaim->cond);
                (void) pthread_mutex_unlock(&reclaim->mutex);
                reclaim_cancel(reclaim);
                (void) pthread_join(reclaim->thread, NULL);
        }

        sd_event_source_disable_unref(reclaim->io);
        (void) pthread_cond_destroy(&reclaim->cond);
        (void) pthread_mutex_destroy(&reclaim->mutex);
        reclaim->wake = safe_close(reclaim->wake);
        reclaim->fd = safe_close(reclaim->fd);
        free(reclaim);
        return NULL;
}

int reclaim_start(Reclaim *reclaim, uint64_t bytes, uint64_t deadline_usec) {
        int r = 0;

        assert(reclaim);

        (void) pthread_mutex_lock(&reclaim->mutex);
        if (reclaim->busy)
                r = -EBUSY;
        else {
                atomic_store(&reclaim->cancelled, false);
                reclaim->bytes = bytes;
                reclaim->deadline_usec = deadline_usec;
                reclaim->busy = true;
                (void) pthread_cond_signal(&reclaim->cond);
        }
        (void) pthread_mutex_unlock(&reclaim->mutex);
        return r;
}

void reclaim_cancel(Reclaim *reclaim) {
        assert(reclaim);

        atomic_store(&reclaim->cancelled, true);
        (void) pthread_kill(reclaim->thread, RECLAIM_SIGNAL);
}
