/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A file of each VM and not one table: it is written when somebody asks, read when a VM appears, and a damaged one costs
 * that hold alone. It is not synced to disk: a crash of the host ends the boot, and with it every hold.
 */

#include "host-bridge/hold-file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-id128.h>

#include "common/macro.h"
#include "common/parse.h"

#define LINE_SIZE (SD_ID128_STRING_MAX + 24)

static int path_of(const char *runtime_dir, const char *vm, const char *suffix, char *path, size_t size) {
        int n = snprintf(path, size, "%s/holds/%s%s", runtime_dir, vm, suffix);

        return n < 0 || (size_t) n >= size ? -ENAMETOOLONG : 0;
}

static int boot_id(char ret[static SD_ID128_STRING_MAX]) {
        sd_id128_t id;
        int r;

        r = sd_id128_get_boot(&id);
        if (r < 0)
                return r;
        (void) sd_id128_to_string(id, ret);
        return 0;
}

static int write_line(const char *path, const char *line) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        size_t length = strlen(line);
        ssize_t n;

        if (fd < 0)
                return -errno;
        n = write(fd, line, length);
        if (n < 0)
                return -errno;
        return (size_t) n == length ? 0 : -EIO;
}

int hold_file_save(const char *runtime_dir, const char *vm, uint64_t until_usec) {
        char folder[4096], path[4096], temporary[4096], boot[SD_ID128_STRING_MAX], line[LINE_SIZE];
        int r;

        assert(runtime_dir);
        assert(vm);

        /* No VM's name begins with a dot. */
        r = path_of(runtime_dir, "", "", folder, sizeof(folder));
        if (r >= 0)
                r = path_of(runtime_dir, ".new-", vm, temporary, sizeof(temporary));
        if (r >= 0)
                r = path_of(runtime_dir, vm, "", path, sizeof(path));
        if (r >= 0)
                r = boot_id(boot);
        if (r < 0)
                return r;
        if (mkdir(folder, 0700) < 0 && errno != EEXIST)
                return -errno;
        (void) snprintf(line, sizeof(line), "%s %" PRIu64 "\n", boot, until_usec);
        r = write_line(temporary, line);
        if (r >= 0 && rename(temporary, path) < 0)
                r = -errno;
        if (r < 0)
                (void) unlink(temporary);
        return r;
}

int hold_file_remove(const char *runtime_dir, const char *vm) {
        char path[4096];
        int r;

        r = path_of(runtime_dir, vm, "", path, sizeof(path));
        if (r < 0)
                return r;
        return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

uint64_t hold_file_load(const char *runtime_dir, const char *vm) {
        char path[4096], line[LINE_SIZE], boot[SD_ID128_STRING_MAX], *until;
        _cleanup_close_ int fd = -EBADF;
        uint64_t until_usec;
        ssize_t n;

        if (path_of(runtime_dir, vm, "", path, sizeof(path)) < 0 || boot_id(boot) < 0)
                return 0;
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        n = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
        if (n <= 0)
                return 0;
        line[n] = '\0';
        until = strchr(line, ' ');
        if (!until)
                return 0;
        *until++ = '\0';
        n = (ssize_t) strcspn(until, "\n");
        if (strcmp(line, boot) != 0 || until[n] != '\n' || parse_u64(until, (size_t) n, &until_usec) < 0)
                return 0;
        return until_usec;
}
