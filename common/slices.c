/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rejected: a thread, with locks about all that it looks at; and a number of things to be done at a time instead of a time,
 * which is too long on a slow machine and too short for what goes quickly.
 */

#include "common/slices.h"

#include <assert.h>
#include <stdbool.h>

#include "common/clock.h"

#define SLICE_USEC 500U

static int on_slice(sd_event_source *source, void *userdata) {
        slices_run(userdata);
        return 0;
}

int slices_init(Slices *slices, sd_event *event, const char *description, int64_t priority, SlicesStep step,
                SlicesEnd end, void *userdata) {
        int r;

        assert(slices);
        assert(event);
        assert(step);

        *slices = (Slices){.step = step, .end = end, .userdata = userdata};
        r = sd_event_add_defer(event, &slices->source, on_slice, slices);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(slices->source, description);
        r = sd_event_source_set_priority(slices->source, priority);
        return r < 0 ? r : sd_event_source_set_enabled(slices->source, SD_EVENT_OFF);
}

static bool is_on(const Slices *slices) {
        int enabled = SD_EVENT_OFF;

        (void) sd_event_source_get_enabled(slices->source, &enabled);
        return enabled != SD_EVENT_OFF;
}

/*
 * Anew for each slice: a source that stays on stays pending, and sd-event serves those of one priority in the order in
 * which they became so, this one always first. Fails only in a loop that has ended, where nothing matters any more.
 */
static void set_on(Slices *slices, bool on) {
        (void) sd_event_source_set_enabled(slices->source, on ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

void slices_begin(Slices *slices) {
        assert(slices);

        if (is_on(slices))
                return;
        slices->spent_usec = 0;
        set_on(slices, true);
}

void slices_run(Slices *slices) {
        uint64_t begun_usec = clock_monotonic_usec(), now_usec = begun_usec;
        int r;

        assert(slices);

        do {
                r = slices->step(now_usec, slices->userdata);
                now_usec = clock_monotonic_usec();
        } while (r > 0 && now_usec - begun_usec < SLICE_USEC);
        slices->spent_usec += now_usec - begun_usec;
        set_on(slices, r > 0);
        if (r <= 0 && slices->end)
                slices->end(r, slices->userdata);
}

void slices_abandon(Slices *slices) {
        assert(slices);
        set_on(slices, false);
}

void slices_done(Slices *slices) {
        assert(slices);
        slices->source = sd_event_source_disable_unref(slices->source);
}
