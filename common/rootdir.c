/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A directory handle and a handful of whole-file reads below it. What is opened is always relative to
 * the handle: an absolute path or a ".." is a mistake of the caller and refused, so that a fixture can
 * not by accident be read past its edge into the real machine. Symlinks are followed as the kernel
 * follows them (sysfs is made of relative ones); openat2(RESOLVE_IN_ROOT) would confine absolute links too,
 * but then a drop-in masked by a link to /dev/null could not be told from a broken one.
 *
 * Reads go on until the kernel says end of file: seq_file hands out /proc/vmstat in pieces. A single line comes in one
 * piece, and the read that only finds its end has the kernel make it anew.
 */

#include "common/rootdir.h"

#include <assert.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

struct RootDir {
        int fd;
        char path[];
};

int rootdir_new(const char *path, RootDir **ret) {
        _cleanup_close_ int fd = -EBADF;
        size_t path_size;
        RootDir *root;

        assert(path);
        assert(ret);

        fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;

        path_size = strlen(path) + 1;
        root = malloc(sizeof(*root) + path_size);
        if (!root)
                return -ENOMEM;
        root->fd = TAKE_FD(fd);
        memcpy(root->path, path, path_size);

        *ret = root;
        return 0;
}

RootDir *rootdir_free(RootDir *root) {
        if (!root)
                return NULL;

        root->fd = safe_close(root->fd);
        free(root);
        return NULL;
}

const char *rootdir_path(const RootDir *root) {
        assert(root);
        return root->path;
}

static bool path_stays_below(const char *path) {
        if (path[0] == '\0' || path[0] == '/')
                return false;

        for (const char *component = path;;) {
                size_t length = strcspn(component, "/");

                if (length == 2 && memcmp(component, "..", 2) == 0)
                        return false;
                if (component[length] == '\0')
                        return true;
                component += length + 1;
        }
}

int rootdir_open(const RootDir *root, const char *path, int flags) {
        int fd;

        assert(root);
        assert(path);

        if (!path_stays_below(path))
                return -EINVAL;

        fd = openat(root->fd, path, flags | O_CLOEXEC, 0644);
        return fd < 0 ? -errno : fd;
}

int rootdir_opendir(const RootDir *root, const char *path, DIR **ret) {
        _cleanup_close_ int fd = -EBADF;
        DIR *dir;

        assert(ret);

        fd = rootdir_open(root, path, O_RDONLY | O_DIRECTORY);
        if (fd < 0)
                return fd;

        dir = fdopendir(fd);
        if (!dir)
                return -errno;
        (void) TAKE_FD(fd); /* the DIR's own now */

        *ret = dir;
        return 0;
}

/* readdir() would take 32 KiB of heap for as long as it takes. */
int rootdir_list(const RootDir *root, const char *path, RootDirEach each, void *userdata) {
        _Alignas(struct dirent64) char buffer[4096];
        _cleanup_close_ int fd = -EBADF;

        assert(each);

        fd = rootdir_open(root, path, O_RDONLY | O_DIRECTORY);
        if (fd < 0)
                return fd;

        for (;;) {
                ssize_t n = getdents64(fd, buffer, sizeof(buffer));

                if (n <= 0)
                        return n < 0 ? -errno : 0;
                for (const char *p = buffer; p < buffer + n; p += ((const struct dirent64 *) p)->d_reclen) {
                        const struct dirent64 *entry = (const struct dirent64 *) p;
                        int r = each(entry->d_name, entry->d_ino, userdata);

                        if (r != 0)
                                return r;
                }
        }
}

static ssize_t read_at(int fd, char *buffer, size_t size, bool to_end) {
        size_t length = 0;
        ssize_t n;

        assert(fd >= 0);
        assert(buffer);
        assert(size > 0);

        do {
                n = pread(fd, buffer + length, size - length, (off_t) length);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                length += (size_t) n;
                if (length == size)
                        return -EFBIG;
        } while (n < 0 || (n > 0 && to_end));

        buffer[length] = '\0';
        return (ssize_t) length;
}

ssize_t rootdir_pread(int fd, char *buffer, size_t size) {
        return read_at(fd, buffer, size, true);
}

static ssize_t read_file(const RootDir *root, const char *path, char *buffer, size_t size, bool to_end) {
        _cleanup_close_ int fd = -EBADF;

        fd = rootdir_open(root, path, O_RDONLY | O_NOCTTY);
        return fd < 0 ? fd : read_at(fd, buffer, size, to_end);
}

ssize_t rootdir_read(const RootDir *root, const char *path, char *buffer, size_t size) {
        return read_file(root, path, buffer, size, true);
}

ssize_t rootdir_read_line(const RootDir *root, const char *path, char *buffer, size_t size) {
        ssize_t length = read_file(root, path, buffer, size, false);

        if (length > 0 && buffer[length - 1] == '\n')
                buffer[--length] = '\0';
        return length;
}

ssize_t rootdir_readlink(const RootDir *root, const char *path, char *buffer, size_t size) {
        ssize_t n;

        assert(root);
        assert(path);
        assert(buffer);
        assert(size > 0);

        if (!path_stays_below(path))
                return -EINVAL;
        n = readlinkat(root->fd, path, buffer, size);
        if (n < 0)
                return -errno;
        if ((size_t) n == size)
                return -EFBIG;
        buffer[n] = '\0';
        return n;
}

int rootdir_inode(const RootDir *root, const char *path, uint64_t *ret) {
        struct stat st;

        assert(root);
        assert(path);
        assert(ret);

        if (!path_stays_below(path))
                return -EINVAL;
        if (fstatat(root->fd, path, &st, 0) < 0)
                return -errno;
        if (!S_ISDIR(st.st_mode))
                return -ENOTDIR;
        *ret = st.st_ino;
        return 0;
}

int rootdir_write(const RootDir *root, const char *path, const char *text) {
        _cleanup_close_ int fd = -EBADF;
        size_t size;
        ssize_t n;

        assert(text);

        fd = rootdir_open(root, path, O_WRONLY | O_NOCTTY);
        if (fd < 0)
                return fd;

        /* One write, never resumed: sysfs takes each write(2) as a command of its own. */
        size = strlen(text);
        n = write(fd, text, size);
        if (n < 0)
                return -errno;
        return (size_t) n == size ? 0 : -EIO;
}
