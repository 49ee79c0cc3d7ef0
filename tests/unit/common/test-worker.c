/* SPDX-License-Identifier: Apache-2.0 */

/* A job that blocks: it ends by itself, by its deadline, by hand, and with its owner. */

#include "common/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>

#include "common/clock.h"
#include "common/units.h"

#define PATIENCE_USEC (10 * USEC_PER_SEC)

/* A pipe that nobody writes to: reading from it is a system call that only a signal ends. */
typedef struct Stage {
        sd_event *event;
        Worker *worker;
        int pipe[2];
        atomic_bool running;
        bool was_cancelled;
        int error;
        unsigned n_done;
        bool again; /* done() starts the next */
} Stage;

static void run(Worker *worker, void *userdata) {
        Stage *stage = userdata;
        char byte;

        atomic_store(&stage->running, true);
        while (!worker_is_cancelled(worker)) {
                stage->error = read(stage->pipe[0], &byte, 1) < 0 ? errno : 0;
                if (stage->error == 0)
                        break;
        }
        stage->was_cancelled = worker_is_cancelled(worker);
        atomic_store(&stage->running, false);
}

static void done(void *userdata) {
        Stage *stage = userdata;

        stage->n_done++;
        assert_false(worker_is_busy(stage->worker));
        if (stage->again)
                assert_int_equal(worker_start(stage->worker, USEC_INFINITY), 0);
        stage->again = false;
}

static void stage_open(Stage *stage) {
        static const WorkerJob job = {.name = "test", .run = run, .done = done};

        *stage = (Stage){};
        assert_int_equal(pipe(stage->pipe), 0);
        assert_int_equal(sd_event_new(&stage->event), 0);
        assert_int_equal(worker_new(stage->event, &job, stage, &stage->worker), 0);
}

/* A job with that deadline is under way; running: and has been caught in its system call, or near it. */
static void stage_begin(Stage *stage, uint64_t deadline_usec, bool running) {
        assert_int_equal(worker_start(stage->worker, deadline_usec), 0);
        while (running && !atomic_load(&stage->running))
                ;
}

static void feed(Stage *stage, size_t n) {
        assert_int_equal(write(stage->pipe[1], "123", n), n);
}

static void stage_close(Stage *stage) {
        assert_null(worker_free(stage->worker));
        (void) sd_event_unref(stage->event);
        (void) close(stage->pipe[0]);
        (void) close(stage->pipe[1]);
}

static void run_until_done(Stage *stage, unsigned n) {
        uint64_t begin = clock_monotonic_usec();

        while (stage->n_done < n) {
                assert_true(sd_event_run(stage->event, 100 * USEC_PER_MSEC) >= 0);
                assert_true(clock_monotonic_usec() < begin + PATIENCE_USEC);
        }
        assert_int_equal(stage->n_done, n);
}

static void test_whole(void **state) {
        Stage stage;

        stage_open(&stage);
        stage.again = true;
        stage_begin(&stage, USEC_INFINITY, false);
        assert_int_equal(worker_start(stage.worker, USEC_INFINITY), -EBUSY);
        feed(&stage, 2);
        run_until_done(&stage, 2);
        assert_false(stage.was_cancelled);
        worker_cancel(stage.worker); /* of nothing */
        feed(&stage, 1);
        stage_begin(&stage, USEC_INFINITY, false);
        run_until_done(&stage, 3);
        assert_false(stage.was_cancelled);
        stage_close(&stage);
}

static void test_deadline(void **state) {
        uint64_t deadline_usec = clock_monotonic_usec() + 50 * USEC_PER_MSEC;
        Stage stage;

        stage_open(&stage);
        stage_begin(&stage, deadline_usec, false);
        run_until_done(&stage, 1);
        assert_true(stage.was_cancelled);
        assert_int_equal(stage.error, EINTR);
        assert_true(clock_monotonic_usec() >= deadline_usec);

        /* A deadline that has passed leaves the worker as good as new. */
        feed(&stage, 1);
        stage_begin(&stage, USEC_INFINITY, false);
        run_until_done(&stage, 2);
        assert_false(stage.was_cancelled);
        stage_close(&stage);
}

/* Cancelled, or left by its owner in the middle of a job, which does not wait for ever: wherever it is caught, between
 * two system calls too, the signal comes again. */
static void interrupt(bool cancel) {
        for (unsigned i = 0; i < 50; i++) {
                Stage stage;

                stage_open(&stage);
                stage_begin(&stage, USEC_INFINITY, i % 2 != 0);
                if (cancel) {
                        worker_cancel(stage.worker);
                        run_until_done(&stage, 1);
                        assert_true(stage.was_cancelled);
                }
                stage_close(&stage);
                assert_int_equal(stage.n_done, cancel ? 1 : 0);
        }
}

static void test_cancel(void **state) {
        interrupt(true);
}

static void test_owner_ends(void **state) {
        interrupt(false);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_whole),
                cmocka_unit_test(test_deadline),
                cmocka_unit_test(test_cancel),
                cmocka_unit_test(test_owner_ends),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
