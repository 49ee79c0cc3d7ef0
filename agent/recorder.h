/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * --record: what the pure cores were given and what they made of it, in the form of trace.h, to be replayed later (replay.h).
 * Beside the loop, and never in its way: see recorder.c.
 */

#include <systemd/sd-event.h>

#include "agent/trace.h"
#include "common/macro.h"

typedef struct Recorder Recorder;

/* Opens path anew. A FIFO without a reader is -ENXIO. Returns 0 or -errno. */
int recorder_new(sd_event *event, const char *path, Recorder **ret);

/* Writes what is still kept, if the file takes it at once. */
Recorder *recorder_free(Recorder *recorder);
DEFINE_CLEANUP_FUNC(Recorder, recorder_free)

/* Keeps the row, with n_dropped put in, to be written. Allocates nothing, and does not block; recorder NULL: nothing. */
void recorder_take(Recorder *recorder, TraceRow *row);
