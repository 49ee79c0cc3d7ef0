/* SPDX-License-Identifier: Apache-2.0 */

/* The loop around the onliner: what is offline at start, what no event tells of, and its end in the middle of a write. */

#include "agent/blocks/service.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <string.h>

#include "agent/blocks/block.h"
#include "common/log.h"
#include "common/units.h"
#include "fake-kernel.h"

/* A loop that waits this long for something has failed. */
#define PATIENCE_USEC (10 * USEC_PER_SEC)

typedef struct Stage {
        Tree *tree;
        sd_event *event;
        BlockService *service;
        unsigned n_onlined, n_failed, n_removed;
        uint64_t last_block, last_latency_usec;
} Stage;

static void on_fate(const BlockFate *fate, void *userdata) {
        Stage *stage = userdata;
        unsigned online, offline;

        block_service_counts(stage->service, &online, &offline); /* may be asked from here */
        stage->n_onlined += fate->action == BLOCK_ONLINED;
        stage->n_failed += fate->action == BLOCK_FAILED;
        stage->n_removed += fate->action == BLOCK_REMOVED;
        stage->last_block = fate->block;
        stage->last_latency_usec = fate->latency_usec;
}

static Stage *stage_new(uint64_t rescan_usec) {
        const BlockServiceConfig config = {.online = true,
                                           .zone_ratio_percent = 301,
                                           .source = BLOCK_MONITOR_KERNEL,
                                           .rescan_usec = rescan_usec};
        Stage *stage = calloc(1, sizeof(*stage));

        assert_non_null(stage);
        stage->tree = tree_new("debian12-6.1");
        fake_kernel_reset(stage->tree);
        assert_int_equal(sd_event_new(&stage->event), 0);
        assert_int_equal(block_service_new(stage->event, stage->tree->root, &config, on_fate, stage,
                                           &stage->service),
                         0);
        return stage;
}

static Stage *stage_free(Stage *stage) {
        if (!stage)
                return NULL;
        (void) block_service_free(stage->service);
        (void) sd_event_unref(stage->event);
        (void) tree_free(stage->tree);
        free(stage);
        return NULL;
}
DEFINE_CLEANUP_FUNC(Stage, stage_free)

static void run_until(Stage *stage, const unsigned *counter, unsigned want) {
        uint64_t begin, now;

        assert_int_equal(sd_event_now(stage->event, CLOCK_MONOTONIC, &begin) < 0, 0);
        while (*counter < want) {
                assert_true(sd_event_run(stage->event, 100 * USEC_PER_MSEC) >= 0);
                (void) sd_event_now(stage->event, CLOCK_MONOTONIC, &now);
                assert_true(now < begin + PATIENCE_USEC);
        }
        assert_int_equal(*counter, want);
}

static void run_quiet(Stage *stage, unsigned turns) {
        for (unsigned i = 0; i < turns; i++)
                assert_true(sd_event_run(stage->event, 2 * USEC_PER_MSEC) >= 0);
}

/* The recorded guest has two virtio-mem blocks and two of a DIMM offline. */
static void test_start(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new(0);
        unsigned online, offline;

        assert_int_equal(block_service_block_size_bytes(stage->service), 128 * MIB);
        assert_false(block_service_kernel_onlines(stage->service));
        block_service_counts(stage->service, &online, &offline);
        assert_int_equal(online, 6);
        assert_int_equal(offline, 4);
        assert_int_equal(stage->n_onlined, 0);

        run_until(stage, &stage->n_onlined, 4);
        assert_int_equal(stage->last_block, 65); /* lowest first */
        block_service_counts(stage->service, &online, &offline);
        assert_int_equal(online, 10);
        assert_int_equal(offline, 0);
        assert_int_equal(fake_kernel.n_writes, 4);
}

static void test_slow_timer(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new(20 * USEC_PER_MSEC);

        run_until(stage, &stage->n_onlined, 4);
        fake_kernel_add_block(40, NULL);
        run_until(stage, &stage->n_onlined, 5);
        assert_int_equal(stage->last_block, 40);
        fake_kernel_remove_block(40);
        run_until(stage, &stage->n_removed, 1);
        assert_int_equal(stage->n_failed, 0);
}

static void test_retry(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new(0);

        fake_kernel.errors[0] = ENOMEM;
        run_until(stage, &stage->n_onlined, 3); /* one failed, and did not hold up the others */
        assert_int_equal(stage->n_failed, 1);
        run_until(stage, &stage->n_onlined, 4); /* after 1 s */
        assert_int_equal(stage->last_block, 34);
        assert_true(stage->last_latency_usec >= USEC_PER_SEC);
}

static void test_configure(void **state) {
        BlockServiceConfig config = {.online = false, .zone_ratio_percent = 301};
        _cleanup_(stage_freep) Stage *stage = stage_new(0);

        block_service_configure(stage->service, &config);
        run_quiet(stage, 20);
        assert_int_equal(fake_kernel.n_writes, 0);
        config.online = true;
        block_service_configure(stage->service, &config);
        run_until(stage, &stage->n_onlined, 4);
}

static atomic_bool write_has_begun;

static void dawdle(const char *path) {
        atomic_store(&write_has_begun, true);
        (void) usleep(200 * 1000);
}

/* A write that takes long does not hold up the loop, and the service waits for it when it ends. */
static void test_slow_write(void **state) {
        Stage *stage = stage_new(0);
        uint64_t begin, now;

        fake_kernel.before_write = dawdle;
        while (!atomic_load(&write_has_begun))
                run_quiet(stage, 1);
        (void) sd_event_now(stage->event, CLOCK_MONOTONIC, &begin);
        run_quiet(stage, 10);
        (void) sd_event_now(stage->event, CLOCK_MONOTONIC, &now);
        assert_true(now - begin < 190 * USEC_PER_MSEC);
        assert_int_equal(stage->n_onlined, 0);
        assert_null(stage_free(stage));
}

/* With nothing to do the loop sleeps. */
static void test_idle(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new(0);
        unsigned n_turns = 0;

        run_until(stage, &stage->n_onlined, 4);
        run_quiet(stage, 5);
        while (n_turns < 10 && sd_event_run(stage->event, 20 * USEC_PER_MSEC) > 0)
                n_turns++;
        assert_true(n_turns < 10);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_start),      cmocka_unit_test(test_slow_timer),
                cmocka_unit_test(test_retry),      cmocka_unit_test(test_configure),
                cmocka_unit_test(test_slow_write), cmocka_unit_test(test_idle),
        };

        log_setup(LOG_TARGET_STDERR, LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
