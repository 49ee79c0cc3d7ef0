/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Who it is that the guest's memory goes to: the heaviest of the top-level cgroups, with what they gained and stalled. For
 * people only; no decision stands on it. A fixed table, and a look allocates and opens nothing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/macro.h"
#include "common/rootdir.h"

#define HEAVIEST_CANDIDATES_MAX 16U
#define HEAVIEST_MAX            4U
#define HEAVIEST_NAME_SIZE      64U

typedef struct HeavyCgroup {
        char name[HEAVIEST_NAME_SIZE]; /* "system.slice", cut where it is longer */
        uint64_t current_bytes;
        int64_t gained_bytes;  /* since the mark */
        uint64_t stalled_usec; /* memory.pressure, some; since the mark */
} HeavyCgroup;

typedef struct Heaviest Heaviest;

/* Returns 0, -ENOENT where there is no cgroup v2, or -errno. root is borrowed. */
int heaviest_new(const RootDir *root, Heaviest **ret);
Heaviest *heaviest_free(Heaviest *heaviest);
DEFINE_CLEANUP_FUNC(Heaviest, heaviest_free)

/* Opens what has come, closes what has gone, and sets the mark that gains are counted from. Not for a guest that is short. */
void heaviest_mark(Heaviest *heaviest, uint64_t now_usec);

/* The heaviest now, heaviest first. Returns how many, and since when in *ret_span_usec. */
size_t heaviest_look(Heaviest *heaviest, uint64_t now_usec, HeavyCgroup ret[static HEAVIEST_MAX],
                     uint64_t *ret_span_usec);
