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
#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"
#include "fake-kernel.h"

/* A loop that waits this long for something has failed. */
#define PATIENCE_USEC (10 * USEC_PER_SEC)

typedef struct Stage {
        Tree *tree;
        sd_event *event;
        BlockService *service;
        uint64_t rescan_usec;
        unsigned n_onlined, n_offlined, n_failed, n_removed;
        uint64_t last_block, last_latency_usec;
        unsigned n_ranged;
        BlockRangeResult range; /* the last */
} Stage;

static void on_fate(const BlockFate *fate, void *userdata) {
        Stage *stage = userdata;
        unsigned online, offline;

        block_service_counts(stage->service, &online, &offline); /* may be asked from here */
        stage->n_onlined += fate->action == BLOCK_ONLINED;
        stage->n_offlined += fate->action == BLOCK_OFFLINED;
        stage->n_failed += fate->action == BLOCK_FAILED;
        stage->n_removed += fate->action == BLOCK_REMOVED;
        stage->last_block = fate->block;
        stage->last_latency_usec = fate->latency_usec;
}

static void on_range(const BlockRangeResult *result, void *userdata) {
        Stage *stage = userdata;

        stage->n_ranged++;
        stage->range = *result;
}

static void stage_start(Stage *stage) {
        const BlockServiceConfig config = {.online = true,
                                           .onliner = ONLINER_AGENT,
                                           .zone_ratio_percent = 301,
                                           .source = BLOCK_MONITOR_KERNEL,
                                           .rescan_usec = stage->rescan_usec};

        assert_int_equal(block_service_new(stage->event, stage->tree->root, &config, on_fate, on_range, stage,
                                           &stage->service),
                         0);
        block_service_start(stage->service);
}

static Stage *stage_new(uint64_t rescan_usec) {
        Stage *stage = calloc(1, sizeof(*stage));

        assert_non_null(stage);
        stage->rescan_usec = rescan_usec;
        stage->tree = tree_new("debian12-6.1");
        fake_kernel_reset(stage->tree);
        assert_int_equal(sd_event_new(&stage->event), 0);
        stage_start(stage);
        return stage;
}

static void stage_restart(Stage *stage) {
        stage->service = block_service_free(stage->service);
        stage_start(stage);
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
        BlockServiceConfig config = {.onliner = ONLINER_AGENT, .zone_ratio_percent = 301};
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

/* What the kernel onlines is looked at when the wave is over, or has lasted for long; what the agent onlines at once. */
static void test_wave(void **state) {
        const BlockServiceConfig by_kernel = {.online = true,
                                              .onliner = ONLINER_KERNEL,
                                              .zone_ratio_percent = 301};
        _cleanup_(stage_freep) Stage *stage = stage_new(0);
        uint64_t begin, now;

        run_until(stage, &stage->n_onlined, 4);
        tree_write(stage->tree, "proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n");
        tree_write(stage->tree, "run/lock", "");
        block_service_configure(stage->service, &by_kernel);
        run_quiet(stage, 20);
        assert_true(block_service_kernel_onlines(stage->service));

        fake_kernel_add_block(40, NULL);
        fake_kernel_set_state(40, "online\n", "Movable\n");
        begin = clock_monotonic_usec();
        run_quiet(stage, 1);
        monitor_handler(BLOCK_HINT_BLOCK, 40, monitor_userdata);
        run_until(stage, &stage->n_onlined, 5);
        assert_true(clock_monotonic_usec() - begin >= 100 * USEC_PER_MSEC);

        /* Events that never pause do not put it off for ever. */
        begin = clock_monotonic_usec(); /* before the loop's own last look at the clock */
        run_quiet(stage, 5);            /* the first wave is closed by a turn that finds nothing more */
        fake_kernel_add_block(41, NULL);
        fake_kernel_set_state(41, "online\n", "Movable\n");
        do {
                monitor_handler(BLOCK_HINT_BLOCK, 41, monitor_userdata);
                run_quiet(stage, 1);
                now = clock_monotonic_usec();
        } while (stage->n_onlined < 6 && now < begin + PATIENCE_USEC);
        assert_int_equal(stage->n_onlined, 6);
        assert_true(now - begin >= 400 * USEC_PER_MSEC);
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

/* -- ranges: the recorded guest's DIMM is blocks 64 and 65 ------------------------------------------ */

#define BLOCK (128 * MIB)

static BlockRangeCommand dimm(bool back, uint64_t patience_usec) {
        return (BlockRangeCommand){
                .back = back,
                .id = 7,
                .address = 64 * BLOCK,
                .bytes = 2 * BLOCK,
                .deadline_usec = clock_monotonic_usec() + patience_usec,
        };
}

static void assert_block(Stage *stage, uint64_t number, BlockState state, Zone zone) {
        BlockState is;
        Zone has;

        assert_int_equal(block_state_read(stage->tree->root, number, &is), 0);
        assert_int_equal(is, state);
        if (state != BLOCK_STATE_ONLINE)
                return;
        assert_int_equal(block_zone_read(stage->tree->root, number, &has, NULL), 0);
        assert_int_equal(has, zone);
}

/* All online, the DIMM in zones that no policy would choose for it. */
static Stage *stage_new_online(void) {
        Stage *stage = stage_new(20 * USEC_PER_MSEC);

        run_until(stage, &stage->n_onlined, 4);
        fake_kernel_set_state(64, "online\n", "Movable\n");
        fake_kernel_set_state(65, "online\n", "Normal\n");
        run_quiet(stage, 20);
        stage->n_onlined = stage->n_offlined = 0;
        return stage;
}

static void run_range(Stage *stage, const BlockRangeCommand *command, uint64_t bytes) {
        uint64_t would_move;
        unsigned n = stage->n_ranged;

        assert_int_equal(block_service_check_range(stage->service, command, &would_move), REFUSAL_NONE);
        assert_int_equal(would_move, bytes);
        block_service_start_range(stage->service, command);
        assert_true(block_service_is_ranging(stage->service));
        assert_int_equal(block_service_check_range(stage->service, command, &would_move), REFUSAL_UNSETTLED);
        run_until(stage, &stage->n_ranged, n + 1);
        assert_false(block_service_is_ranging(stage->service));
        assert_int_equal(stage->range.command.id, 7);
}

static void test_range(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new_online();
        BlockRangeCommand take = dimm(false, USEC_PER_SEC), back = dimm(true, USEC_PER_SEC);

        run_range(stage, &take, 2 * BLOCK);
        assert_int_equal(stage->range.error, 0);
        assert_int_equal(stage->range.bytes, 2 * BLOCK);
        assert_block(stage, 64, BLOCK_STATE_OFFLINE, ZONE_UNKNOWN);
        assert_block(stage, 65, BLOCK_STATE_OFFLINE, ZONE_UNKNOWN);
        assert_int_equal(stage->n_offlined, 2);
        assert_int_equal(stage->last_block,
                         65); /* told lowest first; taken highest first is test-offline's */

        /* The onliner leaves them alone, however often it looks. */
        run_quiet(stage, 60);
        assert_int_equal(stage->n_onlined, 0);
        run_range(stage, &take, 0); /* all are where they should be */
        assert_int_equal(stage->range.error, 0);
        assert_int_equal(stage->range.bytes, 0);

        run_range(stage, &back, 2 * BLOCK);
        assert_int_equal(stage->range.error, 0);
        assert_int_equal(stage->range.bytes, 2 * BLOCK);
        assert_block(stage, 64, BLOCK_STATE_ONLINE, ZONE_MOVABLE);
        assert_block(stage, 65, BLOCK_STATE_ONLINE, ZONE_KERNEL);
        assert_int_equal(stage->n_onlined, 2);
        run_range(stage, &back, 0);
}

/* What an administrator took offline is not moved, not counted, and not brought back. */
static void test_range_with_an_administrators_block(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new_online();
        BlockRangeCommand take = dimm(false, USEC_PER_SEC), back = dimm(true, USEC_PER_SEC);

        fake_kernel_set_state(65, "offline\n", "Normal Movable\n");
        run_until(stage, &stage->n_offlined, 1);
        run_range(stage, &take, BLOCK);
        assert_int_equal(stage->range.bytes, BLOCK);
        run_range(stage, &back, BLOCK);
        assert_int_equal(stage->range.bytes, BLOCK);
        assert_block(stage, 64, BLOCK_STATE_ONLINE, ZONE_MOVABLE);
        assert_block(stage, 65, BLOCK_STATE_OFFLINE, ZONE_UNKNOWN);
}

static void test_range_is_the_hosts_over_a_restart(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new_online();
        BlockRangeCommand take = dimm(false, USEC_PER_SEC), back = dimm(true, USEC_PER_SEC);

        tree_write(stage->tree, "proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n");
        tree_write(stage->tree, "run/lock", "");
        run_range(stage, &take, 2 * BLOCK);
        run_quiet(stage, 5); /* the ledger is written when all is quiet */
        stage_restart(stage);
        run_quiet(stage, 60);
        assert_int_equal(stage->n_onlined, 0);
        run_range(stage, &back, 2 * BLOCK);
        assert_block(stage, 64, BLOCK_STATE_ONLINE, ZONE_MOVABLE);
        assert_block(stage, 65, BLOCK_STATE_ONLINE, ZONE_KERNEL);
}

/* Gone with its DIMM; what comes under its number later is another. */
static void test_range_is_removed(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new_online();
        BlockRangeCommand take = dimm(false, USEC_PER_SEC);

        run_range(stage, &take, 2 * BLOCK);
        fake_kernel_remove_block(64);
        fake_kernel_remove_block(65);
        run_until(stage, &stage->n_removed, 2);
        fake_kernel_add_block(64, "PNP0C80:00");
        run_until(stage, &stage->n_onlined, 1);
}

static void test_range_pinned(void **state) {
        static const struct {
                unsigned pinned;
                bool hangs;
                uint64_t patience_usec;
                int error;
        } table[] = {
                {64, false, USEC_PER_SEC, EBUSY},
                {65, false, USEC_PER_SEC, EBUSY},
                {64, true, 200 * USEC_PER_MSEC, EINTR}, /* the kernel goes on for ever: a signal ends it */
                {65, true, 0, ECANCELED},               /* too late to begin at all */
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_(stage_freep) Stage *stage = stage_new_online();
                BlockRangeCommand take = dimm(false, table[i].patience_usec);

                fake_kernel.pinned = table[i].pinned;
                fake_kernel.hangs = table[i].hangs;
                run_range(stage, &take, 2 * BLOCK);
                assert_true(stage->range.error == table[i].error || (i == 3 && stage->range.error == EINTR));
                assert_int_equal(stage->range.bytes, 0);
                assert_block(stage, 64, BLOCK_STATE_ONLINE, ZONE_MOVABLE);
                assert_block(stage, 65, BLOCK_STATE_ONLINE, ZONE_KERNEL);
                run_quiet(stage, 20);
                assert_int_equal(stage->n_offlined, 0); /* nothing has changed */
                assert_int_equal(stage->n_onlined, 0);
        }
}

static void test_range_cancelled(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new_online();
        BlockRangeCommand take = dimm(false, 60 * USEC_PER_SEC);
        uint64_t bytes, begin = clock_monotonic_usec();

        fake_kernel.pinned = 64;
        fake_kernel.hangs = true;
        assert_int_equal(block_service_check_range(stage->service, &take, &bytes), REFUSAL_NONE);
        block_service_start_range(stage->service, &take);
        while (block_service_offlining_bytes(stage->service) == 0)
                run_quiet(stage, 1);
        assert_int_equal(block_service_offlining_bytes(stage->service), BLOCK);
        block_service_cancel_range(stage->service);
        run_until(stage, &stage->n_ranged, 1);
        assert_true(clock_monotonic_usec() - begin < 4 * USEC_PER_SEC);
        assert_int_not_equal(stage->range.error, 0);
        assert_block(stage, 65, BLOCK_STATE_ONLINE, ZONE_KERNEL);
        assert_int_equal(block_service_offlining_bytes(stage->service), 0);

        /* The service ends in the middle of one: it does not wait for the kernel. */
        block_service_start_range(stage->service, &take);
        while (block_service_offlining_bytes(stage->service) == 0)
                run_quiet(stage, 1);
}

/* What does not come back is the onliner's again, to the zone that it had. */
static void test_range_lost(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new_online();
        BlockRangeCommand take = dimm(false, USEC_PER_SEC);

        fake_kernel.pinned = 64;
        fake_kernel.next_error = 0;
        memcpy(fake_kernel.errors, (int[]){0, ENOMEM}, 2 * sizeof(int)); /* offline 65, online 65 */
        run_range(stage, &take, 2 * BLOCK);
        assert_int_equal(stage->range.error, EBUSY);
        assert_int_equal(stage->range.bytes, BLOCK);
        assert_int_equal(stage->n_offlined, 1);
        run_until(stage, &stage->n_onlined, 1);
        assert_block(stage, 65, BLOCK_STATE_ONLINE, ZONE_KERNEL);
}

static void test_range_refused(void **state) {
        static const struct {
                uint64_t first, n, odd_bytes;
        } ranges[] = {
                {0, 1, 0},     /* boot memory */
                {3, 2, 0},     /* and what is not there */
                {500, 4, 0},   /* nothing is there */
                {64, 2, MIB},  /* not whole blocks */
                {64, 0, 0},    /* nothing */
                {64, 4096, 0}, /* more than any DIMM has */
        };
        _cleanup_(stage_freep) Stage *stage = stage_new_online();

        for (size_t i = 0; i < ELEMENTSOF(ranges); i++) {
                BlockRangeCommand command = {
                        .address = ranges[i].first * BLOCK,
                        .bytes = ranges[i].n * BLOCK + ranges[i].odd_bytes,
                        .deadline_usec = USEC_INFINITY,
                };
                uint64_t bytes;

                if (block_service_check_range(stage->service, &command, &bytes) != REFUSAL_INVALID)
                        fail_msg("range %zu", i);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_start),
                cmocka_unit_test(test_slow_timer),
                cmocka_unit_test(test_retry),
                cmocka_unit_test(test_configure),
                cmocka_unit_test(test_slow_write),
                cmocka_unit_test(test_wave),
                cmocka_unit_test(test_idle),
                cmocka_unit_test(test_range),
                cmocka_unit_test(test_range_with_an_administrators_block),
                cmocka_unit_test(test_range_is_the_hosts_over_a_restart),
                cmocka_unit_test(test_range_is_removed),
                cmocka_unit_test(test_range_pinned),
                cmocka_unit_test(test_range_cancelled),
                cmocka_unit_test(test_range_lost),
                cmocka_unit_test(test_range_refused),
        };

        log_setup(LOG_TARGET_STDERR, LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
