/* SPDX-License-Identifier: Apache-2.0 */

/* What becomes of blocks that come, go and change, in virtual time. */

#include "agent/blocks/onliner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <string.h>

#include "agent/blocks/ledger.h"
#include "common/log.h"
#include "common/units.h"
#include "fake-kernel.h"

/* 512 MiB of kernel memory, nothing movable. */
#define ZONEINFO                                                                                             \
        "Node 0, zone   Normal\n  pages free     100000\n        present  131072\n        managed  120000\n"

static const BlockServiceConfig online_all = {.online = true, .zone_ratio_percent = 301};

typedef struct Stage {
        Tree *tree;
        BlockOnliner onliner;
        uint64_t now_usec;
        char fates[1024]; /* "seen 40 virtio-mem; onlined 40 movable; ..." */
} Stage;

static unsigned n_state_reads;

ssize_t __real_rootdir_read_line(const RootDir *root, const char *path, char *buffer, size_t size);
ssize_t __wrap_rootdir_read_line(const RootDir *root, const char *path, char *buffer, size_t size);

ssize_t __wrap_rootdir_read_line(const RootDir *root, const char *path, char *buffer, size_t size) {
        if (strstr(path, "/state"))
                n_state_reads++;
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

/* A machine with boot memory 0-3 and a virtio-mem device over 32-63. */
static Stage *stage_new(void) {
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

static void start(Stage *stage, const BlockServiceConfig *config) {
        assert_int_equal(block_onliner_init(&stage->onliner, stage->tree->root, config, on_fate, stage,
                                            stage->now_usec),
                         0);
        assert_string_equal(stage->fates, ""); /* nothing is told from the constructor, nothing written */
        assert_int_equal(fake_kernel.n_writes, 0);
}

static Stage *stage_free(Stage *stage) {
        if (!stage)
                return NULL;
        block_onliner_done(&stage->onliner);
        (void) tree_free(stage->tree);
        free(stage);
        return NULL;
}
DEFINE_CLEANUP_FUNC(Stage, stage_free)

static void work(Stage *stage) {
        for (unsigned i = 0; i < 100000; i++) {
                BlockOnline outcome;
                BlockWrite write;

                switch (block_onliner_turn(&stage->onliner, stage->now_usec, &write)) {
                case BLOCK_TURN_IDLE:
                        return;
                case BLOCK_TURN_MORE:
                        continue;
                case BLOCK_TURN_WRITE:
                        break;
                case BLOCK_TURN_MAX:
                        fail();
                }
                outcome = block_online(stage->tree->root, write.number, write.zone);
                block_onliner_written(&stage->onliner, write.number, &outcome, stage->now_usec);
        }
        fail_msg("it never ends");
}

static void hint(Stage *stage, uint64_t number) {
        assert_int_equal(block_onliner_hint(&stage->onliner, number, stage->now_usec), 0);
}

static void rescan(Stage *stage) {
        assert_int_equal(block_onliner_rescan(&stage->onliner, stage->now_usec), 0);
}

/* Works, and compares what was told since the last time. */
static void expect(Stage *stage, const char *fates) {
        work(stage);
        assert_string_equal(stage->fates, fates);
        stage->fates[0] = '\0';
}

static void assert_counts(Stage *stage, unsigned online, unsigned offline) {
        unsigned n_online, n_offline;

        block_table_count(&stage->onliner.table, &n_online, &n_offline);
        assert_int_equal(n_online, online);
        assert_int_equal(n_offline, offline);
}

static void test_coldplug(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new();

        fake_kernel_add_block(34, NULL);
        fake_kernel_add_block(33, NULL);
        fake_kernel_add_block(70, "PNP0C80:00");
        fake_kernel_add_block(90, NULL); /* nobody's: stays */
        start(stage, &online_all);
        assert_counts(stage, 4, 4);
        expect(stage, "onlined 33 movable; onlined 34 movable; onlined 70 movable");
        assert_counts(stage, 7, 1);
        rescan(stage);
        expect(stage, "");
}

static void test_event(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new();
        unsigned before;

        for (unsigned number = 40; number < 60; number++)
                fake_kernel_set_state(number, "online\n", "Movable\n");
        start(stage, &online_all);
        expect(stage, "");

        fake_kernel_add_block(32, NULL);
        before = n_state_reads;
        hint(stage, 32);
        expect(stage, "seen 32 virtio-mem; onlined 32 movable");
        assert_int_equal(n_state_reads - before,
                         3); /* that block alone: by us, the fake kernel, and us again */

        hint(stage, 32); /* the kernel's own event of it */
        hint(stage, 32);
        expect(stage, "");
        hint(stage, 99); /* a block that is not there */
        expect(stage, "");
        assert_int_equal(fake_kernel.n_writes, 1);
}

static void test_removal(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new();

        fake_kernel_add_block(32, NULL);
        start(stage, &online_all);
        expect(stage, "onlined 32 movable");

        fake_kernel_remove_block(32);
        hint(stage, 32);
        expect(stage, "removed 32 virtio-mem");

        /* Events that come late find another block under the number. */
        fake_kernel_add_block(33, NULL);
        rescan(stage);
        expect(stage, "seen 33 virtio-mem; onlined 33 movable");
        fake_kernel_remove_block(33);
        fake_kernel_add_block(35, NULL); /* takes the inode that became free */
        fake_kernel_add_block(33, NULL);
        rescan(stage);
        expect(stage, "removed 33 virtio-mem; seen 33 virtio-mem; onlined 33 movable; seen 35 virtio-mem; "
                      "onlined 35 movable");
}

static void test_administrators(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new();

        fake_kernel_add_block(32, NULL);
        start(stage, &online_all);
        expect(stage, "onlined 32 movable");

        fake_kernel_set_state(32, "offline\n", "Normal Movable\n");
        hint(stage, 32);
        expect(stage, "offlined 32 virtio-mem");
        for (unsigned i = 0; i < 5; i++) {
                stage->now_usec += 60 * USEC_PER_SEC;
                hint(stage, 32);
                rescan(stage);
                expect(stage, "");
        }
        assert_int_equal(fake_kernel.n_writes, 1);

        /* Whoever onlines it gives it back to us. */
        fake_kernel_set_state(32, "online\n", "Normal\n");
        hint(stage, 32);
        expect(stage, "onlined 32 kernel");

        /* One found offline by a scan, without an event, is no less somebody's. */
        fake_kernel_set_state(32, "offline\n", "Normal Movable\n");
        rescan(stage);
        expect(stage, "offlined 32 virtio-mem");
        assert_int_equal(fake_kernel.n_writes, 1);
}

static void restart(Stage *stage) {
        block_onliner_done(&stage->onliner);
        fake_kernel.n_writes = 0;
        start(stage, &online_all);
}

/* The next agent of this boot leaves an administrator's blocks alone too. */
static void test_restart(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new();
        char text[256];

        tree_write(stage->tree, "proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n");
        tree_write(stage->tree, "run/lock", "");
        fake_kernel_add_block(32, NULL);
        fake_kernel_add_block(33, NULL);
        start(stage, &online_all);
        expect(stage, "onlined 32 movable; onlined 33 movable");
        block_onliner_save(&stage->onliner);
        assert_int_equal(rootdir_read(stage->tree->root, BLOCK_LEDGER_PATH, text, sizeof(text)), -ENOENT);

        fake_kernel_set_state(32, "offline\n", "Normal Movable\n");
        hint(stage, 32);
        expect(stage, "offlined 32 virtio-mem");
        block_onliner_save(&stage->onliner);
        restart(stage);
        rescan(stage);
        expect(stage, "");
        assert_counts(stage, 5, 1);

        /* Another boot knows no administrator. */
        tree_write(stage->tree, "proc/sys/kernel/random/boot_id", "99999999-2222-3333-4444-555555555555\n");
        restart(stage);
        expect(stage, "onlined 32 movable");

        /* The file goes with its last line. */
        fake_kernel_set_state(33, "offline\n", "Normal Movable\n");
        hint(stage, 33);
        expect(stage, "offlined 33 virtio-mem");
        block_onliner_save(&stage->onliner);
        assert_true(rootdir_read(stage->tree->root, BLOCK_LEDGER_PATH, text, sizeof(text)) > 0);
        fake_kernel_remove_block(33);
        hint(stage, 33);
        expect(stage, "removed 33 virtio-mem");
        block_onliner_save(&stage->onliner);
        assert_int_equal(rootdir_read(stage->tree->root, BLOCK_LEDGER_PATH, text, sizeof(text)), -ENOENT);
}

static void test_ledger_texts(void **state) {
        static const struct {
                const char *text;
                int r;
                bool taken; /* block 7 of identity 70 */
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
                {"boot\n-7 70\n", -EINVAL, false},
                {"boot\n7 99999999999999999999\n", -EINVAL, false},
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                BlockTable table = {.look_from = UINT64_MAX, .retry_usec = USEC_INFINITY};
                BlockRecord *record = block_table_insert(&table, 7, 70, 0);

                assert_non_null(record);
                if (block_ledger_parse(texts[i].text, strlen(texts[i].text), "boot", &table) != texts[i].r ||
                    record->administrators != texts[i].taken)
                        fail_msg("\"%s\"", texts[i].text);
                block_table_done(&table);
        }
}

static void test_going_offline(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new();

        fake_kernel_set_state(32, "online\n", "Movable\n");
        start(stage, &online_all);
        fake_kernel_set_state(32, "going-offline\n", "Movable\n");
        hint(stage, 32);
        expect(stage, "");
        assert_counts(stage, 5, 0);
        fake_kernel_set_state(32, "online\n", "Movable\n"); /* it did not succeed */
        hint(stage, 32);
        expect(stage, "");
}

static void test_retries(void **state) {
        static const uint64_t waits_usec[] = {USEC_PER_SEC, 5 * USEC_PER_SEC, 30 * USEC_PER_SEC,
                                              30 * USEC_PER_SEC};
        _cleanup_(stage_freep) Stage *stage = stage_new();

        fake_kernel_add_block(32, NULL);
        memcpy(fake_kernel.errors, (int[]){ENOMEM, ENOMEM, EBUSY, ENOMEM}, 4 * sizeof(int));
        start(stage, &online_all);
        expect(stage, "failed 32 ENOMEM");

        for (unsigned i = 0; i < ELEMENTSOF(waits_usec); i++) {
                unsigned n_writes = fake_kernel.n_writes;

                assert_int_equal(block_onliner_retry_usec(&stage->onliner), stage->now_usec + waits_usec[i]);
                stage->now_usec += waits_usec[i] - 1;
                expect(stage, "");
                assert_int_equal(fake_kernel.n_writes, n_writes);
                stage->now_usec++;
                /* An error is told when it changes. */
                expect(stage, i == 0   ? ""
                              : i == 1 ? "failed 32 EBUSY"
                              : i == 2 ? "failed 32 ENOMEM"
                                       : "onlined 32 movable");
        }
        assert_int_equal(block_onliner_retry_usec(&stage->onliner), USEC_INFINITY);

        /* The next trouble begins at the bottom of the ladder. */
        fake_kernel.next_error = 0;
        fake_kernel_add_block(33, NULL);
        hint(stage, 33);
        expect(stage, "seen 33 virtio-mem; failed 33 ENOMEM");
        assert_int_equal(block_onliner_retry_usec(&stage->onliner), stage->now_usec + USEC_PER_SEC);
}

/* A DIMM's blocks are announced before they have their link. */
static void test_late_link(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new();

        start(stage, &online_all);
        fake_kernel_add_block(70, NULL);
        hint(stage, 70);
        expect(stage, "");
        assert_int_equal(block_onliner_retry_usec(&stage->onliner), stage->now_usec + 2 * USEC_PER_MSEC);
        stage->now_usec += 2 * USEC_PER_MSEC;
        expect(stage, "");
        tree_link(stage->tree, BLOCK_FOLDER "/memory70/firmware_node", "../../../PNP0C80:00");
        stage->now_usec += 10 * USEC_PER_MSEC;
        expect(stage, "seen 70 dimm; onlined 70 movable");

        /* Nobody's block is told in the end, and left alone. */
        fake_kernel_add_block(90, NULL);
        hint(stage, 90);
        for (unsigned i = 0; i < 6; i++) {
                expect(stage, "");
                assert_true(block_onliner_retry_usec(&stage->onliner) < USEC_INFINITY);
                stage->now_usec = block_onliner_retry_usec(&stage->onliner);
        }
        expect(stage, "seen 90 other");
        assert_int_equal(block_onliner_retry_usec(&stage->onliner), USEC_INFINITY);
        rescan(stage);
        expect(stage, "");
        assert_int_equal(fake_kernel.n_writes, 1);
}

/* Where iomem is hidden, a DIMM's block without its link yet looks like virtio-mem's. */
static void test_late_link_hidden(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new();

        tree_write(stage->tree, "proc/iomem", "00000000-00000000 : System RAM\n");
        tree_write(stage->tree, "sys/bus/virtio/devices/virtio0/device", "0x0018\n");
        tree_write(stage->tree, "sys/firmware/memmap/0/start", "0x0\n");
        tree_write(stage->tree, "sys/firmware/memmap/0/end", "0x1fffffff\n");
        tree_write(stage->tree, "sys/bus/acpi/devices/PNP0C80:00/status", "0\n");
        start(stage, &online_all);
        fake_kernel_add_block(32, NULL);
        hint(stage, 32);
        expect(stage, "seen 32 virtio-mem; onlined 32 movable"); /* no slot is filled: at once */

        tree_write(stage->tree, "sys/bus/acpi/devices/PNP0C80:00/status", "15\n");
        fake_kernel_add_block(70, NULL);
        fake_kernel_add_block(33, NULL);
        hint(stage, 70);
        hint(stage, 33);
        expect(stage, "");
        stage->now_usec += 2 * USEC_PER_MSEC;
        expect(stage, "");
        tree_link(stage->tree, BLOCK_FOLDER "/memory70/firmware_node", "../../../PNP0C80:00");
        stage->now_usec += 10 * USEC_PER_MSEC;
        expect(stage, "seen 33 virtio-mem; onlined 33 movable; seen 70 dimm; onlined 70 movable");
}

static void test_kernel_is_the_onliner(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new();

        tree_write(stage->tree, BLOCK_FOLDER "/auto_online_blocks", "online\n");
        fake_kernel_add_block(32, NULL);
        start(stage, &online_all);
        expect(stage, "");
        fake_kernel_set_state(32, "online\n", "Normal\n");
        hint(stage, 32);
        expect(stage, "onlined 32 kernel");
        fake_kernel_set_state(33, "online\n", "Normal\n"); /* online before we look */
        hint(stage, 33);
        expect(stage, "onlined 33 kernel");
        assert_int_equal(fake_kernel.n_writes, 0);

        /* The policy changes under us. */
        fake_kernel_add_block(34, NULL);
        tree_write(stage->tree, BLOCK_FOLDER "/auto_online_blocks", "offline\n");
        rescan(stage);
        expect(stage, "seen 34 virtio-mem; onlined 34 movable");
}

static void test_observe_only(void **state) {
        const BlockServiceConfig observe = {.online = false, .zone_ratio_percent = 301};
        _cleanup_(stage_freep) Stage *stage = stage_new();

        start(stage, &observe);
        fake_kernel_add_block(32, NULL);
        hint(stage, 32);
        expect(stage, "seen 32 virtio-mem");
        assert_int_equal(fake_kernel.n_writes, 0);

        stage->onliner.config = online_all;
        rescan(stage);
        expect(stage, "onlined 32 movable");
}

static void test_zones(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new();

        /* 13 blocks of 128 MiB are more than 301 % of 512 MiB: as a DIMM they go to the kernel, whole. */
        for (unsigned number = 70; number < 83; number++)
                fake_kernel_add_block(number, "PNP0C80:00");
        /* 2 blocks fit, and the second follows the first whatever the balance says then. */
        fake_kernel_add_block(90, "PNP0C80:01");
        fake_kernel_add_block(91, "PNP0C80:01");
        start(stage, &online_all);
        work(stage);
        assert_non_null(strstr(stage->fates, "onlined 70 kernel; onlined 71 kernel"));
        assert_non_null(strstr(stage->fates, "onlined 82 kernel; onlined 90 movable; onlined 91 movable"));
        stage->fates[0] = '\0';

        tree_write(stage->tree, "proc/zoneinfo", ZONEINFO "Node 0, zone  Movable\n        present  394000\n");
        fake_kernel_add_block(92, "PNP0C80:01");
        hint(stage, 92);
        expect(stage, "seen 92 dimm; onlined 92 movable");
        fake_kernel_add_block(40, NULL); /* virtio-mem is decided block by block */
        hint(stage, 40);
        expect(stage, "seen 40 virtio-mem; onlined 40 kernel");

        /* Without a balance: the zone that serves every use. */
        tree_write(stage->tree, "proc/zoneinfo", "");
        fake_kernel_add_block(41, NULL);
        hint(stage, 41);
        expect(stage, "seen 41 virtio-mem; onlined 41 kernel");
}

/* While a write is under way nothing else is looked at, and what it says may be old news. */
static void test_slow_write(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new();
        const BlockOnline gone = {.result = BLOCK_ONLINE_GONE},
                          done = {BLOCK_ONLINE_DONE, ZONE_MOVABLE, 0, false};
        BlockWrite write;

        fake_kernel_add_block(32, NULL);
        fake_kernel_add_block(33, NULL);
        start(stage, &online_all);
        assert_int_equal(block_onliner_turn(&stage->onliner, stage->now_usec, &write), BLOCK_TURN_WRITE);
        assert_int_equal(write.number, 32);
        assert_int_equal(block_onliner_turn(&stage->onliner, stage->now_usec, &write), BLOCK_TURN_IDLE);

        fake_kernel_remove_block(32);
        hint(stage, 32);
        block_onliner_written(&stage->onliner, 32, &gone, stage->now_usec);
        expect(stage, "removed 32 virtio-mem; onlined 33 movable"); /* told once */

        /* Another block comes under the number while the write still runs: it is not online for that. */
        fake_kernel_add_block(34, NULL);
        hint(stage, 34);
        while (block_onliner_turn(&stage->onliner, stage->now_usec, &write) == BLOCK_TURN_MORE)
                ;
        fake_kernel_remove_block(34);
        fake_kernel_add_block(35, NULL); /* takes the inode that became free */
        fake_kernel_add_block(34, NULL);
        hint(stage, 34);
        block_onliner_written(&stage->onliner, 34, &done, stage->now_usec);
        expect(stage, "seen 34 virtio-mem; removed 34 virtio-mem; seen 34 virtio-mem; onlined 34 movable");
}

static void test_unreadable_state(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new();

        fake_kernel_set_state(32, "what?\n", "none\n");
        start(stage, &online_all);
        expect(stage, "");
        fake_kernel_set_state(32, "offline\n", "Movable\n");
        rescan(stage);
        expect(stage, "onlined 32 movable");
}

/* 4 TiB in blocks of 128 MiB; every 64th is gone, every 100th offline. */
static void test_many_blocks(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new();
        unsigned n_online = 4, n_offline = 0, before;

        for (unsigned number = 100; number < 32768; number++) {
                char path[128];

                if (number % 64 == 0)
                        continue;
                (void) snprintf(path, sizeof(path), BLOCK_FOLDER "/memory%u/state", number);
                tree_write(stage->tree, path, number % 100 == 0 ? "offline\n" : "online\n");
                n_offline += number % 100 == 0;
                n_online += number % 100 != 0;
        }
        start(stage, &online_all);
        assert_counts(stage, n_online, n_offline);
        expect(stage, "");

        fake_kernel_add_block(33, NULL);
        before = n_state_reads;
        hint(stage, 33);
        expect(stage, "seen 33 virtio-mem; onlined 33 movable");
        assert_int_equal(n_state_reads - before, 3);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_coldplug),
                cmocka_unit_test(test_event),
                cmocka_unit_test(test_removal),
                cmocka_unit_test(test_administrators),
                cmocka_unit_test(test_restart),
                cmocka_unit_test(test_ledger_texts),
                cmocka_unit_test(test_going_offline),
                cmocka_unit_test(test_retries),
                cmocka_unit_test(test_late_link),
                cmocka_unit_test(test_late_link_hidden),
                cmocka_unit_test(test_kernel_is_the_onliner),
                cmocka_unit_test(test_observe_only),
                cmocka_unit_test(test_zones),
                cmocka_unit_test(test_slow_write),
                cmocka_unit_test(test_unreadable_state),
                cmocka_unit_test(test_many_blocks),
        };

        log_setup(LOG_TARGET_STDERR, LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
