/* SPDX-License-Identifier: Apache-2.0 */

/*
 * In a file of its own, for the agent: it connects but has no streams, and their shared input (stream.c) would be 16 KiB that
 * each of its threads zeroes at start.
 */

#include <assert.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/macro.h"
#include "common/stream.h"

int stream_connect_unix(const char *path) {
        _cleanup_close_ int fd = -EBADF;
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        size_t length;

        assert(path);

        length = strlen(path);
        if (length == 0)
                return -ENOENT;
        if (length >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, length);

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;

        /* A Unix socket connects at once or not at all; a full backlog is EAGAIN, for the caller to try later. */
        if (connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;
        return TAKE_FD(fd);
}
