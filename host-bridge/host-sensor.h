/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the host itself has, and how it and the hypervisors on it fare. */

#include <stdint.h>

#include "common/rootdir.h"

/* MemTotal of /proc/meminfo below root. Returns 0, -EBADMSG if there is no such line, or -errno. */
int host_memory_total(const RootDir *root, uint64_t *ret_bytes);

/* "some total" of a PSI file below root. Returns 0, -EBADMSG if there is no such figure, or -errno. */
int host_pressure_read(const RootDir *root, const char *path, uint64_t *ret_some_usec);

#define HOST_PATH_MAX 512U

/*
 * The memory.pressure of the cgroup (v2) that process pid is in, below root. Returns 0, -EINVAL if the process is no QEMU (a
 * monitor's socket may have been made by somebody else), -ENOENT without cgroup v2, or -errno.
 */
int host_cgroup_pressure_path(const RootDir *root, int pid, char ret[static HOST_PATH_MAX]);

/* What a host with total_bytes keeps for itself unless the operator says otherwise: 4 %, at least 2 GiB. Pure. */
uint64_t host_reserve_auto(uint64_t total_bytes);
