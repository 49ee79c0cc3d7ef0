/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Many deadlines behind one source of an sd_event loop, for owners that have thousands of them: what crowd.h is for sockets. */

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

typedef struct Deadlines Deadlines;

/* Called from the loop once the time has come; may set and leave any deadline, its own too. */
typedef void (*DeadlineHandler)(void *userdata);

/* Embedded in its owner, and never moved while it is in use. */
typedef struct Deadline {
        Deadlines *all;    /* NULL: in no loop */
        uint64_t due_usec; /* CLOCK_MONOTONIC */
        size_t place;      /* in the heap, from 1; 0: it is off */
        DeadlineHandler handler;
        void *userdata;
} Deadline;

/* Joins event's loop, off. Returns 0 or -errno. */
int deadline_join(sd_event *event, DeadlineHandler handler, void *userdata, Deadline *ret);

/* Sets it anew; USEC_INFINITY: off. It fires once, up to a millisecond late. */
void deadline_set(Deadline *deadline, uint64_t due_usec);
void deadline_set_relative(Deadline *deadline, uint64_t usec);

/* Leaves the loop; does nothing if it is in none. */
void deadline_leave(Deadline *deadline);
