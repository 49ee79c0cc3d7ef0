/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the kernel says now, as a Snapshot. Descriptors are opened once; a read allocates nothing. The
 * sampler only reads: when to read is its owner's business.
 */

#include <stddef.h>
#include <stdint.h>

#include "agent/policy/snapshot.h"
#include "agent/policy/zone.h"
#include "common/macro.h"
#include "common/rootdir.h"
#include "common/vocabulary.h"

typedef struct Sampler Sampler;

/* A kernel facility that is not there, for Hello. */
typedef struct MissingFacility {
        Facility facility;
        int error; /* errno, positive */
} MissingFacility;

/*
 * Opens what there is below root; what there is not is logged and listed, never an error. root is borrowed
 * for the sampler's life. Returns 0 or -errno.
 */
int sampler_new(const RootDir *root, Sampler **ret);
Sampler *sampler_free(Sampler *sampler);
DEFINE_CLEANUP_FUNC(Sampler, sampler_free)

/*
 * Reads what (bits of SnapshotHas) and fills *ret whole: has says what could be read now, the other
 * fields have their last value. psi_triggered is always false: the owner knows. A source that fails costs
 * its own signal alone and is logged once. Where only vmstat knows a balloon that MemTotal hides, a read of
 * meminfo reads vmstat too.
 */
void sampler_read(Sampler *sampler, unsigned what, Snapshot *ret);

/* Present memory by zone, of the last read with SNAPSHOT_HAS_ZONES; zero before it. */
ZoneBalance sampler_zone_balance(const Sampler *sampler);

/* Borrowed until the next sampler_read(). Returns how many. */
size_t sampler_missing(const Sampler *sampler, const MissingFacility **ret);

/* Capability bits: those of machine_capabilities(), PSI totals and swap. */
uint64_t sampler_capabilities(const Sampler *sampler);
