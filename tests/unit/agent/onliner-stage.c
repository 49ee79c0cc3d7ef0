/* SPDX-License-Identifier: Apache-2.0 */

#include "onliner-stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <string.h>

#include "common/units.h"

const BlockServiceConfig stage_online_all = {.online = true, .zone_ratio_percent = 301};

unsigned stage_n_state_reads;

ssize_t __real_rootdir_read_line(const RootDir *root, const char *path, char *buffer, size_t size);
ssize_t __wrap_rootdir_read_line(const RootDir *root, const char *path, char *buffer, size_t size);

ssize_t __wrap_rootdir_read_line(const RootDir *root, const char *path, char *buffer, size_t size) {
        if (strstr(path, "/state"))
                stage_n_state_reads++;
        return __real_rootdir_read_line(root, path, buffer, size);
}

static void on_fate(const BlockFate *fate, void *userdata) {
        Stage *stage = userdata;
        size_t n = strlen(stage->fates);
        const char *detail = fate->action == BLOCK_ONLINED  ? zone_to_string(fate->zone)
                             : fate->action == BLOCK_FAILED ? strerrorname_np(fate->error)
                                                            : block_kind_to_string(fate->kind);

        assert_int_equal(fate->bytes, 128 * MIB);
        (void) snprintf(stage->fates + n, sizeof(stage->fates) - n, "%s%s %" PRIu64 " %s", n > 0 ? "; " : "",
                        block_action_to_string(fate->action), fate->block, detail);
}

Stage *stage_new(void) {
        Stage *stage = calloc(1, sizeof(*stage));

        assert_non_null(stage);
        stage->now_usec = 1000 * USEC_PER_SEC;
        stage->tree = tree_new(NULL);
        fake_kernel_reset(stage->tree);
        tree_write(stage->tree, BLOCK_FOLDER "/block_size_bytes", "8000000\n");
        tree_write(stage->tree, BLOCK_FOLDER "/auto_online_blocks", "offline\n");
        tree_write(stage->tree, "proc/zoneinfo", ZONEINFO);
        fake_kernel_virtio_mem(32, 63);
        for (unsigned number = 0; number < 4; number++)
                fake_kernel_set_state(number, "online\n", "none\n");
        return stage;
}

void stage_start(Stage *stage, const BlockServiceConfig *config) {
        assert_int_equal(block_onliner_init(&stage->onliner, stage->tree->root, config, on_fate, stage,
                                            stage->now_usec),
                         0);
        assert_string_equal(stage->fates, ""); /* nothing is told from the constructor, nothing written */
        assert_int_equal(fake_kernel.n_writes, 0);
}

Stage *stage_free(Stage *stage) {
        if (!stage)
                return NULL;
        block_onliner_done(&stage->onliner);
        (void) tree_free(stage->tree);
        free(stage);
        return NULL;
}
void stage_work(Stage *stage) {
        for (unsigned i = 0; i < 100000; i++) {
                BlockBatch batch;

                switch (block_onliner_turn(&stage->onliner, stage->now_usec, &batch)) {
                case BLOCK_TURN_IDLE:
                        return;
                case BLOCK_TURN_MORE:
                        continue;
                case BLOCK_TURN_WRITE:
                        break;
                case BLOCK_TURN_MAX:
                        fail();
                }
                for (size_t j = 0; j < batch.n; j++)
                        batch.writes[j].outcome =
                                block_online(stage->tree->root, batch.writes[j].number, batch.writes[j].zone);
                block_onliner_written(&stage->onliner, &batch, stage->now_usec);
        }
        fail_msg("it never ends");
}

void stage_hint(Stage *stage, uint64_t number) {
        assert_int_equal(block_onliner_hint(&stage->onliner, number, stage->now_usec), 0);
}

void stage_rescan(Stage *stage) {
        assert_int_equal(block_onliner_rescan(&stage->onliner, stage->now_usec), 0);
}

void stage_expect(Stage *stage, const char *fates) {
        stage_work(stage);
        assert_string_equal(stage->fates, fates);
        stage->fates[0] = '\0';
}

void stage_assert_counts(Stage *stage, unsigned online, unsigned offline) {
        unsigned n_online, n_offline;

        block_table_count(&stage->onliner.table, &n_online, &n_offline);
        assert_int_equal(n_online, online);
        assert_int_equal(n_offline, offline);
}

void stage_restart(Stage *stage) {
        block_onliner_done(&stage->onliner);
        fake_kernel.n_writes = 0;
        stage_start(stage, &stage_online_all);
}
