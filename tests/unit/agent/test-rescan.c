/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A look over all blocks that finds what is known allocates nothing, in no library either; one that finds a new block
 * still finds it. Counted by the benchmarks' own allocator, which a sanitizer's would be in the way of.
 */

#include "onliner-stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>

#include "common/log.h"
#include "tests/bench/allocations.h"

#define N_BLOCKS 300U

/* The stage's own tree of folders allocates, so that only the onliner is asked here. */
static unsigned long allocations_of_rescan(Stage *stage) {
        BlockBatch batch;
        unsigned long before = allocations_count();

        if (block_onliner_rescan(&stage->onliner, stage->now_usec) < 0)
                return ULONG_MAX;
        while (block_onliner_turn(&stage->onliner, stage->now_usec, &batch) == BLOCK_TURN_MORE)
                ;
        return allocations_count() - before;
}

static void test_nothing_new(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new();

        for (unsigned number = 4; number < N_BLOCKS; number++)
                fake_kernel_set_state(number, "online\n", "none\n");
        stage_start(stage, &stage_online_all);
        stage_assert_counts(stage, N_BLOCKS, 0);

        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(allocations_of_rescan(stage), 0);
        assert_string_equal(stage->fates, "");

        fake_kernel_set_state(N_BLOCKS, "online\n", "none\n");
        tree_remove(stage->tree, BLOCK_FOLDER "/memory7");
        stage_rescan(stage);
        stage_expect(stage, "removed 7 other; onlined 300 unknown");
        stage_assert_counts(stage, N_BLOCKS, 0);
        assert_int_equal(allocations_of_rescan(stage), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_nothing_new)};

        log_setup(LOG_TARGET_STDERR, LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
