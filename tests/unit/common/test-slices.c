/* SPDX-License-Identifier: Apache-2.0 */

/* Work goes on in slices, ends once, and can be given up and begun anew. */

#include "common/slices.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"

typedef struct Work {
        sd_event *event;
        Slices slices;
        unsigned n_left, n_steps, n_ends;
        useconds_t step_usec;
        int ends_by; /* what the last step returns, and end() was given */
        int ended_by;
        bool again;
        uint64_t last_usec;
} Work;

static int step(uint64_t now_usec, void *userdata) {
        Work *work = userdata;

        assert_true(now_usec >= work->last_usec && now_usec <= clock_monotonic_usec());
        work->last_usec = now_usec;
        work->n_steps++;
        (void) usleep(work->step_usec);
        return --work->n_left > 0 ? 1 : work->ends_by;
}

static void end(int r, void *userdata) {
        Work *work = userdata;

        work->n_ends++;
        work->ended_by = r;
        if (!work->again)
                return;
        work->again = false;
        work->n_left = 2;
        slices_begin(&work->slices);
}

static int setup(void **state) {
        Work *work = calloc(1, sizeof(*work));

        assert_non_null(work);
        assert_true(sd_event_new(&work->event) >= 0);
        assert_int_equal(slices_init(&work->slices, work->event, "test", SD_EVENT_PRIORITY_IDLE, step, end,
                                     work),
                         0);
        *state = work;
        return 0;
}

static int teardown(void **state) {
        Work *work = *state;

        slices_done(&work->slices);
        sd_event_unref(work->event);
        free(work);
        return 0;
}

/* Returns whether there was something to do. */
static bool turn(Work *work) {
        int r = sd_event_run(work->event, 0);

        assert_true(r >= 0);
        return r > 0;
}

/* usleep() never wakes early, so a step of more than a slice is alone in it on any machine. */
static void test_long_steps_are_one_a_turn(void **state) {
        Work *work = *state;

        work->n_left = 3;
        work->step_usec = 600;
        slices_begin(&work->slices);
        assert_int_equal(work->n_steps, 0);
        for (unsigned i = 1; i <= 3; i++) {
                assert_int_equal(work->n_ends, 0);
                assert_true(turn(work));
                assert_int_equal(work->n_steps, i);
        }
        assert_int_equal(work->n_ends, 1);
        assert_int_equal(work->ended_by, 0);
        assert_true(work->slices.spent_usec >= 3 * 600);
        assert_false(turn(work));
}

static int on_other(sd_event_source *source, void *userdata) {
        unsigned *n_turns = userdata;

        (*n_turns)++;
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* What else the loop has at the same priority comes between two slices, however often it comes. */
static void test_others_have_their_turns(void **state) {
        Work *work = *state;
        sd_event_source *other = NULL;
        unsigned n_turns = 0;

        assert_true(sd_event_add_defer(work->event, &other, on_other, &n_turns) >= 0);
        assert_true(sd_event_source_set_priority(other, SD_EVENT_PRIORITY_IDLE) >= 0);
        work->n_left = 3;
        work->step_usec = 600;
        slices_begin(&work->slices);
        for (unsigned i = 1; i <= 3; i++) {
                assert_true(turn(work) && turn(work));
                assert_int_equal(work->n_steps, i);
                assert_int_equal(n_turns, i);
        }
        (void) sd_event_source_disable_unref(other);
}

static void test_little_is_done_at_once(void **state) {
        Work *work = *state;

        work->n_left = 1;
        work->ends_by = -EIO;
        slices_begin(&work->slices);
        slices_run(&work->slices);
        assert_int_equal(work->n_ends, 1);
        assert_int_equal(work->ended_by, -EIO);
        assert_false(turn(work));
}

static void test_given_up(void **state) {
        Work *work = *state;

        work->n_left = 3;
        work->step_usec = 600;
        slices_begin(&work->slices);
        slices_run(&work->slices);
        slices_abandon(&work->slices);
        assert_false(turn(work));
        assert_int_equal(work->n_steps, 1);
        assert_int_equal(work->n_ends, 0);

        slices_begin(&work->slices); /* counts anew */
        assert_int_equal(work->slices.spent_usec, 0);
        assert_true(turn(work));
        slices_begin(&work->slices); /* is under way */
        assert_true(work->slices.spent_usec >= 600);
        assert_true(turn(work));
        assert_int_equal(work->n_ends, 1);
}

static void test_begins_anew_from_its_end(void **state) {
        Work *work = *state;

        work->n_left = 1;
        work->step_usec = 600;
        work->again = true;
        slices_begin(&work->slices);
        assert_true(turn(work));
        assert_int_equal(work->n_ends, 1);
        assert_true(turn(work));
        assert_true(turn(work));
        assert_int_equal(work->n_steps, 3);
        assert_int_equal(work->n_ends, 2);
        assert_false(turn(work));
}

#define slices_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                slices_test(test_long_steps_are_one_a_turn), slices_test(test_others_have_their_turns),
                slices_test(test_little_is_done_at_once),    slices_test(test_given_up),
                slices_test(test_begins_anew_from_its_end),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
