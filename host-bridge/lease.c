/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The key is the channel's socket, by device and inode: each VM has one agent, both bridges find it by that socket
 * under whatever name and link, and which monitor they command does not matter. Rejected: the VM's name, which each folder
 * and file may choose anew; a lock on the socket itself, which can not be opened; its process, which two sockets that were
 * handed to QEMU do not tell; an abstract socket, which a network namespace of the bridge's own would hide, and which anybody
 * may take.
 *
 * A file that is left behind means nothing, since only the lock counts. Whoever lets go removes it while it holds the lock,
 * so a lock on a file that has no name any more is one on nothing, and is taken anew.
 */

#include "host-bridge/lease.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "common/macro.h"

#define PATH_SIZE 4096
#define TRIES_MAX 8 /* others let go at the same moment */

static int path_of(const Lease *lease, const char *folder, char path[static PATH_SIZE]) {
        int n = snprintf(path, PATH_SIZE, "%s/%" PRIxMAX "-%" PRIuMAX, folder, (uintmax_t) lease->device,
                         (uintmax_t) lease->inode);

        return n >= PATH_SIZE ? -ENAMETOOLONG : 0;
}

void lease_drop(Lease *lease, const char *folder) {
        char path[PATH_SIZE];

        assert(lease);

        if (lease->fd < 0)
                return;
        assert(folder);
        if (path_of(lease, folder, path) >= 0)
                (void) unlink(path);
        lease->fd = safe_close(lease->fd);
}

static void read_holder(int fd, char holder[static LEASE_HOLDER_MAX]) {
        ssize_t n = pread(fd, holder, LEASE_HOLDER_MAX - 1, 0);

        holder[n > 0 ? n : 0] = '\0';
        holder[strcspn(holder, "\n")] = '\0';
        for (char *c = holder; *c != '\0'; c++)
                if (!isprint((unsigned char) *c))
                        *c = '?';
        if (holder[0] == '\0')
                (void) snprintf(holder, LEASE_HOLDER_MAX, "another process");
}

/* Returns a descriptor that is the caller's, -EBUSY with holder filled, -EAGAIN, or -errno. */
static int try_to_lock(const char *path, char holder[static LEASE_HOLDER_MAX]) {
        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
        struct stat st;

        if (fd < 0)
                return -errno;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno != EWOULDBLOCK)
                        return -errno;
                read_holder(fd, holder);
                return -EBUSY;
        }
        if (fstat(fd, &st) < 0)
                return -errno;
        return st.st_nlink > 0 ? TAKE_FD(fd) : -EAGAIN;
}

static int lock(const char *folder, const char *path, char holder[static LEASE_HOLDER_MAX]) {
        int fd = -EAGAIN;

        if (mkdir(folder, 0700) < 0 && errno != EEXIST)
                return -errno;
        for (unsigned i = 0; i < TRIES_MAX && fd == -EAGAIN; i++)
                fd = try_to_lock(path, holder);
        return fd;
}

int lease_take(Lease *lease, const char *folder, const char *path, const char *who,
               char holder[static LEASE_HOLDER_MAX]) {
        char file[PATH_SIZE];
        struct stat st;
        size_t length;
        int r;

        assert(lease);
        assert(folder);
        assert(path);
        assert(who);

        if (stat(path, &st) < 0)
                return -ENOTSOCK;
        if (lease->fd >= 0 && lease->device == st.st_dev && lease->inode == st.st_ino)
                return 0;
        lease_drop(lease, folder); /* of a VM that was there before */
        lease->device = st.st_dev;
        lease->inode = st.st_ino;
        r = path_of(lease, folder, file);
        if (r < 0)
                return r;
        lease->fd = lock(folder, file, holder);
        if (lease->fd < 0) {
                r = lease->fd;
                lease->fd = -EBADF;
                return r;
        }
        length = strlen(who);
        if (ftruncate(lease->fd, 0) < 0 || pwrite(lease->fd, who, length, 0) != (ssize_t) length)
                return 0; /* the others will not know whom to ask */
        return 0;
}
