/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Recordings of raw counters, those of tests/fixtures/recordings, unpacked: as snapshots. The agent's own are
 * agent/replay.h's.
 */

#include <stdbool.h>
#include <stdio.h>

#include "agent/policy/snapshot.h"

#define RECORDING_COLUMNS_MAX 128U

typedef struct Recording {
        FILE *file;
        unsigned n_columns;
        int field_of[RECORDING_COLUMNS_MAX]; /* index into the table of recording.c, -1: of no use here */
        uint64_t triggers;                   /* so far */
        bool started;
} Recording;

/* Opens folder/name.csv. Fails the test if it is not there or lacks a column. */
void recording_open(Recording *recording, const char *folder, const char *name);
void recording_close(Recording *recording);

/* The next row, with everything in it. Returns false at the end. */
bool recording_next(Recording *recording, Snapshot *ret);
