/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the host itself has. */

#include <stdint.h>

#include "common/rootdir.h"

/* MemTotal of /proc/meminfo below root. Returns 0, -EBADMSG if there is no such line, or -errno. */
int host_memory_total(const RootDir *root, uint64_t *ret_bytes);

/* What a host with total_bytes keeps for itself unless the operator says otherwise: 4 %, at least 2 GiB. Pure. */
uint64_t host_reserve_auto(uint64_t total_bytes);
