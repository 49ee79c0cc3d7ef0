/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The runtime folder: made, and held by one bridge. */

/*
 * Makes dir and dir/vms (0750) unless they exist. Returns 0, -ENAMETOOLONG if the sockets in it would have too long a
 * path, or -errno.
 */
int runtime_prepare(const char *dir);

/*
 * Takes dir/bridge.lock. Returns a descriptor that holds it as long as it is open and is the caller's, -EBUSY if another
 * process holds it (logged, with its process id), or -errno.
 */
int runtime_lock(const char *dir);
