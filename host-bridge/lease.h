/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Who resizes a VM: one bridge of this host, whatever runtime folder it has. A lock that goes with its process, however that
 * ends, on a file named after the socket of the VM's channel.
 */

#include <sys/types.h>

#define LEASE_HOLDER_MAX 160U

typedef struct Lease {
        int fd; /* -EBADF: not held */
        dev_t device;
        ino_t inode;
} Lease;

/*
 * Takes, or keeps, the lease of the VM whose channel's socket is at path. who is written down for others to read.
 * Returns 0 (held), -EBUSY with holder filled (printable) if another process has it, -ENOTSOCK if there is no such socket
 * (nothing changes), or -errno when folder is of no use (nothing is held then).
 */
int lease_take(Lease *lease, const char *folder, const char *path, const char *who,
               char holder[static LEASE_HOLDER_MAX]);

void lease_drop(Lease *lease, const char *folder);
