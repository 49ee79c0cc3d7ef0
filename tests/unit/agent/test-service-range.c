/* SPDX-License-Identifier: Apache-2.0 */

/* Ranges that the host names, over the service: the recorded guest's DIMM is blocks 64 and 65. */

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

static void assert_block(ServiceStage *stage, uint64_t number, BlockState state, Zone zone) {
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
static ServiceStage *stage_new_online(void) {
        ServiceStage *stage = service_stage_new(20 * USEC_PER_MSEC);

        service_stage_run_until(stage, &stage->n_onlined, 4);
        fake_kernel_set_state(64, "online\n", "Movable\n");
        fake_kernel_set_state(65, "online\n", "Normal\n");
        service_stage_run_quiet(stage, 20);
        stage->n_onlined = stage->n_offlined = 0;
        return stage;
}

static void run_range(ServiceStage *stage, const BlockRangeCommand *command, uint64_t bytes) {
        uint64_t would_move;
        unsigned n = stage->n_ranged;

        assert_int_equal(block_service_check_range(stage->service, command, &would_move), REFUSAL_NONE);
        assert_int_equal(would_move, bytes);
        block_service_start_range(stage->service, command);
        assert_true(block_service_is_ranging(stage->service));
        assert_int_equal(block_service_check_range(stage->service, command, &would_move), REFUSAL_UNSETTLED);
        service_stage_run_until(stage, &stage->n_ranged, n + 1);
        assert_false(block_service_is_ranging(stage->service));
        assert_int_equal(stage->range.command.id, 7);
}

static void test_range(void **state) {
        _cleanup_(service_stage_freep) ServiceStage *stage = stage_new_online();
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
        service_stage_run_quiet(stage, 60);
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
        _cleanup_(service_stage_freep) ServiceStage *stage = stage_new_online();
        BlockRangeCommand take = dimm(false, USEC_PER_SEC), back = dimm(true, USEC_PER_SEC);

        fake_kernel_set_state(65, "offline\n", "Normal Movable\n");
        service_stage_run_until(stage, &stage->n_offlined, 1);
        run_range(stage, &take, BLOCK);
        assert_int_equal(stage->range.bytes, BLOCK);
        run_range(stage, &back, BLOCK);
        assert_int_equal(stage->range.bytes, BLOCK);
        assert_block(stage, 64, BLOCK_STATE_ONLINE, ZONE_MOVABLE);
        assert_block(stage, 65, BLOCK_STATE_OFFLINE, ZONE_UNKNOWN);
}

static void test_range_is_the_hosts_over_a_restart(void **state) {
        _cleanup_(service_stage_freep) ServiceStage *stage = stage_new_online();
        BlockRangeCommand take = dimm(false, USEC_PER_SEC), back = dimm(true, USEC_PER_SEC);

        tree_write(stage->tree, "proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n");
        tree_write(stage->tree, "run/lock", "");
        run_range(stage, &take, 2 * BLOCK);
        service_stage_restart(stage);
        service_stage_run_quiet(stage, 60);
        assert_int_equal(stage->n_onlined, 0);
        run_range(stage, &back, 2 * BLOCK);
        assert_block(stage, 64, BLOCK_STATE_ONLINE, ZONE_MOVABLE);
        assert_block(stage, 65, BLOCK_STATE_ONLINE, ZONE_KERNEL);
}

/* Gone with its DIMM; what comes under its number later is another. */
static void test_range_is_removed(void **state) {
        _cleanup_(service_stage_freep) ServiceStage *stage = stage_new_online();
        BlockRangeCommand take = dimm(false, USEC_PER_SEC);

        run_range(stage, &take, 2 * BLOCK);
        fake_kernel_remove_block(64);
        fake_kernel_remove_block(65);
        service_stage_run_until(stage, &stage->n_removed, 2);
        fake_kernel_add_block(64, "PNP0C80:00");
        service_stage_run_until(stage, &stage->n_onlined, 1);
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
                _cleanup_(service_stage_freep) ServiceStage *stage = stage_new_online();
                BlockRangeCommand take = dimm(false, table[i].patience_usec);

                fake_kernel.pinned = table[i].pinned;
                fake_kernel.hangs = table[i].hangs;
                run_range(stage, &take, 2 * BLOCK);
                assert_true(stage->range.error == table[i].error || (i == 3 && stage->range.error == EINTR));
                assert_int_equal(stage->range.bytes, 0);
                assert_block(stage, 64, BLOCK_STATE_ONLINE, ZONE_MOVABLE);
                assert_block(stage, 65, BLOCK_STATE_ONLINE, ZONE_KERNEL);
                service_stage_run_quiet(stage, 20);
                assert_int_equal(stage->n_offlined, 0); /* nothing has changed */
                assert_int_equal(stage->n_onlined, 0);
        }
}

static void test_range_cancelled(void **state) {
        _cleanup_(service_stage_freep) ServiceStage *stage = stage_new_online();
        BlockRangeCommand take = dimm(false, 60 * USEC_PER_SEC);
        uint64_t bytes, begin = clock_monotonic_usec();

        fake_kernel.pinned = 64;
        fake_kernel.hangs = true;
        assert_int_equal(block_service_check_range(stage->service, &take, &bytes), REFUSAL_NONE);
        block_service_start_range(stage->service, &take);
        while (block_service_offlining_bytes(stage->service) == 0)
                service_stage_run_quiet(stage, 1);
        assert_int_equal(block_service_offlining_bytes(stage->service), BLOCK);
        block_service_cancel_range(stage->service);
        service_stage_run_until(stage, &stage->n_ranged, 1);
        assert_true(clock_monotonic_usec() - begin < 4 * USEC_PER_SEC);
        assert_int_not_equal(stage->range.error, 0);
        assert_block(stage, 65, BLOCK_STATE_ONLINE, ZONE_KERNEL);
        assert_int_equal(block_service_offlining_bytes(stage->service), 0);

        /* The service ends in the middle of one: it does not wait for the kernel. */
        block_service_start_range(stage->service, &take);
        while (block_service_offlining_bytes(stage->service) == 0)
                service_stage_run_quiet(stage, 1);
}

/* What does not come back is the onliner's again, to the zone that it had. */
static void test_range_lost(void **state) {
        _cleanup_(service_stage_freep) ServiceStage *stage = stage_new_online();
        BlockRangeCommand take = dimm(false, USEC_PER_SEC);

        fake_kernel.pinned = 64;
        fake_kernel.next_error = 0;
        memcpy(fake_kernel.errors, (int[]){0, ENOMEM}, 2 * sizeof(int)); /* offline 65, online 65 */
        run_range(stage, &take, 2 * BLOCK);
        assert_int_equal(stage->range.error, EBUSY);
        assert_int_equal(stage->range.bytes, BLOCK);
        assert_int_equal(stage->n_offlined, 1);
        service_stage_run_until(stage, &stage->n_onlined, 1);
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
        _cleanup_(service_stage_freep) ServiceStage *stage = stage_new_online();

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
