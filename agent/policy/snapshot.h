/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the kernel says at one instant, as a plain value: the only input of the agent's pure core.
 * Every signal may be missing; has says which are there. Counters are cumulative since boot.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/units.h"

typedef enum SnapshotHas {
        SNAPSHOT_HAS_MEMINFO = 1 << 0,
        SNAPSHOT_HAS_PSI = 1 << 1,
        SNAPSHOT_HAS_VMSTAT = 1 << 2,
        SNAPSHOT_HAS_ZONES = 1 << 3,
        SNAPSHOT_HAS_CGROUPS = 1 << 4, /* of the same moment as vmstat */
        SNAPSHOT_HAS_HELD = 1 << 5,    /* of the same text as meminfo; while memory is on its way out */
} SnapshotHas;

typedef struct Snapshot {
        uint64_t now_usec; /* CLOCK_MONOTONIC of the read */
        unsigned has;      /* SnapshotHas: what was read in this sample; other fields keep their last value */

        /* /proc/meminfo, bytes */
        uint64_t total_bytes, available_bytes, free_bytes;
        uint64_t active_file_bytes, inactive_file_bytes;
        uint64_t swap_total_bytes, swap_free_bytes, swap_cached_bytes;
        uint64_t zram_used_bytes; /* mem_used of zram devices that carry swap; 0 if none */
        /* What is neither free nor cache by the kernel's own account: programs', slab, page tables.. */
        uint64_t held_bytes;

        /* Of a block that the agent takes offline just now: it may be missing in available and not yet in total. 0 = none. */
        uint64_t offlining_bytes;

        /* The balloon: its size, and whether that is still counted in MemTotal (DEFLATE_ON_OOM). */
        uint64_t balloon_bytes;
        bool balloon_in_total;

        /* /proc/pressure/memory, total= in usec; psi_triggered: the some 50ms/500ms trigger fired since the last sample */
        uint64_t psi_some_usec, psi_full_usec;
        bool psi_triggered;
        uint64_t psi_io_some_usec;

        /* /proc/vmstat, events or pages as the kernel counts them */
        uint64_t pgscan_kswapd, pgscan_direct, allocstall;
        uint64_t pswpin, pswpout;
        uint64_t workingset_refault, workingset_activate; /* file + anon, pages */
        uint64_t oom_kill;

        /*
         * The same four of the cgroups that stand at their own limit, summed. What a cgroup did before a walk
         * first saw it is left out, so they say something from one walk to the next only.
         */
        uint64_t contained_refault, contained_activate, contained_pswpin, contained_pswpout;
        unsigned n_contained; /* how many cgroups stand there now */
        unsigned n_limited;   /* how many have a limit at all */
        bool contained_lost; /* since the last walk one of them has gone, and what it did last is not known */

        bool lru_gen; /* MGLRU is on */

        /* /proc/zoneinfo, bytes: kernel zones DMA32 + Normal, and Movable */
        uint64_t kernel_free_bytes, kernel_high_bytes, kernel_low_bytes, kernel_file_bytes,
                kernel_managed_bytes;
        uint64_t movable_managed_bytes;
        uint64_t slab_reclaimable_bytes; /* of meminfo */

        uint64_t page_size_bytes;
} Snapshot;

/* Memory that the guest really has: MemTotal less balloon pages that are still counted in it. */
static inline uint64_t snapshot_usable_bytes(const Snapshot *s) {
        return s->balloon_in_total ? u64_sub(s->total_bytes, s->balloon_bytes) : s->total_bytes;
}

/* U of shrink.md S6: what cannot be reclaimed; moves with the workload and not with a resize. */
static inline uint64_t snapshot_used_bytes(const Snapshot *s) {
        return u64_sub(snapshot_usable_bytes(s), s->available_bytes);
}
