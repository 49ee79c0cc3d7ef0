/* SPDX-License-Identifier: Apache-2.0 */

/* What becomes of blocks that come, go and change, in virtual time. */

#include "agent/blocks/onliner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/log.h"
#include "common/units.h"
#include "onliner-stage.h"

static void test_coldplug(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new();

        fake_kernel_add_block(34, NULL);
        fake_kernel_add_block(33, NULL);
        fake_kernel_add_block(70, "PNP0C80:00");
        fake_kernel_add_block(90, NULL); /* nobody's: stays */
        stage_start(stage, &stage_online_all);
        stage_assert_counts(stage, 4, 4);
        stage_expect(stage, "onlined 33 movable; onlined 34 movable; onlined 70 movable");
        stage_assert_counts(stage, 7, 1);
        stage_rescan(stage);
        stage_expect(stage, "");
}

static void test_event(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new();
        unsigned before;

        for (unsigned number = 40; number < 60; number++)
                fake_kernel_set_state(number, "online\n", "Movable\n");
        stage_start(stage, &stage_online_all);
        stage_expect(stage, "");

        fake_kernel_add_block(32, NULL);
        before = stage_n_state_reads;
        stage_hint(stage, 32);
        stage_expect(stage, "seen 32 virtio-mem; onlined 32 movable");
        assert_int_equal(stage_n_state_reads - before,
                         3); /* that block alone: by us, the fake kernel, and us again */

        stage_hint(stage, 32); /* the kernel's own event of it */
        stage_hint(stage, 32);
        stage_expect(stage, "");
        stage_hint(stage, 99); /* a block that is not there */
        stage_expect(stage, "");
        assert_int_equal(fake_kernel.n_writes, 1);
}

static void test_removal(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new();

        fake_kernel_add_block(32, NULL);
        stage_start(stage, &stage_online_all);
        stage_expect(stage, "onlined 32 movable");

        fake_kernel_remove_block(32);
        stage_hint(stage, 32);
        stage_expect(stage, "removed 32 virtio-mem");

        /* Events that come late find another block under the number. */
        fake_kernel_add_block(33, NULL);
        stage_rescan(stage);
        stage_expect(stage, "seen 33 virtio-mem; onlined 33 movable");
        fake_kernel_remove_block(33);
        fake_kernel_add_block(33, NULL);
        stage_rescan(stage);
        stage_expect(stage, "removed 33 virtio-mem; seen 33 virtio-mem; onlined 33 movable");
}

static void test_administrators(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new();

        fake_kernel_add_block(32, NULL);
        stage_start(stage, &stage_online_all);
        stage_expect(stage, "onlined 32 movable");

        fake_kernel_set_state(32, "offline\n", "Normal Movable\n");
        stage_hint(stage, 32);
        stage_expect(stage, "offlined 32 virtio-mem");
        for (unsigned i = 0; i < 5; i++) {
                stage->now_usec += 60 * USEC_PER_SEC;
                stage_hint(stage, 32);
                stage_rescan(stage);
                stage_expect(stage, "");
        }
        assert_int_equal(fake_kernel.n_writes, 1);

        /* Whoever onlines it gives it back to us. */
        fake_kernel_set_state(32, "online\n", "Normal\n");
        stage_hint(stage, 32);
        stage_expect(stage, "onlined 32 kernel");

        /* One found offline by a scan, without an event, is no less somebody's. */
        fake_kernel_set_state(32, "offline\n", "Normal Movable\n");
        stage_rescan(stage);
        stage_expect(stage, "offlined 32 virtio-mem");
        assert_int_equal(fake_kernel.n_writes, 1);
}

static void test_going_offline(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new();

        fake_kernel_set_state(32, "online\n", "Movable\n");
        stage_start(stage, &stage_online_all);
        fake_kernel_set_state(32, "going-offline\n", "Movable\n");
        stage_hint(stage, 32);
        stage_expect(stage, "");
        stage_assert_counts(stage, 5, 0);
        fake_kernel_set_state(32, "online\n", "Movable\n"); /* it did not succeed */
        stage_hint(stage, 32);
        stage_expect(stage, "");
}

static void test_retries(void **state) {
        static const uint64_t waits_usec[] = {USEC_PER_SEC, 5 * USEC_PER_SEC, 30 * USEC_PER_SEC,
                                              30 * USEC_PER_SEC};
        _cleanup_(stage_freep) Stage *stage = stage_new();

        fake_kernel_add_block(32, NULL);
        memcpy(fake_kernel.errors, (int[]){ENOMEM, ENOMEM, EBUSY, ENOMEM}, 4 * sizeof(int));
        stage_start(stage, &stage_online_all);
        stage_expect(stage, "failed 32 ENOMEM");

        for (unsigned i = 0; i < ELEMENTSOF(waits_usec); i++) {
                unsigned n_writes = fake_kernel.n_writes;

                assert_int_equal(block_onliner_retry_usec(&stage->onliner), stage->now_usec + waits_usec[i]);
                stage->now_usec += waits_usec[i] - 1;
                stage_expect(stage, "");
                assert_int_equal(fake_kernel.n_writes, n_writes);
                stage->now_usec++;
                /* An error is told when it changes. */
                stage_expect(stage, i == 0   ? ""
                                    : i == 1 ? "failed 32 EBUSY"
                                    : i == 2 ? "failed 32 ENOMEM"
                                             : "onlined 32 movable");
        }
        assert_int_equal(block_onliner_retry_usec(&stage->onliner), USEC_INFINITY);

        /* The next trouble begins at the bottom of the ladder. */
        fake_kernel.next_error = 0;
        fake_kernel_add_block(33, NULL);
        stage_hint(stage, 33);
        stage_expect(stage, "seen 33 virtio-mem; failed 33 ENOMEM");
        assert_int_equal(block_onliner_retry_usec(&stage->onliner), stage->now_usec + USEC_PER_SEC);
}

static void test_kernel_is_the_onliner(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new();

        tree_write(stage->tree, BLOCK_FOLDER "/auto_online_blocks", "online\n");
        stage_start(stage, &stage_online_all);
        stage->now_usec += USEC_PER_SEC;
        fake_kernel_add_block(32, NULL);
        stage_hint(stage, 32);
        stage_expect(stage, "seen 32 virtio-mem");
        stage->now_usec += 900 * USEC_PER_MSEC;
        stage_expect(stage, "");
        fake_kernel_set_state(32, "online\n", "Normal\n");
        stage_hint(stage, 32);
        stage_expect(stage, "onlined 32 kernel");
        stage->now_usec += USEC_PER_SEC;
        stage_expect(stage, "");
        fake_kernel_set_state(33, "online\n", "Normal\n"); /* online before we look */
        stage_hint(stage, 33);
        stage_expect(stage, "onlined 33 kernel");
        assert_int_equal(fake_kernel.n_writes, 0);

        /* What the kernel has left offline for a second it leaves for good. */
        fake_kernel_add_block(35, NULL);
        stage_hint(stage, 35);
        stage_expect(stage, "seen 35 virtio-mem");
        assert_int_equal(block_onliner_retry_usec(&stage->onliner), stage->now_usec + USEC_PER_SEC);
        stage->now_usec += USEC_PER_SEC;
        stage_expect(stage, "onlined 35 movable");

        /* The policy changes under us. */
        fake_kernel_add_block(34, NULL);
        tree_write(stage->tree, BLOCK_FOLDER "/auto_online_blocks", "offline\n");
        stage_rescan(stage);
        stage_expect(stage, "seen 34 virtio-mem; onlined 34 movable");
}

/* What was offline when the agent came was added before anybody told the kernel, and waits for nobody. */
static void test_left_before_the_start(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new();

        tree_write(stage->tree, BLOCK_FOLDER "/auto_online_blocks", "online\n");
        fake_kernel_add_block(32, NULL);
        stage_start(stage, &stage_online_all);
        stage_expect(stage, "onlined 32 movable");
}

static void test_observe_only(void **state) {
        const BlockServiceConfig observe = {.online = false, .zone_ratio_percent = 301};
        _cleanup_(stage_freep) Stage *stage = stage_new();

        stage_start(stage, &observe);
        fake_kernel_add_block(32, NULL);
        stage_hint(stage, 32);
        stage_expect(stage, "seen 32 virtio-mem");
        assert_int_equal(fake_kernel.n_writes, 0);

        stage->onliner.config = stage_online_all;
        stage_rescan(stage);
        stage_expect(stage, "onlined 32 movable");
}

/* While writes are under way nothing else is looked at, and what they say may be old news. */
static void test_slow_write(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new();
        BlockBatch batch;

        fake_kernel_add_block(32, NULL);
        fake_kernel_add_block(33, NULL);
        stage_start(stage, &stage_online_all);
        assert_int_equal(block_onliner_turn(&stage->onliner, stage->now_usec, &batch), BLOCK_TURN_WRITE);
        assert_int_equal(batch.n, 2);
        assert_int_equal(batch.writes[0].number, 32);
        assert_int_equal(batch.writes[1].number, 33);
        assert_int_equal(block_onliner_turn(&stage->onliner, stage->now_usec, &(BlockBatch){}),
                         BLOCK_TURN_IDLE);

        fake_kernel_remove_block(32);
        stage_hint(stage, 32);
        batch.writes[0].outcome = (BlockOnline){.result = BLOCK_ONLINE_GONE};
        batch.writes[1].outcome = block_online(stage->tree->root, 33, batch.writes[1].zone);
        block_onliner_written(&stage->onliner, &batch, stage->now_usec);
        stage_expect(stage, "removed 32 virtio-mem; onlined 33 movable"); /* told once */

        /* Another block comes under the number while the write still runs: it is not online for that. */
        fake_kernel_add_block(34, NULL);
        stage_hint(stage, 34);
        while (block_onliner_turn(&stage->onliner, stage->now_usec, &batch) == BLOCK_TURN_MORE)
                ;
        fake_kernel_remove_block(34);
        fake_kernel_add_block(34, NULL);
        stage_hint(stage, 34);
        batch.writes[0].outcome = (BlockOnline){BLOCK_ONLINE_DONE, ZONE_MOVABLE, 0, false};
        block_onliner_written(&stage->onliner, &batch, stage->now_usec);
        stage_expect(stage,
                     "seen 34 virtio-mem; removed 34 virtio-mem; seen 34 virtio-mem; onlined 34 movable");
}

/* A wave is handed over in batches, and each of its blocks counts in the balance for the next: 12 of 128 MiB are 3:1. */
static void test_batches(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new();
        unsigned n_movable = 0, n = 0;
        BlockBatch batch;

        for (unsigned number = 32; number < 52; number++)
                fake_kernel_add_block(number, NULL);
        stage_start(stage, &stage_online_all);
        assert_int_equal(block_onliner_turn(&stage->onliner, stage->now_usec, &batch), BLOCK_TURN_WRITE);
        assert_int_equal(batch.n, BLOCK_BATCH_MAX);
        for (size_t i = 0; i < batch.n; i++) {
                assert_int_equal(batch.writes[i].number, 32 + i);
                n_movable += batch.writes[i].zone == ZONE_MOVABLE;
                batch.writes[i].outcome = (BlockOnline){BLOCK_ONLINE_FAILED, ZONE_UNKNOWN, ENOMEM, false};
        }
        assert_int_equal(batch.writes[11].zone, ZONE_MOVABLE);
        assert_int_equal(batch.writes[12].zone, ZONE_KERNEL);
        assert_int_equal(n_movable, 15); /* what goes to the kernel lets more be movable: 4 and 12 + 3 */

        /* One that fails does not hold up the others. */
        batch.writes[0].outcome = (BlockOnline){BLOCK_ONLINE_DONE, ZONE_MOVABLE, 0, false};
        stage->fates[0] = '\0';
        block_onliner_written(&stage->onliner, &batch, stage->now_usec);
        for (const char *p = stage->fates; (p = strstr(p, "failed")); p++)
                n++;
        assert_int_equal(n, BLOCK_BATCH_MAX - 1);
        stage->fates[0] = '\0';
        stage_expect(stage, "onlined 48 movable; onlined 49 movable; onlined 50 movable; onlined 51 movable");
}

static void test_unreadable_state(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new();

        fake_kernel_set_state(32, "what?\n", "none\n");
        stage_start(stage, &stage_online_all);
        stage_expect(stage, "");
        fake_kernel_set_state(32, "offline\n", "Movable\n");
        stage_rescan(stage);
        stage_expect(stage, "onlined 32 movable");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_coldplug),
                cmocka_unit_test(test_event),
                cmocka_unit_test(test_removal),
                cmocka_unit_test(test_administrators),
                cmocka_unit_test(test_going_offline),
                cmocka_unit_test(test_retries),
                cmocka_unit_test(test_kernel_is_the_onliner),
                cmocka_unit_test(test_left_before_the_start),
                cmocka_unit_test(test_observe_only),
                cmocka_unit_test(test_slow_write),
                cmocka_unit_test(test_batches),
                cmocka_unit_test(test_unreadable_state),
        };

        log_setup(LOG_TARGET_STDERR, LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
