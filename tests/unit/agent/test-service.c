/* SPDX-License-Identifier: Apache-2.0 */

/* The loop around the onliner: what is offline at start, what no event tells of, and its end in the middle of a write. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <string.h>

#include "agent/blocks/block.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"
#include "fake-kernel.h"
#include "service-stage.h"

/* The recorded guest has two virtio-mem blocks and two of a DIMM offline. */
static void test_start(void **state) {
        _cleanup_(service_stage_freep) ServiceStage *stage = service_stage_new(0);
        unsigned online, offline;

        assert_int_equal(block_service_block_size_bytes(stage->service), 128 * MIB);
        assert_false(block_service_kernel_onlines(stage->service));
        block_service_counts(stage->service, &online, &offline);
        assert_int_equal(online, 6);
        assert_int_equal(offline, 4);
        assert_int_equal(stage->n_onlined, 0);

        service_stage_run_until(stage, &stage->n_onlined, 4);
        assert_int_equal(stage->last_block, 65); /* lowest first */
        block_service_counts(stage->service, &online, &offline);
        assert_int_equal(online, 10);
        assert_int_equal(offline, 0);
        assert_int_equal(fake_kernel.n_writes, 4);
}

static void test_slow_timer(void **state) {
        _cleanup_(service_stage_freep) ServiceStage *stage = service_stage_new(20 * USEC_PER_MSEC);

        service_stage_run_until(stage, &stage->n_onlined, 4);
        fake_kernel_add_block(40, NULL);
        service_stage_run_until(stage, &stage->n_onlined, 5);
        assert_int_equal(stage->last_block, 40);
        fake_kernel_remove_block(40);
        service_stage_run_until(stage, &stage->n_removed, 1);
        assert_int_equal(stage->n_failed, 0);
}

static void test_retry(void **state) {
        _cleanup_(service_stage_freep) ServiceStage *stage = service_stage_new(0);

        fake_kernel.errors[0] = ENOMEM;
        service_stage_run_until(stage, &stage->n_onlined, 3); /* one failed, and did not hold up the others */
        assert_int_equal(stage->n_failed, 1);
        service_stage_run_until(stage, &stage->n_onlined, 4); /* after 1 s */
        assert_int_equal(stage->last_block, 34);
        assert_true(stage->last_latency_usec >= USEC_PER_SEC);
}

static void test_configure(void **state) {
        BlockServiceConfig config = {.onliner = ONLINER_AGENT, .zone_ratio_percent = 301};
        _cleanup_(service_stage_freep) ServiceStage *stage = service_stage_new(0);

        block_service_configure(stage->service, &config);
        service_stage_run_quiet(stage, 20);
        assert_int_equal(fake_kernel.n_writes, 0);
        config.online = true;
        block_service_configure(stage->service, &config);
        service_stage_run_until(stage, &stage->n_onlined, 4);
}

static atomic_bool write_has_begun;

static void dawdle(const char *path) {
        atomic_store(&write_has_begun, true);
        (void) usleep(200 * 1000);
}

/* A write that takes long does not hold up the loop, and the service waits for it when it ends. */
static void test_slow_write(void **state) {
        ServiceStage *stage = service_stage_new(0);
        uint64_t begin, now;

        fake_kernel.before_write = dawdle;
        while (!atomic_load(&write_has_begun))
                service_stage_run_quiet(stage, 1);
        (void) sd_event_now(stage->event, CLOCK_MONOTONIC, &begin);
        service_stage_run_quiet(stage, 10);
        (void) sd_event_now(stage->event, CLOCK_MONOTONIC, &now);
        assert_true(now - begin < 190 * USEC_PER_MSEC);
        assert_int_equal(stage->n_onlined, 0);
        assert_null(service_stage_free(stage));
}

static BlockMonitorHandler monitor_handler;
static void *monitor_userdata;

int __real_block_monitor_new(sd_event *event, const RootDir *root, BlockMonitorSource source,
                             uint64_t buffer_bytes, BlockMonitorHandler handler, void *userdata,
                             BlockMonitor **ret);
int __wrap_block_monitor_new(sd_event *event, const RootDir *root, BlockMonitorSource source,
                             uint64_t buffer_bytes, BlockMonitorHandler handler, void *userdata,
                             BlockMonitor **ret);

int __wrap_block_monitor_new(sd_event *event, const RootDir *root, BlockMonitorSource source,
                             uint64_t buffer_bytes, BlockMonitorHandler handler, void *userdata,
                             BlockMonitor **ret) {
        monitor_handler = handler;
        monitor_userdata = userdata;
        return __real_block_monitor_new(event, root, source, buffer_bytes, handler, userdata, ret);
}

static uint64_t waiting_bytes, waiting_grows_by; /* at each look */

uint64_t __wrap_block_monitor_waiting_bytes(const BlockMonitor *monitor);

uint64_t __wrap_block_monitor_waiting_bytes(const BlockMonitor *monitor) {
        return waiting_bytes += waiting_grows_by;
}

static atomic_bool events_wait;

void __real_block_monitor_pause(BlockMonitor *monitor, bool paused);
void __wrap_block_monitor_pause(BlockMonitor *monitor, bool paused);

void __wrap_block_monitor_pause(BlockMonitor *monitor, bool paused) {
        atomic_store(&events_wait, paused);
        __real_block_monitor_pause(monitor, paused);
}

static void expect_no_events(const char *path) {
        assert_true(atomic_load(&events_wait));
}

/* What the kernel onlines is looked at when no more events come, or they have come for long. */
static void test_wave(void **state) {
        const BlockServiceConfig by_kernel = {.online = true,
                                              .onliner = ONLINER_KERNEL,
                                              .zone_ratio_percent = 301};
        _cleanup_(service_stage_freep) ServiceStage *stage = service_stage_new(0);
        uint64_t begin, now;

        service_stage_run_until(stage, &stage->n_onlined, 4);
        tree_write(stage->tree, "proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n");
        tree_write(stage->tree, "run/lock", "");
        block_service_configure(stage->service, &by_kernel);
        service_stage_run_quiet(stage, 20);
        assert_true(block_service_kernel_onlines(stage->service));

        fake_kernel_add_block(40, NULL);
        fake_kernel_set_state(40, "online\n", "Movable\n");
        begin = clock_monotonic_usec();
        service_stage_run_quiet(stage, 1);
        monitor_handler(BLOCK_HINT_BLOCK, 40, monitor_userdata);
        service_stage_run_until(stage, &stage->n_onlined, 5);
        assert_true(clock_monotonic_usec() - begin >= 100 * USEC_PER_MSEC);

        /* Events that never pause do not put it off for ever. */
        begin = clock_monotonic_usec();    /* before the loop's own last look at the clock */
        service_stage_run_quiet(stage, 5); /* the first wave is closed by a turn that finds nothing more */
        fake_kernel_add_block(41, NULL);
        fake_kernel_set_state(41, "online\n", "Movable\n");
        waiting_grows_by = 1;
        monitor_handler(BLOCK_HINT_BLOCK, 41, monitor_userdata);
        service_stage_run_until(stage, &stage->n_onlined, 6);
        waiting_grows_by = 0;
        now = clock_monotonic_usec();
        assert_true(now - begin >= USEC_PER_SEC);
        assert_true(now - begin < PATIENCE_USEC);
}

/* What the agent onlines is kept waiting for neighbours for 20 ms at most, and nothing is heard of it while it is written. */
static void test_wave_of_agent(void **state) {
        _cleanup_(service_stage_freep) ServiceStage *stage = service_stage_new(0);

        fake_kernel.before_write = expect_no_events;
        service_stage_run_until(stage, &stage->n_onlined, 4);
        service_stage_run_quiet(stage, 5);
        assert_false(atomic_load(&events_wait));

        fake_kernel_add_block(70, "PNP0C80:00");
        waiting_grows_by = 1;
        monitor_handler(BLOCK_HINT_BLOCK, 70, monitor_userdata);
        service_stage_run_until(stage, &stage->n_onlined, 5);
        waiting_grows_by = 0;
        assert_int_equal(stage->last_block, 70);
        assert_true(stage->last_latency_usec >= 20 * USEC_PER_MSEC);
        service_stage_run_quiet(stage, 5);
        assert_false(atomic_load(&events_wait));
}

/* Of many blocks one event is heard: the others are found by a look at what there is. */
static void test_wave_of_many(void **state) {
        _cleanup_(service_stage_freep) ServiceStage *stage = service_stage_new(0);

        service_stage_run_until(stage, &stage->n_onlined, 4);
        service_stage_run_quiet(stage, 5);
        for (unsigned number = 70; number < 86; number++)
                fake_kernel_add_block(number, "PNP0C80:00");
        waiting_bytes = UINT64_C(15) * 768;
        monitor_handler(BLOCK_HINT_BLOCK, 70, monitor_userdata);
        service_stage_run_until(stage, &stage->n_onlined, 20);
        waiting_bytes = 0;
        assert_int_equal(stage->last_block, 85);
        service_stage_run_quiet(stage, 5);
        assert_false(atomic_load(&events_wait));
}

/* With nothing to do the loop sleeps. */
static void test_idle(void **state) {
        _cleanup_(service_stage_freep) ServiceStage *stage = service_stage_new(0);
        unsigned n_turns = 0;

        service_stage_run_until(stage, &stage->n_onlined, 4);
        service_stage_run_quiet(stage, 5);
        while (n_turns < 10 && sd_event_run(stage->event, 20 * USEC_PER_MSEC) > 0)
                n_turns++;
        assert_true(n_turns < 10);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_start),         cmocka_unit_test(test_slow_timer),
                cmocka_unit_test(test_retry),         cmocka_unit_test(test_configure),
                cmocka_unit_test(test_slow_write),    cmocka_unit_test(test_wave),
                cmocka_unit_test(test_wave_of_agent), cmocka_unit_test(test_wave_of_many),
                cmocka_unit_test(test_idle),
        };

        log_setup(LOG_TARGET_STDERR, LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
