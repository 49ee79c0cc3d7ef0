/* SPDX-License-Identifier: Apache-2.0 */

/* Whose a block is when that is not clear at once, and which zone it gets. */

#include "agent/blocks/survey.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/log.h"
#include "common/units.h"
#include "onliner-stage.h"

/* A DIMM's blocks are announced before they have their link. */
static void test_late_link(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new();

        stage_start(stage, &stage_online_all);
        fake_kernel_add_block(70, NULL);
        stage_hint(stage, 70);
        stage_expect(stage, "");
        assert_int_equal(block_onliner_retry_usec(&stage->onliner), stage->now_usec + 2 * USEC_PER_MSEC);
        stage->now_usec += 2 * USEC_PER_MSEC;
        stage_expect(stage, "");
        tree_link(stage->tree, BLOCK_FOLDER "/memory70/firmware_node", "../../../PNP0C80:00");
        stage->now_usec += 10 * USEC_PER_MSEC;
        stage_expect(stage, "seen 70 dimm; onlined 70 movable");

        /* Nobody's block is told in the end, and left alone. */
        fake_kernel_add_block(90, NULL);
        stage_hint(stage, 90);
        for (unsigned i = 0; i < 6; i++) {
                stage_expect(stage, "");
                assert_true(block_onliner_retry_usec(&stage->onliner) < USEC_INFINITY);
                stage->now_usec = block_onliner_retry_usec(&stage->onliner);
        }
        stage_expect(stage, "seen 90 other");
        assert_int_equal(block_onliner_retry_usec(&stage->onliner), USEC_INFINITY);
        stage_rescan(stage);
        stage_expect(stage, "");
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
        stage_start(stage, &stage_online_all);
        fake_kernel_add_block(32, NULL);
        stage_hint(stage, 32);
        stage_expect(stage, "seen 32 virtio-mem; onlined 32 movable"); /* no slot is filled: at once */

        tree_write(stage->tree, "sys/bus/acpi/devices/PNP0C80:00/status", "15\n");
        fake_kernel_add_block(70, NULL);
        fake_kernel_add_block(33, NULL);
        stage_hint(stage, 70);
        stage_hint(stage, 33);
        stage_expect(stage, "");
        stage->now_usec += 2 * USEC_PER_MSEC;
        stage_expect(stage, "");
        tree_link(stage->tree, BLOCK_FOLDER "/memory70/firmware_node", "../../../PNP0C80:00");
        stage->now_usec += 10 * USEC_PER_MSEC;
        stage_expect(stage, "seen 33 virtio-mem; seen 70 dimm; onlined 33 movable; onlined 70 movable");
}

static void test_zones(void **state) {
        _cleanup_(stage_freep) Stage *stage = stage_new();

        /* 13 blocks of 128 MiB are more than 301 % of 512 MiB: as a DIMM they go to the kernel, whole. */
        for (unsigned number = 70; number < 83; number++)
                fake_kernel_add_block(number, "PNP0C80:00");
        /* 2 blocks fit, and the second follows the first whatever the balance says then. */
        fake_kernel_add_block(90, "PNP0C80:01");
        fake_kernel_add_block(91, "PNP0C80:01");
        stage_start(stage, &stage_online_all);
        stage_work(stage);
        assert_non_null(strstr(stage->fates, "onlined 70 kernel; onlined 71 kernel"));
        assert_non_null(strstr(stage->fates, "onlined 82 kernel; onlined 90 movable; onlined 91 movable"));
        stage->fates[0] = '\0';

        tree_write(stage->tree, "proc/zoneinfo", ZONEINFO "Node 0, zone  Movable\n        present  394000\n");
        fake_kernel_add_block(92, "PNP0C80:01");
        stage_hint(stage, 92);
        stage_expect(stage, "seen 92 dimm; onlined 92 movable");
        fake_kernel_add_block(40, NULL); /* virtio-mem is decided block by block */
        stage_hint(stage, 40);
        stage_expect(stage, "seen 40 virtio-mem; onlined 40 kernel");

        /* Without a balance: the zone that serves every use. */
        tree_write(stage->tree, "proc/zoneinfo", "");
        fake_kernel_add_block(41, NULL);
        stage_hint(stage, 41);
        stage_expect(stage, "seen 41 virtio-mem; onlined 41 kernel");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_late_link),
                cmocka_unit_test(test_late_link_hidden),
                cmocka_unit_test(test_zones),
        };

        log_setup(LOG_TARGET_STDERR, LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
