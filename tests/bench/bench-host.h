/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A host that costs its guest nothing: a child that listens, welcomes, and reads all that comes. */

/*
 * Listens on a new socket at path, in a child that dies with us.
 * Returns 0 once agents can connect, or -errno.
 */
int bench_host_start(const char *path);
