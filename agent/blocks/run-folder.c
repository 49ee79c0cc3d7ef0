/* SPDX-License-Identifier: Apache-2.0 */

/*
 * /run does not outlive a boot where an init cleans up, but it may in a container and over kexec: what matters is keyed to
 * the boot's id as well.
 */

#include "agent/blocks/run-folder.h"

#include <assert.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "common/macro.h"

#define BOOT_ID_PATH "proc/sys/kernel/random/boot_id"

int run_folder_make(const RootDir *root) {
        _cleanup_close_ int fd = -EBADF;

        assert(root);

        fd = rootdir_open(root, "run", O_PATH | O_DIRECTORY);
        if (fd < 0)
                return fd;
        return mkdirat(fd, "memtide", 0755) < 0 && errno != EEXIST ? -errno : 0;
}

int run_folder_remove(const RootDir *root, const char *name) {
        _cleanup_close_ int fd = -EBADF;

        assert(root);
        assert(name);

        fd = rootdir_open(root, RUN_FOLDER, O_PATH | O_DIRECTORY);
        if (fd == -ENOENT)
                return 0;
        if (fd < 0)
                return fd;
        return unlinkat(fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

int run_folder_boot_id(const RootDir *root, char ret[static BOOT_ID_SIZE]) {
        ssize_t n = rootdir_read_line(root, BOOT_ID_PATH, ret, BOOT_ID_SIZE);

        return n < 0 ? (int) n : n == 0 ? -ENODATA : 0;
}
