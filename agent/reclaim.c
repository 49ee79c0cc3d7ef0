/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The worker writes in chunks, and looks at deadline and cancellation between two; inside of a write only its signal
 * helps.
 *
 * EAGAIN means that less could be reclaimed than was asked: there is no more to be had, the job ends.
 */

#include "agent/reclaim.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "common/units.h"
#include "common/worker.h"

#define RECLAIM_CHUNK_BYTES (16 * MIB)

struct Reclaim {
        ReclaimHandler handler;
        void *userdata;
        Worker *worker;
        int fd; /* memory.reclaim */
        uint64_t bytes;
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

static void reclaim_run(Worker *worker, void *userdata) {
        const Reclaim *reclaim = userdata;

        for (uint64_t bytes = reclaim->bytes; bytes > 0 && !worker_is_cancelled(worker);) {
                uint64_t chunk = u64_min(bytes, RECLAIM_CHUNK_BYTES);
                char text[sizeof("18446744073709551615\n")];
                int n;

                n = snprintf(text, sizeof(text), "%" PRIu64 "\n", chunk);
                if (write(reclaim->fd, text, (size_t) n) < 0)
                        break; /* EAGAIN: no more to be had; EINTR: cancelled */
                bytes -= chunk;
        }
}

static void reclaim_done(void *userdata) {
        Reclaim *reclaim = userdata;

        reclaim->handler(reclaim->userdata);
}

int reclaim_probe(const RootDir *root) {
        _cleanup_close_ int fd = -EBADF;

        assert(root);
        fd = reclaim_open(root);
        return fd < 0 ? fd : 0;
}

int reclaim_new(sd_event *event, const RootDir *root, ReclaimHandler handler, void *userdata, Reclaim **ret) {
        static const WorkerJob job = {.name = "reclaim", .run = reclaim_run, .done = reclaim_done};
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
        reclaim->fd = TAKE_FD(fd);

        r = worker_new(event, &job, reclaim, &reclaim->worker);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(reclaim);
        return 0;
}

Reclaim *reclaim_free(Reclaim *reclaim) {
        if (!reclaim)
                return NULL;

        (void) worker_free(reclaim->worker);
        reclaim->fd = safe_close(reclaim->fd);
        free(reclaim);
        return NULL;
}

int reclaim_start(Reclaim *reclaim, uint64_t bytes, uint64_t deadline_usec) {
        assert(reclaim);

        if (worker_is_busy(reclaim->worker))
                return -EBUSY;
        reclaim->bytes = bytes;
        return worker_start(reclaim->worker, deadline_usec);
}

void reclaim_cancel(Reclaim *reclaim) {
        assert(reclaim);
        worker_cancel(reclaim->worker);
}
