/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Two files of each top-level cgroup stay open, so that a look in the middle of a shortage is a few pread() and no more;
 * they are found and opened in quiet times. The first 16 cgroups in the folder's order are candidates: systemd makes
 * five, Kubernetes one more.
 *
 * Rejected: memory.stat of all of them (20 times the cost, for a log line), and processes instead of cgroups (a walk over
 * /proc, and the name of a process says less than that of its service).
 */

#include "agent/signals/heaviest.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "agent/signals/psi.h"
#include "common/log.h"
#include "common/parse.h"
#include "common/units.h"

typedef struct Candidate {
        uint64_t inode; /* 0: a free place */
        bool seen;
        int current_fd, pressure_fd; /* the latter may be missing */
        char name[HEAVIEST_NAME_SIZE];
        uint64_t marked_bytes, marked_stall_usec;
} Candidate;

struct Heaviest {
        int fd;
        uint64_t marked_usec;
        Candidate candidates[HEAVIEST_CANDIDATES_MAX];
};

static bool read_current(const Candidate *c, uint64_t *ret) {
        char text[32];
        ssize_t n = rootdir_pread(c->current_fd, text, sizeof(text));

        if (n >= 0 && (n == 0 || parse_u64(text, (size_t) n - (text[n - 1] == '\n'), ret) < 0))
                n = -EBADMSG;
        if (n < 0 && n != -ENODEV)
                log_unusable("sys/fs/cgroup/*/memory.current", (int) n, "it in such a cgroup");
        return n >= 0;
}

/* 0 where it is not known. */
static uint64_t read_stall(const Candidate *c) {
        PsiTotals totals;
        char text[256];
        ssize_t n;

        if (c->pressure_fd < 0)
                return 0;
        n = rootdir_pread(c->pressure_fd, text, sizeof(text));
        if (n >= 0 && psi_parse(text, (size_t) n, &totals) < 0)
                n = -EBADMSG;
        if (n < 0 && n != -ENODEV && n != -EOPNOTSUPP)
                log_unusable("sys/fs/cgroup/*/memory.pressure", (int) n, "it in such a cgroup");
        return n >= 0 ? totals.some_usec : 0;
}

static void candidate_done(Candidate *c) {
        if (c->inode == 0)
                return;
        (void) safe_close(c->current_fd);
        (void) safe_close(c->pressure_fd);
        *c = (Candidate){};
}

static Candidate *find(Heaviest *heaviest, uint64_t inode) {
        for (size_t i = 0; i < HEAVIEST_CANDIDATES_MAX; i++)
                if (heaviest->candidates[i].inode == inode)
                        return &heaviest->candidates[i];
        return NULL;
}

static int open_file(const Heaviest *heaviest, const char *cgroup, const char *file) {
        char path[NAME_MAX + 32];

        if (snprintf(path, sizeof(path), "%s/%s", cgroup, file) >= (int) sizeof(path))
                return -ENAMETOOLONG;
        return openat(heaviest->fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
}

static void consider(Heaviest *heaviest, const struct dirent64 *entry) {
        Candidate *c = find(heaviest, entry->d_ino);
        int fd;

        if (c) {
                c->seen = true;
                return;
        }
        c = find(heaviest, 0);
        if (!c)
                return;
        fd = open_file(heaviest, entry->d_name, "memory.current");
        if (fd < 0) /* its memory is not accounted for, or it has gone */
                return;
        *c = (Candidate){
                .inode = entry->d_ino,
                .seen = true,
                .current_fd = fd,
                .pressure_fd = open_file(heaviest, entry->d_name, "memory.pressure"),
        };
        memcpy(c->name, entry->d_name, strnlen(entry->d_name, sizeof(c->name) - 1));
}

static void find_candidates(Heaviest *heaviest) {
        _Alignas(8) char entries[2048];
        ssize_t n;

        for (size_t i = 0; i < HEAVIEST_CANDIDATES_MAX; i++)
                heaviest->candidates[i].seen = false;
        if (lseek(heaviest->fd, 0, SEEK_SET) < 0)
                return;
        while ((n = getdents64(heaviest->fd, entries, sizeof(entries))) > 0)
                for (ssize_t at = 0; at < n;) {
                        const struct dirent64 *entry =
                                (const struct dirent64 *) (const void *) (entries + at);

                        at += entry->d_reclen;
                        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
                                consider(heaviest, entry);
                }
        for (size_t i = 0; i < HEAVIEST_CANDIDATES_MAX; i++)
                if (!heaviest->candidates[i].seen)
                        candidate_done(&heaviest->candidates[i]);
}

void heaviest_mark(Heaviest *heaviest, uint64_t now_usec) {
        assert(heaviest);

        find_candidates(heaviest);
        heaviest->marked_usec = now_usec;
        for (size_t i = 0; i < HEAVIEST_CANDIDATES_MAX; i++) {
                Candidate *c = &heaviest->candidates[i];

                if (c->inode == 0)
                        continue;
                if (!read_current(c, &c->marked_bytes))
                        candidate_done(c);
                else
                        c->marked_stall_usec = read_stall(c);
        }
}

/* Keeps the array sorted, the lightest falling out. */
static void insert(HeavyCgroup *array, size_t *n, const HeavyCgroup *one) {
        size_t at = *n;

        while (at > 0 && array[at - 1].current_bytes < one->current_bytes)
                at--;
        if (at >= HEAVIEST_MAX)
                return;
        if (*n < HEAVIEST_MAX)
                (*n)++;
        memmove(&array[at + 1], &array[at], (*n - at - 1) * sizeof(*array));
        array[at] = *one;
}

size_t heaviest_look(Heaviest *heaviest, uint64_t now_usec, HeavyCgroup ret[static HEAVIEST_MAX],
                     uint64_t *ret_span_usec) {
        size_t n = 0;

        assert(heaviest);
        assert(ret_span_usec);

        for (size_t i = 0; i < HEAVIEST_CANDIDATES_MAX; i++) {
                const Candidate *c = &heaviest->candidates[i];
                HeavyCgroup one = {};

                if (c->inode == 0 || !read_current(c, &one.current_bytes))
                        continue;
                memcpy(one.name, c->name, sizeof(one.name));
                one.gained_bytes = u64_delta(one.current_bytes, c->marked_bytes);
                one.stalled_usec = u64_sub(read_stall(c), c->marked_stall_usec);
                insert(ret, &n, &one);
        }
        *ret_span_usec = u64_sub(now_usec, heaviest->marked_usec);
        return n;
}

int heaviest_new(const RootDir *root, Heaviest **ret) {
        _cleanup_(heaviest_freep) Heaviest *heaviest = NULL;
        char controllers[512];
        ssize_t n;

        assert(root);
        assert(ret);

        n = rootdir_read_line(root, "sys/fs/cgroup/cgroup.controllers", controllers, sizeof(controllers));
        if (n < 0)
                return (int) n;
        heaviest = calloc(1, sizeof(*heaviest));
        if (!heaviest)
                return -ENOMEM;
        heaviest->fd = rootdir_open(root, "sys/fs/cgroup", O_RDONLY | O_DIRECTORY);
        if (heaviest->fd < 0)
                return heaviest->fd;

        *ret = TAKE_PTR(heaviest);
        return 0;
}

Heaviest *heaviest_free(Heaviest *heaviest) {
        if (!heaviest)
                return NULL;

        for (size_t i = 0; i < HEAVIEST_CANDIDATES_MAX; i++)
                candidate_done(&heaviest->candidates[i]);
        (void) safe_close(heaviest->fd);
        free(heaviest);
        return NULL;
}
