/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Which files make up a configuration, in which order, and which of them are fit to be read. Everything is
 * found below the root, so a fixture tree is a machine.
 *
 * A file that anyone may write to is refused and not merely warned of: the daemons run as root, and who writes
 * the file decides over other people's memory. So is a symbolic link: it names a file whose folder nobody has looked at.
 * /dev/null in a file's place (by a link, as systemd has it) masks it.
 */

#include "common/config.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <syslog.h>

#define CONFIG_FILE_MAX ((size_t) 64 * 1024)
#define DROP_INS_MAX    256

/* What config_load() was called with, and whether any file was bad. */
typedef struct Loader {
        const ConfigTable *table;
        const RootDir *root;
        void *config;
        ConfigOrigin *origins;
        ConfigComplain complain;
        void *userdata;
        bool failed;
} Loader;

typedef struct DropIn {
        char name[NAME_MAX + 1];
        const char *folder;
} DropIn;

typedef struct DropIns {
        DropIn *items;
        size_t n_items;
} DropIns;

/* In rising precedence. */
static const char *const folders[] = {"/usr/lib/memtide", "/run/memtide", "/etc/memtide"};

static void complain_of_file(Loader *loader, const char *path, const char *reason) {
        char text[512];

        loader->failed = true;
        if (!loader->complain)
                return;
        (void) snprintf(text, sizeof(text), "%.384s: %s", path, reason);
        loader->complain(LOG_ERR, text, loader->userdata);
}

/* Absolute: below the root. Relative: from the working directory, as a command line means it. */
static int open_path(const Loader *loader, const char *path, int flags) {
        int fd;

        if (path[0] == '/')
                return rootdir_open(loader->root, path + strspn(path, "/"), flags);

        fd = open(path, flags | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* Returns NULL if fd is fit to be read as far as its owner and kind go, or what is wrong with it. */
static const char *file_defect(const struct stat *st) {
        if (!S_ISREG(st->st_mode))
                return "not a regular file";
        if (st->st_mode & S_IWOTH)
                return "anyone may write to it, refused";
        return NULL;
}

static bool is_dev_null(const struct stat *st) {
        return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

static int load_open_file(Loader *loader, const char *path, int fd) {
        _cleanup_free_ char *text = NULL;
        const char *defect;
        struct stat st;
        ssize_t size;
        int r;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (is_dev_null(&st))
                return 0;
        defect = file_defect(&st);
        if (defect) {
                complain_of_file(loader, path, defect);
                return 0;
        }

        text = malloc(CONFIG_FILE_MAX + 1);
        if (!text)
                return -ENOMEM;
        size = rootdir_pread(fd, text, CONFIG_FILE_MAX + 1);
        if (size < 0) {
                complain_of_file(loader, path, size == -EFBIG ? "larger than 64K" : strerror((int) -size));
                return 0;
        }

        r = config_parse_text(loader->table, path, text, (size_t) size, loader->config, loader->origins,
                              loader->complain, loader->userdata);
        if (r == -EINVAL)
                loader->failed = true;
        return r == -EINVAL ? 0 : r;
}

/* A link to /dev/null. */
static bool is_masked(const Loader *loader, const char *path) {
        _cleanup_close_ int fd = open_path(loader, path, O_PATH);
        struct stat st;

        return fd >= 0 && fstat(fd, &st) >= 0 && is_dev_null(&st);
}

/*
 * Loads one file. What is wrong with it is complained of and remembered.
 * Returns 1, 0 if it may be absent and is, or -errno when going on is of no use.
 */
static int load_file(Loader *loader, const char *path, bool may_be_absent) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        /* A FIFO must not make us wait before it is found out. */
        fd = open_path(loader, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
        if (fd == -ENOENT && may_be_absent)
                return 0;
        if (fd == -ELOOP && is_masked(loader, path))
                return 1;
        if (fd == -ELOOP) {
                complain_of_file(loader, path, "a symbolic link, refused");
                return 1;
        }
        if (fd < 0) {
                complain_of_file(loader, path, strerror(-fd));
                return 1;
        }

        r = load_open_file(loader, path, fd);
        return r < 0 ? r : 1;
}

static int load_main_file(Loader *loader) {
        static const char *const places[] = {"/etc/memtide", "/usr/lib/memtide"};
        char path[PATH_MAX];

        for (size_t i = 0; i < ELEMENTSOF(places); i++) {
                int r;

                (void) snprintf(path, sizeof(path), "%s/%s.conf", places[i], loader->table->name);
                r = load_file(loader, path, true);
                if (r != 0)
                        return r;
        }
        return 0;
}

static bool is_drop_in_name(const char *name) {
        size_t length = strlen(name);

        return name[0] != '.' && length > STRLEN(".conf") &&
               strcmp(name + length - STRLEN(".conf"), ".conf") == 0;
}

/* Returns 0, or -E2BIG. A later folder takes over a name that an earlier one had. */
static int drop_ins_add(DropIns *drop_ins, const char *folder, const char *name) {
        DropIn *item = drop_ins->items, *end = item + drop_ins->n_items;

        while (item < end && strcmp(item->name, name) != 0)
                item++;
        if (item == end) {
                if (drop_ins->n_items == DROP_INS_MAX)
                        return -E2BIG;
                (void) snprintf(item->name, sizeof(item->name), "%s", name);
                drop_ins->n_items++;
        }
        item->folder = folder;
        return 0;
}

static void collect_drop_ins(Loader *loader, const char *folder, DropIns *drop_ins) {
        _cleanup_(closedirp) DIR *dir = NULL;
        char path[PATH_MAX];
        struct dirent *entry;
        struct stat st;
        int r;

        (void) snprintf(path, sizeof(path), "%s/%s.conf.d", folder, loader->table->name);
        r = rootdir_opendir(loader->root, path + STRLEN("/"), &dir);
        if (r == -ENOENT)
                return;
        if (r < 0) {
                complain_of_file(loader, path, strerror(-r));
                return;
        }
        if (fstat(dirfd(dir), &st) >= 0 && (st.st_mode & S_IWOTH)) {
                complain_of_file(loader, path, "anyone may write to that folder, refused");
                return;
        }

        while (r == 0 && (errno = 0, entry = readdir(dir)))
                if (is_drop_in_name(entry->d_name))
                        r = drop_ins_add(drop_ins, folder, entry->d_name);
        if (r < 0)
                complain_of_file(loader, path, "too many drop-ins");
        else if (errno != 0)
                complain_of_file(loader, path, strerror(errno));
}

static int compare_names(const void *a, const void *b) {
        return strcmp(((const DropIn *) a)->name, ((const DropIn *) b)->name);
}

static int load_drop_ins(Loader *loader) {
        _cleanup_free_ DropIn *items = NULL;
        DropIns drop_ins = {};

        items = malloc(DROP_INS_MAX * sizeof(*items));
        if (!items)
                return -ENOMEM;
        drop_ins.items = items;

        for (size_t i = 0; i < ELEMENTSOF(folders); i++)
                collect_drop_ins(loader, folders[i], &drop_ins);
        qsort(items, drop_ins.n_items, sizeof(*items), compare_names);

        for (size_t i = 0; i < drop_ins.n_items; i++) {
                char path[PATH_MAX];
                int r;

                (void) snprintf(path, sizeof(path), "%s/%s.conf.d/%s", items[i].folder, loader->table->name,
                                items[i].name);
                r = load_file(loader, path, false);
                if (r < 0)
                        return r;
        }
        return 0;
}

int config_load(const ConfigTable *table, const RootDir *root, const char *file, void *config,
                ConfigOrigin *origins, ConfigComplain complain, void *userdata) {
        Loader loader = {
                .table = table,
                .root = root,
                .config = config,
                .origins = origins,
                .complain = complain,
                .userdata = userdata,
        };
        int r;

        assert(table);
        assert(root);
        assert(config);

        if (file)
                r = load_file(&loader, file, false);
        else {
                r = load_main_file(&loader);
                if (r >= 0)
                        r = load_drop_ins(&loader);
        }
        if (r < 0)
                return r;
        return loader.failed ? -EINVAL : 0;
}
