/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where the way to the host is on this machine, and the one attempt to open it. */

#include <stdbool.h>

#include "common/rootdir.h"

typedef struct PortFound {
        int fd;      /* non-blocking, owned by the caller */
        bool socket; /* a Unix socket: at its end of file it has to be connected anew */
} PortFound;

/*
 * Opens path (of this machine, not below the root), or with path NULL the virtio-serial port
 * MESSAGE_PORT_NAME below root: dev/virtio-ports/NAME, else the node that sys/class/virtio-ports names.
 * Returns 0, -ENOENT if there is no such port, -EBUSY if somebody else has it open, or -errno.
 */
int port_find(const RootDir *root, const char *path, PortFound *ret);
