/* SPDX-License-Identifier: Apache-2.0 */

/* Whose blocks are left alone after a restart of the agent, and what its file may say. */

#include "agent/blocks/ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/log.h"
#include "common/units.h"
#include "onliner-stage.h"

/* The next agent of this boot leaves an administrator's blocks alone too. */
static void test_restart(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new();
        char text[256];

        tree_write(stage->tree, "proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n");
        tree_write(stage->tree, "run/lock", "");
        fake_kernel_add_block(32, NULL);
        fake_kernel_add_block(33, NULL);
        stage_start(stage, &stage_online_all);
        stage_expect(stage, "onlined 32 movable; onlined 33 movable");
        block_onliner_save(&stage->onliner);
        assert_int_equal(rootdir_read(stage->tree->root, BLOCK_LEDGER_PATH, text, sizeof(text)), -ENOENT);

        fake_kernel_set_state(32, "offline\n", "Normal Movable\n");
        stage_hint(stage, 32);
        stage_expect(stage, "offlined 32 virtio-mem");
        block_onliner_save(&stage->onliner);
        stage_restart(stage);
        stage_rescan(stage);
        stage_expect(stage, "");
        stage_assert_counts(stage, 5, 1);

        /* Another boot knows no administrator. */
        tree_write(stage->tree, "proc/sys/kernel/random/boot_id", "99999999-2222-3333-4444-555555555555\n");
        stage_restart(stage);
        stage_expect(stage, "onlined 32 movable");

        /* The file goes with its last line. */
        fake_kernel_set_state(33, "offline\n", "Normal Movable\n");
        stage_hint(stage, 33);
        stage_expect(stage, "offlined 33 virtio-mem");
        block_onliner_save(&stage->onliner);
        assert_true(rootdir_read(stage->tree->root, BLOCK_LEDGER_PATH, text, sizeof(text)) > 0);
        fake_kernel_remove_block(33);
        stage_hint(stage, 33);
        stage_expect(stage, "removed 33 virtio-mem");
        block_onliner_save(&stage->onliner);
        assert_int_equal(rootdir_read(stage->tree->root, BLOCK_LEDGER_PATH, text, sizeof(text)), -ENOENT);
}

static void test_ledger_texts(void **state) {
        static const struct {
                const char *text;
                int r;
                bool taken; /* block 7 of identity 70 is an administrator's */
                bool hosts; /* or the host's, in Movable */
        } texts[] = {
                {"", 0, false},
                {"boot\n", 0, false},
                {"boot\n7 70\n", 0, true},
                {"boot\n1 2\n7 70\n9 9\n", 0, true},
                {"boot\n7 71\n", 0, false}, /* another block under the number */
                {"other\n7 70\n", 0, false},
                {"boot2\n7 70\n", 0, false},
                {"boot\n7 70", -EINVAL, false}, /* torn */
                {"boot\n7 70\n8 ", -EINVAL, true},
                {"boot\n\n7 70\n", -EINVAL, false},
                {"boot\n7\n", -EINVAL, false},
                {"boot\n7 70 1\n", -EINVAL, false},
                {"boot\n7 70 movable\n", 0, false, true},
                {"boot\n7 71 movable\n", 0, false, false},
                {"boot\n7 70 movabl\n", -EINVAL, false},
                {"boot\n7 70 \n", -EINVAL, false},
                {"boot\n7 70 movable kernel\n", -EINVAL, false},
                {"boot\n-7 70\n", -EINVAL, false},
                {"boot\n7 99999999999999999999\n", -EINVAL, false},
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                BlockTable table = {.look_from = UINT64_MAX, .retry_usec = USEC_INFINITY};
                BlockRecord *record = block_table_insert(&table, 7, 70, 0);

                assert_non_null(record);
                if (block_ledger_parse(texts[i].text, strlen(texts[i].text), "boot", &table) != texts[i].r ||
                    record->administrators != texts[i].taken || record->hosts != texts[i].hosts ||
                    record->zone != (texts[i].hosts ? ZONE_MOVABLE : ZONE_UNKNOWN))
                        fail_msg("\"%s\"", texts[i].text);
                block_table_done(&table);
        }
}

/* Of a file that is cut or garbled a line counts only if all before it and all of it is as it was written. */
static void take_damaged(const char *text, size_t size, size_t intact) {
        static const char whole[] = "boot\n7 70\n";
        BlockTable table = {.look_from = UINT64_MAX, .retry_usec = USEC_INFINITY};
        BlockRecord *record = block_table_insert(&table, 7, 70, 0);
        int r;

        assert_non_null(record);
        r = block_ledger_parse(text, size, "boot", &table);
        if ((r != 0 && r != -EINVAL) || record->administrators != (intact >= strlen(whole)))
                fail_msg("\"%.*s\"", (int) size, text);
        block_table_done(&table);
}

static void test_torn_and_garbled(void **state) {
        static const char text[] = "boot\n7 70\n8 80 movable\n9 90\n";
        char garbled[sizeof(text)];

        for (size_t i = 0; i < sizeof(text); i++)
                take_damaged(text, i, i);
        for (size_t i = 0; i < strlen(text); i++)
                for (unsigned bit = 0; bit < 8; bit++) {
                        memcpy(garbled, text, sizeof(text));
                        garbled[i] = (char) (garbled[i] ^ (1 << bit));
                        take_damaged(garbled, strlen(text), i);
                }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_restart),
                cmocka_unit_test(test_ledger_texts),
                cmocka_unit_test(test_torn_and_garbled),
        };

        log_setup(LOG_TARGET_STDERR, LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
