/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The key is the channel's socket, by device and inode: each VM has one agent, both bridges find it by that socket
 * under whatever name and link, and which monitor they command does not matter. Rejected: the VM's name, which each folder
 * and file may choose anew; a lock on the socket itself, which can not be opened; its process, which two sockets that were
 * handed to QEMU do not tell; an abstract socket, which a network namespace of the bridge's own would hide, and which anybody
 * may take.
 *
 * All locks are on one file, a byte for each key (fcntl(2), open file description locks). Rejected: a locked file per VM, as
 * once was: where the descriptors ran out, leases of VMs that could not be connected to held the last of them for ever. Who
 * holds a lease stands in a file beside; one that is left behind means nothing, since only the lock counts.
 */

#include "host-bridge/lease.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_SIZE  4096
#define LOCKS_NAME "locks"

/* A key has 63 bits, the sign being the offset's. No file system counts inodes so far that these do not do. */
#define INODE_BITS 42U

struct Leases {
        char *folder;
        int fd; /* of the file of locks; -EBADF: none was taken yet */
};

int leases_new(const char *folder, Leases **ret) {
        Leases *leases;

        assert(folder);
        assert(ret);

        leases = malloc(sizeof(*leases));
        if (!leases)
                return -ENOMEM;
        *leases = (Leases){.folder = strdup(folder), .fd = -EBADF};
        if (!leases->folder) {
                free(leases);
                return -ENOMEM;
        }
        *ret = leases;
        return 0;
}

Leases *leases_free(Leases *leases) {
        if (!leases)
                return NULL;
        (void) safe_close(leases->fd);
        free(leases->folder);
        free(leases);
        return NULL;
}

const char *leases_folder(const Leases *leases) {
        assert(leases);
        return leases->folder;
}

/* -- the lock -------------------------------------------------------------------------------------- */

static int open_locks(Leases *leases) {
        char path[PATH_SIZE];

        if (leases->fd >= 0)
                return 0;
        if (mkdir(leases->folder, 0700) < 0 && errno != EEXIST)
                return -errno;
        if (snprintf(path, sizeof(path), "%s/" LOCKS_NAME, leases->folder) >= (int) sizeof(path))
                return -ENAMETOOLONG;
        leases->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
        return leases->fd < 0 ? -errno : 0;
}

static int set_lock(const Leases *leases, const Lease *lease, short type) {
        uint64_t inode = lease->inode & ((UINT64_C(1) << INODE_BITS) - 1),
                 key = ((uint64_t) lease->device << INODE_BITS | inode) & INT64_MAX;
        struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t) key, .l_len = 1};

        return fcntl(leases->fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

/* -- the holder ------------------------------------------------------------------------------------ */

static bool path_of(const Leases *leases, const Lease *lease, char path[static PATH_SIZE]) {
        return snprintf(path, PATH_SIZE, "%s/%" PRIxMAX "-%" PRIuMAX, leases->folder,
                        (uintmax_t) lease->device, (uintmax_t) lease->inode) < PATH_SIZE;
}

/* Where it fails the others will not know whom to ask. */
static void write_holder(const Leases *leases, const Lease *lease, const char *who) {
        _cleanup_close_ int fd = -EBADF;
        char path[PATH_SIZE];

        if (path_of(leases, lease, path))
                fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
        if (fd >= 0)
                (void) dprintf(fd, "%s", who);
}

static void read_holder(const Leases *leases, const Lease *lease, char holder[static LEASE_HOLDER_MAX]) {
        _cleanup_close_ int fd = -EBADF;
        char path[PATH_SIZE];
        ssize_t n = 0;

        if (path_of(leases, lease, path))
                fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd >= 0)
                n = read(fd, holder, LEASE_HOLDER_MAX - 1);
        holder[n > 0 ? n : 0] = '\0';
        holder[strcspn(holder, "\n")] = '\0';
        for (char *c = holder; *c != '\0'; c++)
                if (!isprint((unsigned char) *c))
                        *c = '?';
        if (holder[0] == '\0')
                (void) snprintf(holder, LEASE_HOLDER_MAX, "another process");
}

/* -- the lease ------------------------------------------------------------------------------------- */

void lease_drop(Leases *leases, Lease *lease) {
        char path[PATH_SIZE];

        assert(lease);

        if (!lease->held)
                return;
        assert(leases);
        if (path_of(leases, lease, path)) /* while it is ours */
                (void) unlink(path);
        (void) set_lock(leases, lease, F_UNLCK);
        lease->held = false;
}

int lease_take(Leases *leases, Lease *lease, const char *path, const char *who,
               char holder[static LEASE_HOLDER_MAX]) {
        struct stat st;
        int r;

        assert(leases);
        assert(lease);
        assert(path);
        assert(who);

        if (stat(path, &st) < 0)
                return -ENOTSOCK;
        if (lease->held && lease->device == st.st_dev && lease->inode == st.st_ino)
                return 0;
        lease_drop(leases, lease); /* of a VM that was there before */
        lease->device = st.st_dev;
        lease->inode = st.st_ino;
        r = open_locks(leases);
        if (r >= 0)
                r = set_lock(leases, lease, F_WRLCK);
        if (r == -EAGAIN || r == -EACCES) {
                read_holder(leases, lease, holder);
                return -EBUSY;
        }
        if (r < 0)
                return r;
        lease->held = true;
        write_holder(leases, lease, who);
        return 0;
}
