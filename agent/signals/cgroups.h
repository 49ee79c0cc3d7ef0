/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What cgroups do at their own memory.max or memory.high, to be taken off the root's counters. Embedded by the sampler;
 * a walk allocates nothing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/policy/snapshot.h"
#include "agent/signals/counters.h"
#include "common/rootdir.h"

#define CGROUPS_MAX       256U /* looked at in one walk */
#define CGROUPS_DEPTH_MAX 5U   /* kubepods.slice/kubepods-burstable.slice/pod/container is four */

/* The counters of memory.stat that are summed, in pages. */
typedef enum CgroupKey {
        CGROUP_REFAULT_ANON,
        CGROUP_REFAULT_FILE,
        CGROUP_ACTIVATE_ANON,
        CGROUP_ACTIVATE_FILE,
        CGROUP_PSWPIN, /* Linux 6.12; before it the refaults of anonymous memory and memory.swap.current stand in */
        CGROUP_PSWPOUT,
        CGROUP_KEY_MAX,
} CgroupKey;

typedef struct CgroupFlows {
        uint64_t refault, activate, pswpin, pswpout;
} CgroupFlows;

typedef struct Cgroup {
        uint64_t inode;         /* 0: a free place */
        unsigned walk;          /* that last saw it */
        bool known;             /* flows are of that walk */
        bool contained;         /* at its limit then */
        uint64_t thrashed_usec; /* when it last did at its limit; 0 = never */
        uint64_t thrashed_limit_bytes;
        CgroupFlows flows;
} Cgroup;

typedef struct Cgroups {
        int fd; /* of the root of the hierarchy */
        unsigned walk;
        bool whole;           /* the last walk saw all there was */
        bool named;           /* that there are too many has been logged */
        uint64_t walked_usec; /* the last walk; 0 = none */
        size_t n_looked_at;
        size_t hint; /* the place after the one that was found last */
        uint64_t page_size_bytes;
        Counters stat;
        Cgroup table[CGROUPS_MAX];
        char text[8192];
        _Alignas(8) char names[CGROUPS_DEPTH_MAX][1024];
} Cgroups;

/* Returns 0, -ENOENT where there is no cgroup v2, -EOPNOTSUPP where memory is not controlled by it, or -errno. */
int cgroups_open(Cgroups *cgroups, const RootDir *root, uint64_t page_size_bytes);
void cgroups_done(Cgroups *cgroups);

/* Adds to the contained fields of the snapshot what came since the last walk. Returns 0 or -errno. */
int cgroups_walk(Cgroups *cgroups, Snapshot *snapshot);
