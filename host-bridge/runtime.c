/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The lock is flock()'s: it goes with the process, however that ends, and a stale file means nothing. The
 * process id in the file is for the message only.
 */

#include "host-bridge/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/log.h"
#include "common/macro.h"

int runtime_prepare(const char *dir) {
        char path[sizeof(((struct sockaddr_un *) NULL)->sun_path)];

        if (snprintf(path, sizeof(path), "%s/vms", dir) >= (int) (sizeof(path) - STRLEN("/N.channel")))
                return -ENAMETOOLONG;
        if (mkdir(dir, 0755) < 0 && errno != EEXIST)
                return -errno;
        if (mkdir(path, 0750) < 0 && errno != EEXIST)
                return -errno;
        return 0;
}

static void log_holder(const char *path, int fd) {
        char text[32];
        ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

        text[n > 0 ? n : 0] = '\0';
        text[strcspn(text, "\n")] = '\0';
        log_error("Another memtide-bridge (process %s) holds %s: two of them would hunt each other",
                  text[0] != '\0' ? text : "unknown", path);
}

int runtime_lock(const char *dir) {
        _cleanup_close_ int fd = -EBADF;
        char path[4096], text[32];
        int n;

        (void) snprintf(path, sizeof(path), "%s/bridge.lock", dir);
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0)
                return -errno;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno != EWOULDBLOCK)
                        return -errno;
                log_holder(path, fd);
                return -EBUSY;
        }

        n = snprintf(text, sizeof(text), "%ld\n", (long) getpid());
        if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t) n, 0) != n)
                (void) log_debug_errno(-errno, "Could not write %s: %m", path);
        return TAKE_FD(fd);
}
