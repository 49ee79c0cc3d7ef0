/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A source of sd-event takes 300 bytes and a place in two of its heaps, even where it is a single time that is off; the
 * bridge had four per VM. Here one source stands for all of a loop: a binary heap of pointers, in which there is always room
 * for each that has joined, so that setting one can not fail. Like a crowd it hands out a bounded number in a turn.
 *
 * Rejected: a wheel of slots. It would be O(1), but its slots are either coarse or many, and log2 of ten thousand is 13.
 */

#include "common/deadline.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "common/units.h"

#define TURN_MAX      64U
#define ACCURACY_USEC USEC_PER_MSEC

struct Deadlines {
        Deadlines *next;
        sd_event *event; /* borrowed: its source keeps it alive */
        sd_event_source *source;
        Deadline **heap; /* from 1; heap[1] is due first */
        size_t n_set, n_members, n_allocated;
        bool dispatching;
};

static _Thread_local Deadlines *loops;

static void deadlines_free(Deadlines *all) {
        for (Deadlines **at = &loops; *at; at = &(*at)->next)
                if (*at == all) {
                        *at = all->next;
                        break;
                }
        (void) sd_event_source_disable_unref(all->source);
        free(all->heap);
        free(all);
}

static void put(Deadlines *all, size_t place, Deadline *deadline) {
        all->heap[place] = deadline;
        deadline->place = place;
}

static void rise(Deadlines *all, size_t place) {
        Deadline *deadline = all->heap[place];

        for (; place > 1 && all->heap[place / 2]->due_usec > deadline->due_usec; place /= 2)
                put(all, place, all->heap[place / 2]);
        put(all, place, deadline);
}

static void sink(Deadlines *all, size_t place) {
        Deadline *deadline = all->heap[place];

        for (size_t child; (child = 2 * place) <= all->n_set; place = child) {
                if (child < all->n_set && all->heap[child + 1]->due_usec < all->heap[child]->due_usec)
                        child++;
                if (all->heap[child]->due_usec >= deadline->due_usec)
                        break;
                put(all, place, all->heap[child]);
        }
        put(all, place, deadline);
}

static void take_out(Deadlines *all, Deadline *deadline) {
        size_t place = deadline->place;
        Deadline *last = all->heap[all->n_set--];

        deadline->place = 0;
        if (last == deadline)
                return;
        put(all, place, last);
        rise(all, place);
        sink(all, last->place);
}

/* Tells sd-event when the first is due. */
static void arm(Deadlines *all) {
        if (all->dispatching) /* it is done at the end of the turn */
                return;
        if (all->n_set == 0) {
                (void) sd_event_source_set_enabled(all->source, SD_EVENT_OFF);
                return;
        }
        (void) sd_event_source_set_time(all->source, all->heap[1]->due_usec);
        (void) sd_event_source_set_enabled(all->source, SD_EVENT_ONESHOT);
}

static int on_due(sd_event_source *source, uint64_t usec, void *userdata) {
        Deadlines *all = userdata;
        uint64_t now_usec;

        (void) sd_event_now(all->event, CLOCK_MONOTONIC, &now_usec);
        all->dispatching = true;
        for (unsigned i = 0; i < TURN_MAX && all->n_set > 0 && all->heap[1]->due_usec <= now_usec; i++) {
                Deadline *deadline = all->heap[1];

                take_out(all, deadline);
                deadline->handler(deadline->userdata);
        }
        all->dispatching = false;
        if (all->n_members == 0)
                deadlines_free(all);
        else
                arm(all);
        return 0;
}

static int deadlines_new(sd_event *event, Deadlines **ret) {
        Deadlines *all;
        int r;

        all = calloc(1, sizeof(*all));
        if (!all)
                return -ENOMEM;
        all->event = event;
        r = sd_event_add_time(event, &all->source, CLOCK_MONOTONIC, 0, ACCURACY_USEC, on_due, all);
        if (r >= 0)
                r = sd_event_source_set_enabled(all->source, SD_EVENT_OFF);
        if (r < 0) {
                deadlines_free(all);
                return r;
        }
        (void) sd_event_source_set_description(all->source, "deadlines"); /* for debugging only */
        all->next = loops;
        *ret = loops = all;
        return 0;
}

static int make_room(Deadlines *all) {
        size_t n = all->n_allocated > 0 ? 2 * all->n_allocated : 16;
        Deadline **heap;

        if (all->n_members + 1 < all->n_allocated) /* heap[0] is not used */
                return 0;
        heap = reallocarray(all->heap, n, sizeof(Deadline *));
        if (!heap)
                return -ENOMEM;
        all->heap = heap;
        all->n_allocated = n;
        return 0;
}

int deadline_join(sd_event *event, DeadlineHandler handler, void *userdata, Deadline *ret) {
        Deadlines *all = loops;
        int r;

        assert(event);
        assert(handler);
        assert(ret);

        while (all && all->event != event)
                all = all->next;
        if (!all) {
                r = deadlines_new(event, &all);
                if (r < 0)
                        return r;
        }
        r = make_room(all);
        if (r < 0) {
                if (all->n_members == 0)
                        deadlines_free(all);
                return r;
        }
        all->n_members++;
        *ret = (Deadline){.all = all, .handler = handler, .userdata = userdata};
        return 0;
}

static uint64_t first_due_usec(const Deadlines *all) {
        if (all->n_set == 0)
                return USEC_INFINITY;
        assert(all->heap[1]);
        return all->heap[1]->due_usec;
}

void deadline_set(Deadline *deadline, uint64_t due_usec) {
        Deadlines *all = deadline->all;
        uint64_t first_usec = first_due_usec(all);

        if ((deadline->place != 0 ? deadline->due_usec : USEC_INFINITY) == due_usec)
                return; /* as is often the case: what is judged anew comes to the same */
        if (deadline->place != 0)
                take_out(all, deadline);
        deadline->due_usec = due_usec;
        if (due_usec != USEC_INFINITY) {
                put(all, ++all->n_set, deadline);
                rise(all, deadline->place);
        }
        if (first_due_usec(all) != first_usec)
                arm(all);
}

void deadline_set_relative(Deadline *deadline, uint64_t usec) {
        uint64_t now_usec;

        (void) sd_event_now(deadline->all->event, CLOCK_MONOTONIC, &now_usec);
        deadline_set(deadline, u64_add(now_usec, usec));
}

void deadline_leave(Deadline *deadline) {
        Deadlines *all = deadline->all;

        if (!all)
                return;
        deadline_set(deadline, USEC_INFINITY);
        deadline->all = NULL;
        if (--all->n_members == 0 && !all->dispatching)
                deadlines_free(all);
}
