/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * /proc/meminfo, /proc/vmstat and /proc/zoneinfo as values: pure over (pointer, size), by name, in one
 * pass. The order of the keys is learnt with the first text and expected from then on; a text in
 * another order is searched, and its order learnt.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/policy/snapshot.h"
#include "agent/policy/zone.h"

typedef enum MeminfoKey {
        MEMINFO_TOTAL,
        MEMINFO_FREE,
        MEMINFO_AVAILABLE,
        MEMINFO_SWAP_CACHED,
        MEMINFO_ACTIVE_FILE,
        MEMINFO_INACTIVE_FILE,
        MEMINFO_SWAP_TOTAL,
        MEMINFO_SWAP_FREE,
        MEMINFO_SLAB_RECLAIMABLE,
        MEMINFO_BALLOON, /* Linux 6.16 */
        MEMINFO_KEY_MAX,
} MeminfoKey;

/* Of meminfo as well: who has what is neither free nor cache. */
typedef enum HeldKey {
        HELD_ACTIVE_ANON,
        HELD_INACTIVE_ANON,
        HELD_UNEVICTABLE,
        HELD_SLAB,
        HELD_KERNEL_STACK,
        HELD_PAGE_TABLES,
        HELD_SECOND_PAGE_TABLES, /* Linux 6.1 */
        HELD_VMALLOC,
        HELD_PERCPU,
        HELD_HUGETLB,
        HELD_KEY_MAX,
} HeldKey;

typedef enum VmstatKey {
        VMSTAT_PGSCAN_KSWAPD,
        VMSTAT_PGSCAN_DIRECT,
        VMSTAT_ALLOCSTALL_DMA, /* each only where the kernel has the zone */
        VMSTAT_ALLOCSTALL_DMA32,
        VMSTAT_ALLOCSTALL_NORMAL,
        VMSTAT_ALLOCSTALL_MOVABLE,
        VMSTAT_PSWPIN,
        VMSTAT_PSWPOUT,
        VMSTAT_REFAULT_ANON,
        VMSTAT_REFAULT_FILE,
        VMSTAT_ACTIVATE_ANON,
        VMSTAT_ACTIVATE_FILE,
        VMSTAT_OOM_KILL,
        VMSTAT_BALLOON_INFLATE, /* each only where the kernel has a balloon driver */
        VMSTAT_BALLOON_DEFLATE,
        VMSTAT_KEY_MAX,
} VmstatKey;

#define COUNTERS_KEYS_MAX 16U

typedef struct CountersKey {
        const char *name; /* "MemTotal" */
        bool optional;    /* a kernel may rightly lack it */
} CountersKey;

typedef struct CountersTable {
        const CountersKey *keys;
        size_t n_keys;
        const char *after_name; /* what stands between name and value, before blanks: ":" or "" */
        const char *unit;       /* what stands after the value: " kB" or "" */
        uint64_t unit_bytes;    /* one unit in what the values are in */
        uint64_t value_max;     /* a larger value is malformed */
} CountersTable;

extern const CountersTable counters_meminfo; /* values in bytes, by MeminfoKey */
extern const CountersTable counters_held;    /* the same, by HeldKey */
extern const CountersTable counters_vmstat;  /* values as the kernel counts, by VmstatKey */

/* One file's values. Embedded by the caller, zero-initialised. */
typedef struct Counters {
        uint64_t value[COUNTERS_KEYS_MAX];
        uint32_t found; /* bit i: key i stood in the last text, well formed; else its value is 0 */
        uint8_t order[COUNTERS_KEYS_MAX]; /* of the text learnt from */
        uint8_t n_order;
        uint32_t unlearnt; /* keys that it did not have */
} Counters;

/* Reads one text. Returns the keys that should be there and are not (missing or malformed), as bits. */
uint32_t counters_parse(Counters *counters, const CountersTable *table, const char *text, size_t size);

static inline bool counters_has(const Counters *counters, unsigned key) {
        return counters->found & (UINT32_C(1) << key);
}

/* Copies into the snapshot, which keeps what the text does not have. Returns false if the text lacks what every use needs. */
bool counters_fill_meminfo(const Counters *meminfo, Snapshot *snapshot);
bool counters_fill_held(const Counters *held, Snapshot *snapshot);
bool counters_fill_vmstat(const Counters *vmstat, Snapshot *snapshot);

/*
 * Sums /proc/zoneinfo over the nodes: kernel zones, Movable, and in balance what is present. A
 * ZONE_DMA of 16 MiB (ISA) is the kernel's last reserve and no part of the snapshot; a larger one (arm64) is.
 * Returns 0, or -EINVAL with the outputs untouched if no zone could be read. balance may be NULL.
 */
int zoneinfo_parse(const char *text, size_t size, uint64_t page_size_bytes, Snapshot *snapshot,
                   ZoneBalance *ret_balance);
