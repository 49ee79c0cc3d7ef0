/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Who resizes a VM: one bridge of this host, whatever runtime folder it has. A lock that goes with its process, however that
 * ends, at the number of the socket of the VM's channel.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "common/macro.h"

#define LEASE_HOLDER_MAX 160U

/* All leases of a bridge: one descriptor, however many VMs it has. */
typedef struct Leases Leases;

typedef struct Lease {
        bool held;
        dev_t device;
        ino_t inode;
} Lease;

/* folder is made when the first lease is taken. Returns 0 or -ENOMEM. */
int leases_new(const char *folder, Leases **ret);

/* Lets go of what is held still. */
Leases *leases_free(Leases *leases);
DEFINE_CLEANUP_FUNC(Leases, leases_free)

const char *leases_folder(const Leases *leases);

/*
 * Takes, or keeps, the lease of the VM whose channel's socket is at path. who is written down for others to read.
 * Returns 0 (held), -EBUSY with holder filled (printable) if another process has it, -ENOTSOCK if there is no such socket
 * (nothing changes), or -errno when the folder is of no use (nothing is held then).
 */
int lease_take(Leases *leases, Lease *lease, const char *path, const char *who,
               char holder[static LEASE_HOLDER_MAX]);

/* Does nothing where it is not held; leases may be NULL then. */
void lease_drop(Leases *leases, Lease *lease);
