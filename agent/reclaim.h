/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Frees memory by the root cgroup's memory.reclaim (Linux 5.19), in a thread of its own: the write
 * returns when the work is done, 40 to 130 ms per 64 MiB (measured), and the loop has to go on sampling.
 */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/macro.h"
#include "common/rootdir.h"

typedef struct Reclaim Reclaim;

/* The work is over, whole or not: what it brought is read from MemFree. The reclaim may not be freed inside. */
typedef void (*ReclaimHandler)(void *userdata);

/* Returns 0, -ENOENT where there is no memory.reclaim, or -errno. root is borrowed for the call. */
int reclaim_new(sd_event *event, const RootDir *root, ReclaimHandler handler, void *userdata, Reclaim **ret);
/* Whether there would be one: 0, or why not as above. */
int reclaim_probe(const RootDir *root);

Reclaim *reclaim_free(Reclaim *reclaim);
DEFINE_CLEANUP_FUNC(Reclaim, reclaim_free)

/* Asks for bytes until deadline_usec (CLOCK_MONOTONIC). Returns 0, or -EBUSY while earlier work goes on. */
int reclaim_start(Reclaim *reclaim, uint64_t bytes, uint64_t deadline_usec);

/* Ends the work soon; the handler is called as ever. */
void reclaim_cancel(Reclaim *reclaim);
