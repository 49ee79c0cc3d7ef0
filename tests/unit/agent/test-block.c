/* SPDX-License-Identifier: Apache-2.0 */

/* Memory blocks as values, on a recorded guest, on odd trees, and against a kernel that answers as it likes. */

#include "agent/blocks/block.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/units.h"
#include "fake-kernel.h"

static void test_names(void **state) {
        static const struct {
                const char *name;
                uint64_t number; /* UINT64_MAX: no block */
        } names[] = {
                {"memory0", 0},
                {"memory32767", 32767},
                {"memory1099511627775", BLOCK_NUMBER_MAX},
                {"memory1099511627776", UINT64_MAX},
                {"memory99999999999999999999999", UINT64_MAX},
                {"memory", UINT64_MAX},
                {"memory01", UINT64_MAX},
                {"memory00", UINT64_MAX},
                {"memory-1", UINT64_MAX},
                {"memory+1", UINT64_MAX},
                {"memory 1", UINT64_MAX},
                {"memory1 ", UINT64_MAX},
                {"memory1x", UINT64_MAX},
                {"memory0x1", UINT64_MAX},
                {"memor1", UINT64_MAX},
                {"Memory1", UINT64_MAX},
                {"xmemory1", UINT64_MAX},
                {"", UINT64_MAX},
                {"power", UINT64_MAX},
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                uint64_t number = UINT64_MAX;
                int r = block_number_from_name(names[i].name, &number);

                if (number != names[i].number || (r < 0) != (names[i].number == UINT64_MAX))
                        fail_msg("\"%s\": %d", names[i].name, r);
        }
}

static void test_block_size(void **state) {
        static const struct {
                const char *text;
                int r;
                uint64_t bytes;
        } sizes[] = {
                {"8000000\n", 0, 128 * MIB},
                {"80000000\n", 0, 2 * GIB},
                {"1000000\n", 0, 16 * MIB},
                {"20000000", 0, 512 * MIB},
                {"0x8000000\n", 0, 128 * MIB},
                {"134217728\n", -EBADMSG},
                {"0\n", -EBADMSG},
                {"\n", -EBADMSG},
                {"-8000000\n", -EBADMSG},
                {"8000001\n", -EBADMSG},
                {"8000000000000000\n", -EBADMSG},
        };

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                _cleanup_(tree_freep) Tree *tree = tree_new(NULL);
                uint64_t bytes = 0;

                tree_write(tree, BLOCK_FOLDER "/block_size_bytes", sizes[i].text);
                if (block_size_read(tree->root, &bytes) != sizes[i].r || bytes != sizes[i].bytes)
                        fail_msg("\"%s\"", sizes[i].text);
        }
}

typedef struct Listed {
        uint64_t numbers[512];
        size_t n, stop_after;
        uint64_t identity_of_4;
} Listed;

static int on_listed(const BlockEntry *entry, void *userdata) {
        Listed *listed = userdata;

        assert_true(listed->n < ELEMENTSOF(listed->numbers));
        listed->numbers[listed->n++] = entry->number;
        if (entry->number == 4)
                listed->identity_of_4 = entry->identity;
        return listed->n == listed->stop_after ? -ECANCELED : 0;
}

static unsigned times_listed(const Listed *listed, uint64_t number) {
        unsigned times = 0;

        for (size_t i = 0; i < listed->n; i++)
                times += listed->numbers[i] == number;
        return times;
}

static void test_no_hotplug(void **state) {
        _cleanup_(tree_freep) Tree *tree = tree_new(NULL);
        Listed listed = {0};
        uint64_t bytes;

        assert_int_equal(block_size_read(tree->root, &bytes), -ENOENT);
        assert_int_equal(block_list(tree->root, on_listed, &listed), -ENOENT);
}

static void test_list(void **state) {
        _cleanup_(tree_freep) Tree *tree = tree_new(NULL);
        Listed listed = {.stop_after = SIZE_MAX};
        uint64_t identity;

        fake_kernel_reset(tree);
        for (unsigned number = 0; number < 300; number += number % 3 + 1) /* gaps */
                fake_kernel_add_block(number, NULL);
        tree_write(tree, BLOCK_FOLDER "/memory01/state", "offline\n");
        tree_write(tree, BLOCK_FOLDER "/memory99999999999/power/control", "auto\n");
        tree_write(tree, BLOCK_FOLDER "/block_size_bytes", "8000000\n");

        assert_int_equal(block_list(tree->root, on_listed, &listed), 0);
        assert_int_equal(listed.n, 201); /* 0, 1, 3, 4, 6, ... and 99999999999 */
        for (uint64_t number = 0; number < 300; number += number % 3 + 1)
                assert_int_equal(times_listed(&listed, number), 1);
        assert_int_equal(times_listed(&listed, UINT64_C(99999999999)), 1);
        assert_int_equal(block_identity_read(tree->root, 4, &identity), 0);
        assert_int_equal(listed.identity_of_4, identity);
        assert_int_equal(block_identity_read(tree->root, 2, &identity), -ENOENT);

        listed = (Listed){.stop_after = 150};
        assert_int_equal(block_list(tree->root, on_listed, &listed), -ECANCELED);
        assert_int_equal(listed.n, 150);
}

static void test_states(void **state) {
        static const struct {
                const char *text;
                int r;
                BlockState state;
        } states[] = {
                {"online\n", 0, BLOCK_STATE_ONLINE},
                {"offline\n", 0, BLOCK_STATE_OFFLINE},
                {"going-offline\n", 0, BLOCK_STATE_GOING_OFFLINE},
                {"online_movable", 0, BLOCK_STATE_ONLINE}, /* a plain file that was written to */
                {"on\n", -EBADMSG},
                {"", -EBADMSG},
                {"offline \n", -EBADMSG},
                {"ERROR-UNKNOWN-3\n", -EBADMSG},
        };
        _cleanup_(tree_freep) Tree *tree = tree_new(NULL);

        for (size_t i = 0; i < ELEMENTSOF(states); i++) {
                BlockState read = BLOCK_STATE_MAX;

                tree_write(tree, BLOCK_FOLDER "/memory7/state", states[i].text);
                if (block_state_read(tree->root, 7, &read) != states[i].r ||
                    read != (states[i].r < 0 ? BLOCK_STATE_MAX : states[i].state))
                        fail_msg("\"%s\"", states[i].text);
        }
        assert_int_equal(block_state_read(tree->root, 8, &(BlockState){0}), -ENOENT);
}

static void test_zones(void **state) {
        static const struct {
                const char *text;
                Zone zone;
                bool movable;
        } zones[] = {
                {"Movable\n", ZONE_MOVABLE, true},       {"Normal\n", ZONE_KERNEL, false},
                {"Normal Movable\n", ZONE_KERNEL, true}, {"Movable Normal\n", ZONE_MOVABLE, true},
                {"DMA32\n", ZONE_KERNEL, false},         {"DMA\n", ZONE_KERNEL, false},
                {"none\n", ZONE_UNKNOWN, false},         {"  Normal  Movable \n", ZONE_KERNEL, true},
                {"Device\n", ZONE_UNKNOWN, false},
        };
        static const char *const broken[] = {
                "", "\n", "  \n", "Norma\n", "Normal Movabl\n", "Normal\tMovable\n", "0\n"};
        _cleanup_(tree_freep) Tree *tree = tree_new(NULL);
        Zone untouched = ZONE_MOVABLE;

        for (size_t i = 0; i < ELEMENTSOF(zones); i++) {
                bool movable;
                Zone zone;

                tree_write(tree, BLOCK_FOLDER "/memory7/valid_zones", zones[i].text);
                assert_int_equal(block_zone_read(tree->root, 7, &zone, &movable), 0);
                if (zone != zones[i].zone || movable != zones[i].movable)
                        fail_msg("\"%s\"", zones[i].text);
        }
        for (size_t i = 0; i < ELEMENTSOF(broken); i++) {
                tree_write(tree, BLOCK_FOLDER "/memory7/valid_zones", broken[i]);
                if (block_zone_read(tree->root, 7, &untouched, NULL) != -EBADMSG || untouched != ZONE_MOVABLE)
                        fail_msg("\"%s\"", broken[i]);
        }
        assert_int_equal(block_zone_read(tree->root, 8, &untouched, NULL), -ENOENT);
}

/* -- whose it is ----------------------------------------------------------------------------------- */

static BlockKind kind_of(const RootDir *root, const BlockMap *map, uint64_t number) {
        BlockKind kind;

        assert_int_equal(block_kind_read(root, number, 128 * MIB, map, &kind), 0);
        return kind;
}

static void test_kinds_of_debian(void **state) {
        _cleanup_(rootdir_freep) RootDir *root = fixture_root("debian12-6.1");
        uint64_t first, last;
        BlockKind kind;
        BlockMap map;

        assert_int_equal(block_map_read(root, &map), 0);
        assert_false(map.hidden);
        assert_int_equal(map.n_ranges, 1);
        assert_int_equal(map.ranges[0].start, 4 * GIB); /* the device's range, not the memory's */
        assert_int_equal(map.ranges[0].end, 8 * GIB - 1);

        assert_int_equal(kind_of(root, &map, 0), BLOCK_KIND_OTHER);
        assert_int_equal(kind_of(root, &map, 32), BLOCK_KIND_VIRTIO_MEM);
        assert_int_equal(kind_of(root, &map, 35), BLOCK_KIND_VIRTIO_MEM);
        assert_int_equal(kind_of(root, &map, 64), BLOCK_KIND_DIMM);
        assert_int_equal(block_kind_read(root, 40, 128 * MIB, &map, &kind), -ENOENT);

        assert_int_equal(block_dimm_extent(root, 65, &first, &last), 0);
        assert_int_equal(first, 64);
        assert_int_equal(last, 65);
        assert_int_equal(block_dimm_extent(root, 32, &first, &last), -ENOENT);
}

/* Without CAP_SYS_ADMIN every address of iomem is 0. */
static void test_hidden_iomem(void **state) {
        _cleanup_(tree_freep) Tree *tree = tree_new("debian12-6.1");
        BlockMap map;

        tree_write(tree, "proc/iomem",
                   "00000000-00000000 : Reserved\n00000000-00000000 : System RAM\n  00000000-00000000 : "
                   "Kernel code\n"
                   "00000000-00000000 : virtio0\n  00000000-00000000 : System RAM (virtio_mem)\n");
        assert_int_equal(block_map_read(tree->root, &map), 0);
        assert_true(map.hidden);
        assert_int_equal(kind_of(tree->root, &map, 0), BLOCK_KIND_OTHER);
        assert_int_equal(kind_of(tree->root, &map, 3), BLOCK_KIND_OTHER);
        assert_int_equal(kind_of(tree->root, &map, 32), BLOCK_KIND_VIRTIO_MEM);
        assert_int_equal(kind_of(tree->root, &map, 65), BLOCK_KIND_DIMM);

        /* A map with a hole would make boot memory virtio-mem's. */
        tree_write(tree, "sys/firmware/memmap/3/start", "0x?\n");
        assert_int_equal(block_map_read(tree->root, &map), -EBADMSG);
        tree_write(tree, "sys/firmware/memmap/3/start", "0x0\n");

        /* Without such a device, unknown memory is not for us. */
        tree_remove(tree, "sys/bus/virtio/devices/virtio0");
        assert_int_equal(block_map_read(tree->root, &map), 0);
        assert_int_equal(kind_of(tree->root, &map, 32), BLOCK_KIND_OTHER);
}

static void test_iomem_texts(void **state) {
        static const struct {
                const char *name, *text;
                size_t n_ranges;
                uint64_t start, end;
                bool hidden;
        } texts[] = {
                {"empty", "", 0},
                {"no memory of it", "100000-1fffffff : System RAM\n", 0},
                {"the device alone", "100000000-1ffffffff : virtio0\n", 0},
                {"device and memory", "100-1ff : virtio12\n  100-13f : System RAM (virtio_mem)\n", 1, 0x100,
                 0x1ff},
                {"memory alone", "100-13f : System RAM (virtio_mem)", 1, 0x100, 0x13f},
                {"a bus above", "100-fff : PCI Bus\n  200-2ff : System RAM (virtio_mem)\n", 1, 0x200, 0x2ff},
                {"two pieces",
                 "100-1ff : virtio0\n  100-13f : System RAM (virtio_mem)\n  180-1bf : System RAM "
                 "(virtio_mem)\n",
                 1, 0x100, 0x1ff},
                {"two devices",
                 "100-1ff : virtio0\n  100-13f : System RAM (virtio_mem)\n"
                 "200-2ff : virtio1\n  200-23f : System RAM (virtio_mem)\n",
                 2, 0x100, 0x1ff},
                {"a kmem beside", "100-1ff : dax0.0\n  100-1ff : System RAM (kmem)\n", 0},
                {"backwards", "1ff-100 : System RAM (virtio_mem)\n", 0},
                {"no hex", "x-y : System RAM (virtio_mem)\n", 0},
                {"no colon", "100-1ff System RAM (virtio_mem)\n", 0},
                {"too large", "10000000000000000-2ffffffffffffffff : System RAM (virtio_mem)\n", 0},
                {"hidden", "00000000-00000000 : System RAM\n", 0, 0, 0, true},
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                BlockMap map;

                block_map_parse(texts[i].text, strlen(texts[i].text), &map);
                if (map.n_ranges != texts[i].n_ranges || map.hidden != texts[i].hidden ||
                    (map.n_ranges > 0 &&
                     (map.ranges[0].start != texts[i].start || map.ranges[0].end != texts[i].end)))
                        fail_msg("%s: %zu ranges", texts[i].name, map.n_ranges);
        }
}

/* -- online ---------------------------------------------------------------------------------------- */

static void online_by_somebody(const char *path) {
        fake_kernel_set_state(9, "online\n", "Normal\n");
}

static void vanish(const char *path) {
        fake_kernel_remove_block(9);
        fake_kernel.before_write = NULL;
}

static const struct {
        const char *name;
        Zone zone;
        int errors[FAKE_ERRORS_MAX];
        bool no_movable;
        void (*before_write)(const char *path);
        BlockOnline want;
        unsigned n_writes;
} attempts[] = {
        {"movable", ZONE_MOVABLE, {}, false, NULL, {BLOCK_ONLINE_DONE, ZONE_MOVABLE, 0, false}, 1},
        {"kernel", ZONE_KERNEL, {}, false, NULL, {BLOCK_ONLINE_DONE, ZONE_KERNEL, 0, false}, 1},
        {"lost the race: EINVAL and online, in another zone",
         ZONE_MOVABLE,
         {},
         false,
         online_by_somebody,
         {BLOCK_ONLINE_ALREADY, ZONE_KERNEL, 0, false},
         1},
        {"the zone is impossible",
         ZONE_MOVABLE,
         {},
         true,
         NULL,
         {BLOCK_ONLINE_DONE, ZONE_KERNEL, 0, true},
         2},
        {"EINVAL twice",
         ZONE_KERNEL,
         {EINVAL, EINVAL},
         false,
         NULL,
         {BLOCK_ONLINE_FAILED, ZONE_UNKNOWN, EINVAL, false},
         2},
        {"no memory",
         ZONE_MOVABLE,
         {ENOMEM},
         false,
         NULL,
         {BLOCK_ONLINE_FAILED, ZONE_UNKNOWN, ENOMEM, false},
         1},
        {"busy", ZONE_MOVABLE, {EBUSY}, false, NULL, {BLOCK_ONLINE_FAILED, ZONE_UNKNOWN, EBUSY, false}, 1},
        {"not allowed",
         ZONE_MOVABLE,
         {EACCES},
         false,
         NULL,
         {BLOCK_ONLINE_FAILED, ZONE_UNKNOWN, EACCES, false},
         1},
        {"gone before the write",
         ZONE_MOVABLE,
         {},
         false,
         vanish,
         {BLOCK_ONLINE_GONE, ZONE_UNKNOWN, 0, false},
         1},
        {"gone in the write",
         ZONE_MOVABLE,
         {ENODEV},
         false,
         vanish,
         {BLOCK_ONLINE_GONE, ZONE_UNKNOWN, 0, false},
         1},
};

static void test_online(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(attempts); i++) {
                _cleanup_(tree_freep) Tree *tree = tree_new(NULL);
                BlockOnline outcome;

                fake_kernel_reset(tree);
                fake_kernel_add_block(9, NULL);
                memcpy(fake_kernel.errors, attempts[i].errors, sizeof(fake_kernel.errors));
                fake_kernel.no_movable = attempts[i].no_movable;
                fake_kernel.before_write = attempts[i].before_write;

                outcome = block_online(tree->root, 9, attempts[i].zone);
                if (outcome.result != attempts[i].want.result || outcome.zone != attempts[i].want.zone ||
                    outcome.error != attempts[i].want.error ||
                    outcome.fallback != attempts[i].want.fallback ||
                    fake_kernel.n_writes != attempts[i].n_writes)
                        fail_msg("%s: result %d zone %d error %d fallback %d after %u writes",
                                 attempts[i].name, outcome.result, outcome.zone, outcome.error,
                                 outcome.fallback, fake_kernel.n_writes);
        }
}

static void test_kernel_onlines(void **state) {
        _cleanup_(tree_freep) Tree *tree = tree_new(NULL);
        bool onlines = true;

        assert_int_equal(block_kernel_onlines(tree->root, &onlines), -ENOENT);
        tree_write(tree, BLOCK_FOLDER "/auto_online_blocks", "offline\n");
        assert_int_equal(block_kernel_onlines(tree->root, &onlines), 0);
        assert_false(onlines);
        tree_write(tree, BLOCK_FOLDER "/auto_online_blocks", "online_movable\n");
        assert_int_equal(block_kernel_onlines(tree->root, &onlines), 0);
        assert_true(onlines);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names),           cmocka_unit_test(test_block_size),
                cmocka_unit_test(test_no_hotplug),      cmocka_unit_test(test_list),
                cmocka_unit_test(test_states),          cmocka_unit_test(test_zones),
                cmocka_unit_test(test_kinds_of_debian), cmocka_unit_test(test_hidden_iomem),
                cmocka_unit_test(test_iomem_texts),     cmocka_unit_test(test_online),
                cmocka_unit_test(test_kernel_onlines),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
