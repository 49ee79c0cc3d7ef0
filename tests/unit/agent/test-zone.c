/* SPDX-License-Identifier: Apache-2.0 */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "agent/policy/zone.h"
#include "common/macro.h"
#include "common/units.h"

static void test_choose(void **unused) {
        static const struct {
                ZonePolicy policy;
                BlockKind kind;
                uint64_t kernel, movable, block; /* MiB */
                uint64_t ratio;
                Zone expected;
        } table[] = {
                {ZONE_POLICY_AUTO, BLOCK_KIND_VIRTIO_MEM, 512, 0, 128, 301, ZONE_MOVABLE},
                {ZONE_POLICY_AUTO, BLOCK_KIND_VIRTIO_MEM, 512, 1408, 128, 300,
                 ZONE_MOVABLE}, /* just reaches 3:1 */
                {ZONE_POLICY_AUTO, BLOCK_KIND_VIRTIO_MEM, 512, 1409, 128, 300, ZONE_KERNEL},
                {ZONE_POLICY_AUTO, BLOCK_KIND_DIMM, 512, 1536, 128, 300, ZONE_KERNEL},
                {ZONE_POLICY_AUTO, BLOCK_KIND_DIMM, 640, 1536, 128, 300,
                 ZONE_MOVABLE}, /* which makes room again */
                {ZONE_POLICY_AUTO, BLOCK_KIND_OTHER, 512, 0, 128, 301, ZONE_KERNEL},
                {ZONE_POLICY_AUTO, BLOCK_KIND_DIMM, 512, 0, 128, 0, ZONE_KERNEL},
                {ZONE_POLICY_AUTO, BLOCK_KIND_DIMM, 0, 0, 128, 301,
                 ZONE_KERNEL}, /* nothing known of the zones */
                {ZONE_POLICY_MOVABLE, BLOCK_KIND_OTHER, 0, 0, 128, 0, ZONE_MOVABLE},
                {ZONE_POLICY_KERNEL, BLOCK_KIND_VIRTIO_MEM, 512, 0, 128, 301, ZONE_KERNEL},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                ZoneBalance balance = {table[i].kernel * MIB, table[i].movable * MIB, .kernel_wanted = false};

                assert_int_equal(zone_choose(table[i].policy, table[i].kind, &balance, table[i].block * MIB,
                                             table[i].ratio),
                                 table[i].expected);
        }
}

/* Asked for the kernel's zones: only AUTO has a choice. */
static void test_choose_wanted_by_the_kernel(void **unused) {
        const ZoneBalance balance = {512 * MIB, 0, .kernel_wanted = true};

        assert_int_equal(zone_choose(ZONE_POLICY_AUTO, BLOCK_KIND_VIRTIO_MEM, &balance, 128 * MIB, 301),
                         ZONE_KERNEL);
        assert_int_equal(zone_choose(ZONE_POLICY_MOVABLE, BLOCK_KIND_VIRTIO_MEM, &balance, 128 * MIB, 301),
                         ZONE_MOVABLE);
}

/* Sizes that overflow are more than any ratio allows. */
static void test_choose_huge(void **unused) {
        ZoneBalance balance = {UINT64_MAX, UINT64_MAX, .kernel_wanted = false};

        assert_int_equal(zone_choose(ZONE_POLICY_AUTO, BLOCK_KIND_DIMM, &balance, UINT64_MAX, UINT64_MAX),
                         ZONE_MOVABLE);
        balance.kernel_bytes = GIB;
        assert_int_equal(zone_choose(ZONE_POLICY_AUTO, BLOCK_KIND_DIMM, &balance, UINT64_MAX, 301),
                         ZONE_KERNEL);
}

static void test_word(void **unused) {
        assert_string_equal(zone_online_word(ZONE_MOVABLE), "online_movable");
        assert_string_equal(zone_online_word(ZONE_KERNEL), "online_kernel");
        assert_string_equal(zone_online_word(ZONE_UNKNOWN), "online_kernel");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_choose),
                cmocka_unit_test(test_choose_huge),
                cmocka_unit_test(test_choose_wanted_by_the_kernel),
                cmocka_unit_test(test_word),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
