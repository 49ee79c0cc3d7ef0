/* SPDX-License-Identifier: Apache-2.0 */

/* A timer. It may be late by a quarter of a second, so that the kernel can wake us together with others. */

#include "host-bridge/rounds.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "common/units.h"

#define ROUND_USEC    USEC_PER_SEC
#define ACCURACY_USEC (250 * USEC_PER_MSEC)
#define SLOW_EVERY    10U

struct Rounds {
        sd_event_source *timer;
        unsigned n;
        RoundHandler handler;
        void *userdata;
};

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Rounds *rounds = userdata;
        uint64_t now_usec;
        int r;

        r = sd_event_now(sd_event_source_get_event(source), CLOCK_MONOTONIC, &now_usec);
        if (r < 0)
                return r;
        r = sd_event_source_set_time(source, now_usec + ROUND_USEC);
        if (r < 0)
                return r;
        rounds->handler(now_usec, ++rounds->n % SLOW_EVERY == 0, rounds->userdata);
        return 0;
}

int rounds_new(sd_event *event, RoundHandler handler, void *userdata, Rounds **ret) {
        _cleanup_(rounds_freep) Rounds *rounds = NULL;
        int r;

        assert(event);
        assert(handler);
        assert(ret);

        rounds = malloc(sizeof(*rounds));
        if (!rounds)
                return -ENOMEM;
        *rounds = (Rounds){.handler = handler, .userdata = userdata};

        r = sd_event_add_time_relative(event, &rounds->timer, CLOCK_MONOTONIC, ROUND_USEC, ACCURACY_USEC,
                                       on_timer, rounds);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(rounds->timer, SD_EVENT_ON);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(rounds->timer, "rounds");
        (void) sd_event_source_set_exit_on_failure(rounds->timer, true);

        *ret = TAKE_PTR(rounds);
        return 0;
}

Rounds *rounds_free(Rounds *rounds) {
        if (!rounds)
                return NULL;

        (void) sd_event_source_disable_unref(rounds->timer);
        free(rounds);
        return NULL;
}
