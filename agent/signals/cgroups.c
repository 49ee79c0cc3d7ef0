/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A walk down the cgroup v2 tree, depth first. Of each cgroup with a memory.max or memory.high, memory.stat is read; if it
 * stands at the lower of the two (95 %, and then until it falls below 85 %: a stream outside lets kswapd take from it
 * in between), what its counters gained since the last walk is added to the snapshot. memory.stat counts the whole
 * subtree, so what lies below such a cgroup is not counted again.
 *
 * One that thrashed there has shown that it lacks more than its limit, and is taken for one at its limit for ten minutes
 * more: with MGLRU on 6.12 kswapd took it down to 63 %, and to 50 % within 3 s on a slow host, for a stream that no size of
 * the VM holds. A walk is asked for only while the guest itself is not short, so its own need is not hidden.
 *
 * Cgroups are known by inode. One that the last walk did not see was born since, and all that it has counted is new; one
 * that was seen without its counters having been read begins with this walk.
 *
 * Rejected: descriptors that are kept. 256 cgroups are up to 1024 of them, as many as a process may have by default.
 * Opening one costs two reads of meminfo, once a second and only while there is something to find out. Folders are read
 * by getdents64(2), since opendir() allocates. What vanishes during the walk is passed over.
 */

#include "agent/signals/cgroups.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>

#include "common/log.h"
#include "common/macro.h"
#include "common/parse.h"

#define ENTER_PERCENT 95
#define LEAVE_PERCENT 85
/* As far back as all that is learned (estimator.md rule 2), and what is thrashing (rule 6 (b)). */
#define THRASHED_USEC        (600 * USEC_PER_SEC)
#define THRASH_BYTES_PER_SEC MIB
/* Below it, memory.stat, which costs as much as all else of a cgroup, is not read: it has to fill up before it can thrash. */
#define NEAR_PERCENT 50

static const CountersKey stat_keys[CGROUP_KEY_MAX] = {
        [CGROUP_REFAULT_ANON] = {"workingset_refault_anon", .optional = true},
        [CGROUP_REFAULT_FILE] = {"workingset_refault_file", .optional = true},
        [CGROUP_ACTIVATE_ANON] = {"workingset_activate_anon", .optional = true},
        [CGROUP_ACTIVATE_FILE] = {"workingset_activate_file", .optional = true},
        [CGROUP_PSWPIN] = {"pswpin", .optional = true},
        [CGROUP_PSWPOUT] = {"pswpout", .optional = true},
};

static const CountersTable counters_stat = {
        .keys = stat_keys,
        .n_keys = ELEMENTSOF(stat_keys),
        .after_name = "",
        .unit = "",
        .unit_bytes = 1,
        .value_max = UINT64_MAX,
};

/* -- files of one cgroup --------------------------------------------------------------------------- */

static ssize_t read_at(Cgroups *cgroups, int folder, const char *name) {
        _cleanup_close_ int fd = -EBADF;

        fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return -errno;
        return rootdir_pread(fd, cgroups->text, sizeof(cgroups->text));
}

/* What is not there is not accounted for, or has gone. */
static void name_file(const char *name, ssize_t error) {
        char path[64];

        if (error == -ENOENT || error == -ENODEV)
                return;
        (void) snprintf(path, sizeof(path), "sys/fs/cgroup/*/%s", name);
        log_unusable(path, (int) error, "it in such a cgroup");
}

/* Bytes, UINT64_MAX for "max". Returns false for a file that is not there or says something else. */
static bool read_bytes(Cgroups *cgroups, int folder, const char *name, uint64_t *ret) {
        ssize_t n = read_at(cgroups, folder, name);

        if (n <= 0) {
                name_file(name, n < 0 ? n : -ENODATA);
                return false;
        }
        if (cgroups->text[n - 1] == '\n')
                n--;
        if (n == 3 && memcmp(cgroups->text, "max", 3) == 0) {
                *ret = UINT64_MAX;
                return true;
        }
        if (parse_u64(cgroups->text, (size_t) n, ret) >= 0)
                return true;
        name_file(name, -EBADMSG);
        return false;
}

static uint64_t read_limit(Cgroups *cgroups, int folder) {
        uint64_t max = UINT64_MAX, high = UINT64_MAX;

        (void) read_bytes(cgroups, folder, "memory.max", &max);
        (void) read_bytes(cgroups, folder, "memory.high", &high);
        return u64_min(max, high);
}

static bool read_flows(Cgroups *cgroups, int folder, CgroupFlows *ret) {
        ssize_t n = read_at(cgroups, folder, "memory.stat");
        const uint64_t *value = cgroups->stat.value;
        uint64_t swap_bytes = 0;

        if (n > 0)
                (void) counters_parse(&cgroups->stat, &counters_stat, cgroups->text, (size_t) n);
        if (n <= 0 || cgroups->stat.found == 0) {
                name_file("memory.stat", n < 0 ? n : -EBADMSG);
                return false;
        }
        *ret = (CgroupFlows){
                .refault = u64_add(value[CGROUP_REFAULT_ANON], value[CGROUP_REFAULT_FILE]),
                .activate = u64_add(value[CGROUP_ACTIVATE_ANON], value[CGROUP_ACTIVATE_FILE]),
                .pswpin = value[CGROUP_PSWPIN],
                .pswpout = value[CGROUP_PSWPOUT],
        };
        if (counters_has(&cgroups->stat, CGROUP_PSWPOUT))
                return true;
        /* An anonymous refault is a swap-in, to 0.1 % (estimator.md section 6); what went out is there or came back. */
        ret->pswpin = value[CGROUP_REFAULT_ANON];
        (void) read_bytes(cgroups, folder, "memory.swap.current", &swap_bytes);
        ret->pswpout = u64_add(ret->pswpin, swap_bytes / cgroups->page_size_bytes);
        return true;
}

/* -- the table ------------------------------------------------------------------------------------- */

/* The place of a cgroup, a free one with inode 0, or NULL. The order of a walk is mostly that of the last. */
static Cgroup *find(Cgroups *cgroups, uint64_t inode) {
        for (size_t i = 0; i < CGROUPS_MAX; i++) {
                size_t at = (cgroups->hint + i) % CGROUPS_MAX;

                if (cgroups->table[at].inode == inode) {
                        cgroups->hint = at + 1;
                        return &cgroups->table[at];
                }
        }
        return NULL;
}

/* The cgroups that this walk did not see are gone. Returns true if one of them was at its limit. */
static bool forget_gone(Cgroups *cgroups) {
        bool lost = false;

        for (size_t i = 0; i < CGROUPS_MAX; i++) {
                Cgroup *c = &cgroups->table[i];

                if (c->inode == 0 || c->walk == cgroups->walk)
                        continue;
                lost = lost || c->contained;
                *c = (Cgroup){};
        }
        return lost;
}

/* -- one cgroup ------------------------------------------------------------------------------------ */

static void add_flows(Snapshot *s, const CgroupFlows *from, const CgroupFlows *to) {
        s->contained_refault = u64_add(s->contained_refault, u64_sub(to->refault, from->refault));
        s->contained_activate = u64_add(s->contained_activate, u64_sub(to->activate, from->activate));
        s->contained_pswpin = u64_add(s->contained_pswpin, u64_sub(to->pswpin, from->pswpin));
        s->contained_pswpout = u64_add(s->contained_pswpout, u64_sub(to->pswpout, from->pswpout));
}

/* Whether it refaulted since the last walk as fast as what asks for memory does. */
static bool thrashed(const Cgroups *cgroups, const Cgroup *c, const CgroupFlows *now, uint64_t now_usec) {
        uint64_t span_usec = u64_sub(now_usec, cgroups->walked_usec);
        uint64_t bytes = u64_mul(u64_sub(now->refault, c->flows.refault), cgroups->page_size_bytes);

        return span_usec > 0 && u64_scale(bytes, USEC_PER_SEC, span_usec) > THRASH_BYTES_PER_SEC;
}

static bool stands_at(const Cgroup *c, bool before, uint64_t current, uint64_t limit, uint64_t now_usec) {
        if (current >= u64_percent(limit, before ? LEAVE_PERCENT : ENTER_PERCENT))
                return true;
        /* A limit that was raised since is another one. */
        return before && c->thrashed_usec > 0 && limit <= c->thrashed_limit_bytes &&
               u64_sub(now_usec, c->thrashed_usec) < THRASHED_USEC;
}

/* Returns true if the cgroup stands at its limit, so that what lies below is its own. */
static bool look_at(Cgroups *cgroups, int folder, Cgroup *c, bool born, Snapshot *snapshot) {
        uint64_t limit = read_limit(cgroups, folder);
        bool before = c->contained, known = c->known || born;
        CgroupFlows flows;
        uint64_t current;

        c->known = c->contained = false;
        if (limit == UINT64_MAX)
                return false;
        snapshot->n_limited++;
        if (!read_bytes(cgroups, folder, "memory.current", &current) ||
            (!before && current < u64_percent(limit, NEAR_PERCENT)) || !read_flows(cgroups, folder, &flows))
                return false;

        if (known && before && current >= u64_percent(limit, LEAVE_PERCENT) &&
            thrashed(cgroups, c, &flows, snapshot->now_usec)) {
                c->thrashed_usec = snapshot->now_usec;
                c->thrashed_limit_bytes = limit;
        }
        c->contained = stands_at(c, before, current, limit, snapshot->now_usec);
        if (known && (before || c->contained))
                add_flows(snapshot, &c->flows, &flows);
        c->known = true;
        c->flows = flows;
        snapshot->n_contained += c->contained;
        return c->contained;
}

/* -- the tree -------------------------------------------------------------------------------------- */

/* A folder that is being read. */
typedef struct Level {
        int fd;
        size_t at, length; /* in names */
        bool inside;       /* of a cgroup at its limit */
} Level;

/* The next folder in the one of this level. Returns NULL at the end. */
static const struct dirent64 *next_folder(Level *level, char names[static 1024]) {
        for (;;) {
                if (level->at >= level->length) {
                        ssize_t n = getdents64(level->fd, names, 1024);

                        if (n <= 0)
                                return NULL;
                        level->length = (size_t) n;
                        level->at = 0;
                }
                const struct dirent64 *entry = (const struct dirent64 *) (const void *) (names + level->at);
                level->at += entry->d_reclen;
                if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
                        return entry;
        }
}

/* Looks at a cgroup. Returns true with *ret to go down into, which the caller closes. */
static bool enter(Cgroups *cgroups, const Level *parent, const struct dirent64 *entry, bool was_whole,
                  Snapshot *snapshot, Level *ret) {
        _cleanup_close_ int fd = -EBADF;
        Cgroup *c;
        bool born, inside = parent->inside;

        fd = openat(parent->fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return false;
        c = find(cgroups, entry->d_ino);
        born = !c && was_whole;
        if (!c)
                c = find(cgroups, 0);
        if (!c) {
                cgroups->whole = false; /* taken by cgroups that have gone since: the next walk has room */
                return false;
        }
        c->inode = entry->d_ino;
        c->walk = cgroups->walk;
        if (inside)
                c->known = c->contained = false;
        else
                inside = look_at(cgroups, fd, c, born, snapshot);

        *ret = (Level){.fd = TAKE_FD(fd), .inside = inside};
        return true;
}

static void walk_tree(Cgroups *cgroups, bool was_whole, Snapshot *snapshot) {
        Level levels[CGROUPS_DEPTH_MAX + 1] = {{.fd = cgroups->fd}};
        unsigned depth = 0;

        for (;;) {
                const struct dirent64 *entry = next_folder(&levels[depth], cgroups->names[depth]);

                if (!entry) {
                        if (depth == 0)
                                return;
                        (void) safe_close(levels[depth--].fd);
                        continue;
                }
                if (cgroups->n_looked_at >= CGROUPS_MAX) {
                        cgroups->whole = false;
                        while (depth > 0)
                                (void) safe_close(levels[depth--].fd);
                        return;
                }
                cgroups->n_looked_at++;
                if (!enter(cgroups, &levels[depth], entry, was_whole, snapshot, &levels[depth + 1]))
                        continue;
                if (depth + 1 < CGROUPS_DEPTH_MAX)
                        depth++;
                else
                        (void) safe_close(levels[depth + 1].fd);
        }
}

int cgroups_walk(Cgroups *cgroups, Snapshot *snapshot) {
        bool was_whole;

        assert(cgroups);
        assert(snapshot);

        if (cgroups->fd < 0)
                return -EBADF;
        if (lseek(cgroups->fd, 0, SEEK_SET) < 0)
                return -errno;

        was_whole = cgroups->whole;
        cgroups->whole = true;
        cgroups->walk++;
        cgroups->n_looked_at = cgroups->hint = 0;
        snapshot->n_contained = snapshot->n_limited = 0;
        walk_tree(cgroups, was_whole, snapshot);
        snapshot->contained_lost = forget_gone(cgroups);
        cgroups->walked_usec = snapshot->now_usec;

        if (!cgroups->whole && !cgroups->named) {
                log_info("More than %u cgroups: only some are looked at for their limits", CGROUPS_MAX);
                cgroups->named = true;
        }
        return 0;
}

/* -- life ------------------------------------------------------------------------------------------ */

int cgroups_open(Cgroups *cgroups, const RootDir *root, uint64_t page_size_bytes) {
        char controllers[512];
        ssize_t n;

        assert(cgroups);
        assert(root);

        explicit_bzero(cgroups, sizeof(*cgroups)); /* touched now, not at the first walk */
        cgroups->fd = -EBADF;
        cgroups->page_size_bytes = u64_max(page_size_bytes, 1);

        n = rootdir_read_line(root, "sys/fs/cgroup/cgroup.controllers", controllers, sizeof(controllers));
        if (n < 0)
                return (int) n;
        for (char *rest = controllers, *word; (word = strsep(&rest, " "));)
                if (strcmp(word, "memory") == 0) {
                        cgroups->fd = rootdir_open(root, "sys/fs/cgroup", O_RDONLY | O_DIRECTORY);
                        return cgroups->fd < 0 ? TAKE_FD(cgroups->fd) : 0;
                }
        return -EOPNOTSUPP;
}

void cgroups_done(Cgroups *cgroups) {
        assert(cgroups);
        cgroups->fd = safe_close(cgroups->fd);
}
