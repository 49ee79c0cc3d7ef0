/* SPDX-License-Identifier: Apache-2.0 */

/* Many deadlines in one loop: in which order they come, and who may set and leave what meanwhile. */

#include "common/deadline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <time.h>

#include "common/units.h"

#define N 300U

typedef struct Bench Bench;

typedef struct Alarm {
        Bench *bench;
        Deadline deadline;
        unsigned n_calls;
        uint64_t again_usec; /* set again from inside; 0: not */
        int takes_along;     /* another that leaves from inside; -1: none */
        bool leaves;
} Alarm;

struct Bench {
        sd_event *event;
        Alarm alarms[N];
        unsigned n_calls;
        uint64_t last_usec;
};

static uint64_t loop_now(sd_event *event) {
        uint64_t now_usec;

        assert_true(sd_event_now(event, CLOCK_MONOTONIC, &now_usec) >= 0);
        return now_usec;
}

static void on_alarm(void *userdata) {
        Alarm *alarm = userdata;
        Bench *bench = alarm->bench;

        assert_true(alarm->deadline.due_usec <= loop_now(bench->event));
        if (alarm->again_usec == 0)
                assert_true(alarm->deadline.due_usec >= bench->last_usec); /* in order */
        bench->last_usec = alarm->deadline.due_usec;
        alarm->n_calls++;
        bench->n_calls++;
        if (alarm->again_usec > 0)
                deadline_set_relative(&alarm->deadline, alarm->again_usec);
        if (alarm->takes_along >= 0)
                deadline_leave(&bench->alarms[alarm->takes_along].deadline);
        if (alarm->leaves)
                deadline_leave(&alarm->deadline);
}

static int setup(void **state) {
        Bench *bench = calloc(1, sizeof(*bench));

        assert_non_null(bench);
        assert_true(sd_event_new(&bench->event) >= 0);
        for (unsigned i = 0; i < N; i++) {
                bench->alarms[i] = (Alarm){.bench = bench, .takes_along = -1};
                assert_int_equal(deadline_join(bench->event, on_alarm, &bench->alarms[i],
                                               &bench->alarms[i].deadline),
                                 0);
        }
        *state = bench;
        return 0;
}

static int teardown(void **state) {
        Bench *bench = *state;

        for (unsigned i = 0; i < N; i++)
                deadline_leave(&bench->alarms[i].deadline);
        (void) sd_event_unref(bench->event);
        free(bench);
        return 0;
}

static void run_for(Bench *bench, uint64_t usec) {
        uint64_t end_usec = loop_now(bench->event) + usec;

        while (loop_now(bench->event) < end_usec)
                assert_true(sd_event_run(bench->event, 1000) >= 0);
}

static void test_order(void **state) {
        Bench *bench = *state;
        uint64_t now_usec = loop_now(bench->event);

        srand(1);
        for (unsigned round = 0; round < 5;
             round++) /* each is set anew some times: earlier, later, and off */
                for (unsigned i = 0; i < N; i++)
                        deadline_set(&bench->alarms[i].deadline,
                                     rand() % 7 == 0 ? USEC_INFINITY
                                                     : now_usec + (uint64_t) (rand() % 20000));
        for (unsigned i = 0; i < N; i += 2)
                deadline_set(&bench->alarms[i].deadline, now_usec + (uint64_t) (rand() % 20000));
        for (unsigned i = 1; i < N; i += 4)
                deadline_set(&bench->alarms[i].deadline, USEC_INFINITY);
        for (unsigned i = 3; i < N; i += 4)
                deadline_leave(&bench->alarms[i].deadline);
        run_for(bench, 30 * USEC_PER_MSEC);
        for (unsigned i = 0; i < N; i++)
                assert_int_equal(bench->alarms[i].n_calls, i % 2 == 0);
}

/* All at once: a turn is bounded, and none is forgotten. */
static void test_burst(void **state) {
        Bench *bench = *state;

        for (unsigned i = 0; i < N; i++)
                deadline_set_relative(&bench->alarms[i].deadline, 0);
        assert_true(sd_event_run(bench->event, 1000000) > 0);
        assert_in_range(bench->n_calls, 1, N / 2);
        run_for(bench, 10 * USEC_PER_MSEC);
        assert_int_equal(bench->n_calls, N);
}

static void test_set_inside(void **state) {
        Bench *bench = *state;

        bench->alarms[0].again_usec = USEC_PER_MSEC;
        deadline_set_relative(&bench->alarms[0].deadline, 0);
        run_for(bench, 30 * USEC_PER_MSEC);
        assert_in_range(bench->alarms[0].n_calls, 3, 31);
}

static void test_leave_inside(void **state) {
        Bench *bench = *state;
        uint64_t now_usec = loop_now(bench->event);

        for (unsigned i = 0; i < N; i++) {
                bench->alarms[i].leaves = true;
                bench->alarms[i].takes_along = i % 2 == 0 ? (int) i + 1 : -1;
                deadline_set(&bench->alarms[i].deadline, now_usec + i / 2);
        }
        for (unsigned i = 1; i < N; i += 2) /* a pair is due in the same moment, the even one first */
                deadline_set(&bench->alarms[i].deadline, now_usec + i / 2 + 1);
        bench->alarms[N - 2].takes_along = N - 1;
        run_for(bench, 20 * USEC_PER_MSEC);
        for (unsigned i = 0; i < N; i++)
                assert_int_equal(bench->alarms[i].n_calls, i % 2 == 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_order, setup, teardown),
                cmocka_unit_test_setup_teardown(test_burst, setup, teardown),
                cmocka_unit_test_setup_teardown(test_set_inside, setup, teardown),
                cmocka_unit_test_setup_teardown(test_leave_inside, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
