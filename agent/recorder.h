/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * --record: what each sample saw and what the estimator made of it, as a line of comma-separated values, to be replayed
 * later: tests/unit/agent/recording.h reads it. Beside the loop, and never in its way: see recorder.c.
 */

#include <stdint.h>
#include <systemd/sd-event.h>

#include "agent/policy/demand.h"
#include "agent/policy/snapshot.h"
#include "common/macro.h"

typedef struct Recorder Recorder;

/* One sample: what demand_step() was given, and its answer. */
typedef struct RecorderRow {
        DemandConfig config;
        Snapshot snapshot;
        Demand demand;
        uint64_t n_dropped; /* rows so far that found no room: a replay over a gap is none */
} RecorderRow;

typedef enum RecorderType { RECORDER_U64, RECORDER_I64, RECORDER_UNSIGNED, RECORDER_BOOL } RecorderType;

/* The columns, in order; offset into RecorderRow. For whoever reads a recording. */
typedef struct RecorderColumn {
        const char *name;
        size_t offset;
        RecorderType type;
        bool is_decision;
} RecorderColumn;
extern const RecorderColumn recorder_columns[];
extern const size_t recorder_n_columns;

/* Opens path anew. A FIFO without a reader is -ENXIO. Returns 0 or -errno. */
int recorder_new(sd_event *event, const char *path, Recorder **ret);

/* Writes what is still kept, if the file takes it at once. */
Recorder *recorder_free(Recorder *recorder);
DEFINE_CLEANUP_FUNC(Recorder, recorder_free)

/* Keeps the row to be written. Allocates nothing, and does not block; recorder NULL: nothing. */
void recorder_take(Recorder *recorder, const DemandConfig *config, const Snapshot *snapshot,
                   const Demand *demand);
