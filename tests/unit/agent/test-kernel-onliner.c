/* SPDX-License-Identifier: Apache-2.0 */

/* What the kernel is set to while an agent runs, and what is left behind, on a tree that stands for a Debian 12. */

#include "agent/blocks/kernel-onliner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/log.h"
#include "onliner-stage.h"

#define WORD       BLOCK_FOLDER "/auto_online_blocks"
#define PARAMETERS "sys/module/memory_hotplug/parameters/"

static Stage *machine_new(void) {
        Stage *stage = stage_new();

        tree_write(stage->tree, "proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n");
        tree_write(stage->tree, "proc/cmdline", "console=ttyS0 quiet\n");
        tree_write(stage->tree, "run/lock", "");
        tree_write(stage->tree, PARAMETERS "online_policy", "contig-zones\n");
        tree_write(stage->tree, PARAMETERS "auto_movable_ratio", "301\n");
        return stage;
}

static void assert_says(const Stage *stage, const char *path, const char *text) {
        char line[64];

        assert_true(rootdir_read_line(stage->tree->root, path, line, sizeof(line)) >= 0);
        assert_string_equal(line, text);
}

static void charge(Stage *stage, Onliner onliner) {
        const BlockServiceConfig config = {.online = true, .onliner = onliner, .zone_ratio_percent = 250};

        stage_start(stage, &config);
        block_onliner_take_charge(&stage->onliner);
}

/* What was added before is the agent's to online, what comes later the kernel's; a wave for its zones goes there. */
static void test_kernel(void **state) {
        _cleanup_(stage_freep) Stage *stage = machine_new();

        fake_kernel_add_block(32, NULL);
        charge(stage, ONLINER_AUTO);
        assert_says(stage, WORD, "online");
        assert_says(stage, PARAMETERS "online_policy", "auto-movable");
        assert_says(stage, PARAMETERS "auto_movable_ratio", "250");
        stage_expect(stage, "onlined 32 movable");
        fake_kernel_set_state(33, "online\n", "Movable\n");
        stage_hint(stage, 33);
        stage_expect(stage, "onlined 33 movable");

        kernel_onliner_want_kernel_zone(&stage->onliner.kernel, true);
        assert_says(stage, WORD, "online_kernel");
        kernel_onliner_want_kernel_zone(&stage->onliner.kernel, false);
        assert_says(stage, WORD, "online");

        block_onliner_done(&stage->onliner);
        assert_says(stage, WORD, "online");
        assert_says(stage, PARAMETERS "online_policy", "auto-movable"); /* not to be changed any more */
        fake_kernel.n_writes = 0;
        charge(stage, ONLINER_AUTO);
        assert_says(stage, WORD, "online");
}

static void test_agent(void **state) {
        _cleanup_(stage_freep) Stage *stage = machine_new();

        tree_write(stage->tree, WORD, "online\n"); /* a Debian 13 */
        charge(stage, ONLINER_AGENT);
        assert_says(stage, WORD, "offline");
        assert_says(stage, PARAMETERS "online_policy", "contig-zones");
        assert_false(stage->onliner.kernel_onlines);
        kernel_onliner_want_kernel_zone(&stage->onliner.kernel, true); /* its own choice, then */
        assert_says(stage, WORD, "offline");
        block_onliner_done(&stage->onliner);
        assert_says(stage, WORD, "online");
        stage_start(stage, &stage_online_all);
}

/* Memory that the kernel has onlined under another policy: that one stays, and the agent writes. */
static void test_too_late(void **state) {
        _cleanup_(stage_freep) Stage *stage = machine_new();

        tree_write(stage->tree, WORD, "online\n");
        fake_kernel_set_state(32, "online\n", "Normal\n");
        charge(stage, ONLINER_AUTO);
        assert_says(stage, WORD, "offline");
        assert_says(stage, PARAMETERS "online_policy", "contig-zones");
}

static void test_an_administrators_word(void **state) {
        static const struct {
                const char *line, *word;
                bool respected;
        } rows[] = {
                {"quiet memhp_default_state=online_movable\n", "online_movable", true},
                {"memhp_default_state=offline quiet\n", "offline", true},
                {"memhp-default-state=online\n", "online", true},
                {"quiet nomemhp_default_state=online\n", "online", false},
                {"quiet\n", "online_movable", true},
                {"quiet\n", "online", false},
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(stage_freep) Stage *stage = machine_new();
                char word[32];

                (void) snprintf(word, sizeof(word), "%s\n", rows[i].word);
                tree_write(stage->tree, "proc/cmdline", rows[i].line);
                tree_write(stage->tree, WORD, word);
                charge(stage, ONLINER_AUTO);
                assert_int_equal(stage->onliner.kernel.plan.take_over, !rows[i].respected);
                if (!rows[i].respected)
                        continue;
                assert_says(stage, WORD, rows[i].word);
                assert_int_equal(kernel_onliner_release(stage->tree->root), 0);
                assert_says(stage, WORD, rows[i].word);
                block_onliner_done(&stage->onliner);
                assert_says(stage, WORD, rows[i].word);
                fake_kernel.n_writes = 0;
                stage_start(stage, &stage_online_all);
        }
}

/* Killed in a wave: what it has left is released, and is not taken for an administrator's by the next. */
static void test_death(void **state) {
        _cleanup_(stage_freep) Stage *stage = machine_new();

        charge(stage, ONLINER_AUTO);
        kernel_onliner_want_kernel_zone(&stage->onliner.kernel, true);
        stage->onliner.kernel.root = NULL;
        block_onliner_done(&stage->onliner);
        assert_says(stage, WORD, "online_kernel");
        assert_int_equal(kernel_onliner_release(stage->tree->root), 0);
        assert_says(stage, WORD, "online");

        tree_write(stage->tree, WORD, "online_kernel\n");
        charge(stage, ONLINER_AUTO);
        assert_says(stage, WORD, "online");

        /* In another boot nothing is ours. */
        stage->onliner.kernel.root = NULL;
        tree_write(stage->tree, "proc/sys/kernel/random/boot_id", "99999999-2222-3333-4444-555555555555\n");
        tree_write(stage->tree, WORD, "offline\n");
        assert_int_equal(kernel_onliner_release(stage->tree->root), 0);
        assert_says(stage, WORD, "offline");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_kernel),   cmocka_unit_test(test_agent),
                cmocka_unit_test(test_too_late), cmocka_unit_test(test_an_administrators_word),
                cmocka_unit_test(test_death),
        };

        log_setup(LOG_TARGET_STDERR, LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
