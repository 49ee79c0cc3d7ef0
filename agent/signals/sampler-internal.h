/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the sample (sampler.c) and its sources (sampler-sources.c) have in common. No other file includes this. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/policy/snapshot.h"
#include "agent/signals/balloon.h"
#include "agent/signals/cgroups.h"
#include "agent/signals/counters.h"
#include "agent/signals/procfile.h"
#include "agent/signals/sampler.h"
#include "agent/signals/zram.h"

#define LRU_GEN_PATH "sys/kernel/mm/lru_gen/enabled"

typedef enum Source {
        SOURCE_MEMINFO,
        SOURCE_PSI,
        SOURCE_PSI_IO,
        SOURCE_VMSTAT,
        SOURCE_ZONEINFO,
        SOURCE_MAX,
} Source;

typedef struct SourceFile {
        const char *path;
        Facility facility;  /* FACILITY_UNSPECIFIED: the agent does as well without it */
        size_t record_most; /* see ProcFile */
} SourceFile;
extern const SourceFile sampler_sources[SOURCE_MAX];

struct Sampler {
        const RootDir *root; /* borrowed */
        ProcRoom room;
        ProcFile files[SOURCE_MAX];
        bool named[SOURCE_MAX]; /* its failure has been logged and listed */

        Counters meminfo, held, vmstat;
        uint32_t keys_named_meminfo, keys_named_held,
                keys_named_vmstat; /* keys whose absence has been logged */
        Zram zram;
        Cgroups cgroups;
        int lru_gen_fd;
        BalloonDevice balloon;
        ZoneBalance balance;
        uint64_t capabilities;
        Snapshot last;

        MissingFacility missing[SOURCE_MAX + 2]; /* and cgroups, and the balloon */
        size_t n_missing;
};

void sampler_add_missing(Sampler *sampler, Facility facility, int error);

/* error: -errno. Says it once per source. */
void sampler_source_failed(Sampler *sampler, Source source, int error);

/*
 * Each reads one source into the snapshot. Returns false, with what the snapshot had kept, where that fails, which has been named
 * once then. what: SnapshotHas, of which meminfo has two, and sets the second in snapshot->has.
 */
bool sampler_read_meminfo(Sampler *sampler, unsigned what, Snapshot *snapshot);
bool sampler_read_vmstat(Sampler *sampler, Snapshot *snapshot);
bool sampler_read_zones(Sampler *sampler, Snapshot *snapshot);
bool sampler_read_psi(Sampler *sampler, Snapshot *snapshot);
void sampler_read_psi_io(Sampler *sampler, Snapshot *snapshot);
void sampler_read_lru_gen(Sampler *sampler, Snapshot *snapshot);
