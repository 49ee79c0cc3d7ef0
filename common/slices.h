/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Work that takes long, in a loop that others wait for: it is done in slices of half a millisecond, between which the loop
 * serves what has come.
 */

#include <stdint.h>
#include <systemd/sd-event.h>

/* Some microseconds of the work; now_usec: CLOCK_MONOTONIC. Returns 1 if there is more, 0 if it is done, -errno to end it. */
typedef int (*SlicesStep)(uint64_t now_usec, void *userdata);

/* The work is done, or ended by r; it may begin anew from here. */
typedef void (*SlicesEnd)(int r, void *userdata);

/* Embedded in its owner, and never moved while it is in use. */
typedef struct Slices {
        sd_event_source *source; /* on while there is more */
        SlicesStep step;
        SlicesEnd end; /* or NULL */
        void *userdata;
        uint64_t spent_usec; /* on the work, since it began */
} Slices;

/* priority: of the slices that the loop does. Returns 0 or -errno. */
int slices_init(Slices *slices, sd_event *event, const char *description, int64_t priority, SlicesStep step,
                SlicesEnd end, void *userdata);

/* There is work from now on: the loop does it. Does nothing to work that is under way already. */
void slices_begin(Slices *slices);

/* A slice at once: what is little is done when this returns. */
void slices_run(Slices *slices);

/* The work is no more; end() is not called. */
void slices_abandon(Slices *slices);

/* The end of its use; does nothing to one that was never initialised but with zeroes. */
void slices_done(Slices *slices);
