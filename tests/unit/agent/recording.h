/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Recordings as snapshots: those of tests/fixtures/recordings, unpacked, which are raw counters, and those of
 * memtide-agent --record, which have the agent's own decisions beside them.
 */

#include <stdbool.h>
#include <stdio.h>

#include "agent/policy/snapshot.h"
#include "agent/recorder.h"

#define RECORDING_COLUMNS_MAX 128U

typedef struct Recording {
        FILE *file;
        unsigned n_columns;
        int field_of[RECORDING_COLUMNS_MAX]; /* index into the table of recording.c, -1: of no use here */
        uint64_t triggers;                   /* so far */
        bool started;
        bool is_agents;  /* field_of: index into recorder_columns */
        RecorderRow row; /* of the agent's, the last one */
} Recording;

/* Opens folder/name.csv, or a path. Fails the test if it is not there or lacks a column. */
void recording_open(Recording *recording, const char *folder, const char *name);
void recording_open_path(Recording *recording, const char *path);
void recording_close(Recording *recording);

/* The next row, with everything in it. Returns false at the end. */
bool recording_next(Recording *recording, Snapshot *ret);

/*
 * Runs the estimator over a recording of the agent's. Returns how many samples it was; fails the test at the first decision
 * that is not the recorded one, and where rows are missing.
 */
unsigned recording_replay(const char *path);
