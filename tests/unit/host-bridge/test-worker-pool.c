/* SPDX-License-Identifier: Apache-2.0 */

/* Calls that block: deadlines, the cap, what hangs and comes back, an owner that goes. */

#include "world.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/units.h"
#include "host-bridge/vmm/worker-pool.h"

typedef struct Fixture {
        World world;
        WorkerPool *pool;
        unsigned n[4]; /* outcomes */
        pthread_mutex_t gate;
        unsigned n_submitted;
        unsigned n_run, n_freed; /* atomic */
} Fixture;

typedef struct Call {
        PoolJob job; /* first */
        Fixture *fixture;
        bool hangs;
} Call;

static const WorkerPoolOptions options = {
        .active_max = 2,
        .threads_max = 4,
        .deadline_usec = 50 * USEC_PER_MSEC,
        .queue_usec = 150 * USEC_PER_MSEC,
};

/* A call that hangs waits for the gate, which the test holds. */
static void run(PoolJob *job) {
        Call *call = (Call *) job;

        if (call->hangs) {
                (void) pthread_mutex_lock(&call->fixture->gate);
                (void) pthread_mutex_unlock(&call->fixture->gate);
        }
        (void) __atomic_add_fetch(&call->fixture->n_run, 1, __ATOMIC_SEQ_CST);
}

static void done(PoolJob *job, PoolOutcome outcome, void *owner) {
        ((Fixture *) owner)->n[outcome]++;
}

static void free_call(PoolJob *job) {
        Call *call = (Call *) job;

        (void) __atomic_add_fetch(&call->fixture->n_freed, 1, __ATOMIC_SEQ_CST);
        free(call);
}

static PoolJob *submit(Fixture *f, bool hangs) {
        Call *call = calloc(1, sizeof(*call));

        assert_non_null(call);
        *call = (Call){.job = {.run = run, .done = done, .free = free_call}, .fixture = f, .hangs = hangs};
        f->n_submitted++;
        worker_pool_submit(f->pool, &call->job, f);
        return &call->job;
}

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        world_init(&f->world);
        (void) pthread_mutex_init(&f->gate, NULL);
        assert_int_equal(worker_pool_new(f->world.event, &options, &f->pool), 0);
        *state = f;
        return 0;
}

static unsigned n_freed(Fixture *f) {
        return __atomic_load_n(&f->n_freed, __ATOMIC_SEQ_CST);
}

/* Calls outlive the pool, and have this. */
static void wait_for_calls(Fixture *f) {
        for (unsigned i = 0; i < 500 && n_freed(f) < f->n_submitted; i++)
                (void) usleep(10000);
        assert_int_equal(n_freed(f), f->n_submitted);
}

static int teardown(void **state) {
        Fixture *f = *state;

        (void) worker_pool_free(f->pool);
        wait_for_calls(f);
        world_done(&f->world);
        free(f);
        return 0;
}

static bool has_twenty(void *userdata) {
        return ((Fixture *) userdata)->n[POOL_DONE] == 20;
}

static bool is_overdue(void *userdata) {
        return ((Fixture *) userdata)->n[POOL_OVERDUE] == 2;
}

static bool is_late(void *userdata) {
        return ((Fixture *) userdata)->n[POOL_LATE] == 2;
}

static bool is_refused(void *userdata) {
        return ((Fixture *) userdata)->n[POOL_REFUSED] == 1;
}

static bool has_four_overdue(void *userdata) {
        return ((Fixture *) userdata)->n[POOL_OVERDUE] == 4;
}

static bool has_one(void *userdata) {
        return ((Fixture *) userdata)->n[POOL_DONE] == 1;
}

static bool all_freed(void *userdata) {
        return n_freed(userdata) == 5;
}

static void test_all_are_done(void **state) {
        Fixture *f = *state;

        for (unsigned i = 0; i < 20; i++)
                (void) submit(f, false);
        assert_int_equal(f->n[POOL_DONE], 0); /* never inside the call */
        assert_true(world_run(&f->world, has_twenty, f, 5000));
        assert_int_equal(f->n_run, 20);
        assert_int_equal(n_freed(f), 20);
}

/* Two that hang are parked, and those behind them run; when they return at last the owner hears of it. */
static void test_hanging_calls_are_replaced(void **state) {
        Fixture *f = *state;

        (void) pthread_mutex_lock(&f->gate);
        (void) submit(f, true);
        (void) submit(f, true);
        (void) submit(f, false);
        assert_true(world_run(&f->world, is_overdue, f, 5000));
        assert_true(world_run(&f->world, has_one, f, 5000));
        assert_int_equal(f->n[POOL_LATE], 0);
        assert_int_equal(n_freed(f), 1);
        (void) pthread_mutex_unlock(&f->gate);
        assert_true(world_run(&f->world, is_late, f, 5000));
        assert_int_equal(n_freed(f), 3);
}

/* Beyond the cap nothing runs any more: what waits is refused in time, and runs again when they come back. */
static void test_cap(void **state) {
        Fixture *f = *state;

        (void) pthread_mutex_lock(&f->gate);
        for (unsigned i = 0; i < 4; i++)
                (void) submit(f, true);
        assert_true(world_run(&f->world, has_four_overdue, f, 5000));
        (void) submit(f, false);
        assert_true(world_run(&f->world, is_refused, f, 5000));
        assert_int_equal(f->n_run, 0);
        (void) pthread_mutex_unlock(&f->gate);
        (void) submit(f, false);
        assert_true(world_run(&f->world, has_one, f, 5000));
}

static void test_forgotten(void **state) {
        Fixture *f = *state;

        (void) pthread_mutex_lock(&f->gate);
        for (unsigned i = 0; i < 5; i++)
                pool_job_forget(submit(f, true));
        pool_job_forget(NULL);
        world_idle(&f->world, 100);
        (void) pthread_mutex_unlock(&f->gate);
        assert_true(world_run(&f->world, all_freed, f, 5000));
        for (unsigned i = 0; i < 4; i++)
                assert_int_equal(f->n[i], 0);
}

/* The pool goes while calls hang: they end by themselves, and nobody is told. */
static void test_free_while_hanging(void **state) {
        Fixture *f = *state;
        unsigned told[ELEMENTSOF(f->n)];

        (void) pthread_mutex_lock(&f->gate);
        for (unsigned i = 0; i < 5; i++)
                (void) submit(f, true);
        world_idle(&f->world, 20);
        memcpy(told, f->n, sizeof(told)); /* on a busy machine, that some are overdue */
        f->pool = worker_pool_free(f->pool);
        (void) pthread_mutex_unlock(&f->gate);
        wait_for_calls(f);
        world_idle(&f->world, 20);
        assert_memory_equal(f->n, told, sizeof(told));
}

#define pool_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                pool_test(test_all_are_done), pool_test(test_hanging_calls_are_replaced), pool_test(test_cap),
                pool_test(test_forgotten),    pool_test(test_free_while_hanging),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
