/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The root under which /proc, /sys, /dev and /etc are looked up: "/" in production, a fixture tree
 * in tests, another machine's dump for diagnosis. Paths are relative to it ("proc/meminfo").
 */

#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/macro.h"

typedef struct RootDir RootDir;

/* Opens path ("/" for the real machine). Returns 0 or -errno; *ret is freed by rootdir_free(). */
int rootdir_new(const char *path, RootDir **ret);
RootDir *rootdir_free(RootDir *root);
DEFINE_CLEANUP_FUNC(RootDir, rootdir_free)

/* The path given to rootdir_new(), for messages. Borrowed. */
const char *rootdir_path(const RootDir *root);

/* openat() below the root with O_CLOEXEC added. Returns a descriptor that the caller owns, or -errno. */
int rootdir_open(const RootDir *root, const char *path, int flags);

/* Opens a folder for readdir(). Returns 0 or -errno; *ret is closed by closedir(), or by _cleanup_(closedirp). */
int rootdir_opendir(const RootDir *root, const char *path, DIR **ret);

static inline void closedirp(DIR **dir) {
        if (*dir)
                (void) closedir(*dir);
}

/*
 * Calls each() for every entry of a folder, in the kernel's own order, until it returns something other than 0. Nothing
 * is allocated. Returns what each() did, 0, or -errno.
 */
typedef int (*RootDirEach)(const char *name, uint64_t inode, void *userdata);
int rootdir_list(const RootDir *root, const char *path, RootDirEach each, void *userdata);

/*
 * Reads a small virtual file whole and NUL-terminates it.
 * Returns its length, -EFBIG if it does not fit into size - 1 bytes, or -errno.
 */
ssize_t rootdir_read(const RootDir *root, const char *path, char *buffer, size_t size);

/* The same of a file that is one line, with one trailing newline removed. */
ssize_t rootdir_read_line(const RootDir *root, const char *path, char *buffer, size_t size);

/* The same over a descriptor kept open: pread() from offset 0, nothing allocated. */
ssize_t rootdir_pread(int fd, char *buffer, size_t size);

/*
 * Where a symbolic link leads, NUL-terminated.
 * Returns its length, -EINVAL if path is no link, -EFBIG if it does not fit, or -errno.
 */
ssize_t rootdir_readlink(const RootDir *root, const char *path, char *buffer, size_t size);

/* The inode of a folder. Returns 0 or -errno. */
int rootdir_inode(const RootDir *root, const char *path, uint64_t *ret);

/* Writes text in one write(2). Returns 0 or -errno (-EIO for a short write). */
int rootdir_write(const RootDir *root, const char *path, const char *text);
