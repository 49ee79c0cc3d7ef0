/* SPDX-License-Identifier: Apache-2.0 */

/* Three numbers that are never mixed: each row is one hypervisor's answer and what follows from it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/macro.h"
#include "host-bridge/policy/memory-model.h"

#define DEVICE(name, size, requested, max, block)                                                            \
        {                                                                                                    \
                .id = name, .size_bytes = (size), .requested_bytes = (requested), .max_bytes = (max),        \
                .block_bytes = (block)                                                                       \
        }

typedef struct ModelRow {
        const char *name;
        MemoryModel model;
        uint64_t balloon, size, committed, ceiling, floor, block;
        uint64_t grow_block, shrink_block; /* 0: block */
} ModelRow;

static const ModelRow model_rows[] = {
        {
                "boot RAM only",
                {.boot_bytes = 512 * MIB},
                .size = 512 * MIB,
                .committed = 512 * MIB,
                .ceiling = 512 * MIB,
                .floor = 512 * MIB,
                .block = 4 * KIB,
        },
        {
                "a DIMM counts whether online or not",
                {.boot_bytes = 512 * MIB, .dimm_bytes = 256 * MIB},
                .size = 768 * MIB,
                .committed = 768 * MIB,
                .ceiling = 768 * MIB,
                .floor = 768 * MIB,
                .block = 4 * KIB,
        },
        {
                "balloon over boot and DIMM",
                {.boot_bytes = 512 * MIB,
                 .dimm_bytes = 256 * MIB,
                 .has_balloon = true,
                 .balloon_actual_bytes = 600 * MIB},
                .balloon = 168 * MIB,
                .size = 600 * MIB,
                .committed = 600 * MIB,
                .ceiling = 768 * MIB,
                .floor = (64 + 256) * MIB,
                .block = 4 * KIB,
        },
        {
                "actual without a balloon means nothing",
                {.boot_bytes = 512 * MIB, .balloon_actual_bytes = 1 * MIB},
                .size = 512 * MIB,
                .committed = 512 * MIB,
                .ceiling = 512 * MIB,
                .floor = 512 * MIB,
                .block = 4 * KIB,
        },
        {
                "a stale actual above boot is an empty balloon",
                {.boot_bytes = 512 * MIB, .has_balloon = true, .balloon_actual_bytes = 600 * MIB},
                .size = 512 * MIB,
                .committed = 512 * MIB,
                .ceiling = 512 * MIB,
                .floor = 64 * MIB,
                .block = 4 * KIB,
        },
        {
                "virtio-mem: pending growth is committed",
                {.boot_bytes = 512 * MIB,
                 .n_virtio_mem = 1,
                 .virtio_mem = {DEVICE("vm0", 256 * MIB, 512 * MIB, GIB, 2 * MIB)}},
                .size = 768 * MIB,
                .committed = 1024 * MIB,
                .ceiling = 1536 * MIB,
                .floor = 512 * MIB,
                .block = 2 * MIB,
        },
        {
                "virtio-mem: pending unplug is not believed",
                {.boot_bytes = 512 * MIB,
                 .n_virtio_mem = 1,
                 .virtio_mem = {DEVICE("vm0", 640 * MIB, 512 * MIB, GIB, 2 * MIB)}},
                .size = 1152 * MIB,
                .committed = 1152 * MIB,
                .ceiling = 1536 * MIB,
                .floor = 512 * MIB,
                .block = 2 * MIB,
        },
        {
                "the balloon is not counted over virtio-mem",
                {.boot_bytes = 512 * MIB,
                 .has_balloon = true,
                 .balloon_actual_bytes = 412 * MIB,
                 .n_virtio_mem = 2,
                 .virtio_mem = {DEVICE("vm0", GIB, GIB, GIB, 2 * MIB),
                                DEVICE("vm1", 0, 0, 4 * GIB, 128 * MIB)}},
                .balloon = 100 * MIB,
                .size = 1436 * MIB,
                .committed = 1436 * MIB,
                .ceiling = 512 * MIB + 5 * GIB,
                .floor = 64 * MIB,
                .block = 128 * MIB,
        },
        {
                "DIMMs of ours and of others, none to be moved",
                {.boot_bytes = 512 * MIB,
                 .dimm_bytes = 768 * MIB,
                 .dimm = {{256 * MIB, 4 * GIB}},
                 .free_slots = 2,
                 .room_bytes = 2 * GIB},
                .size = 1280 * MIB,
                .committed = 1280 * MIB,
                .ceiling = 1280 * MIB,
                .floor = 1280 * MIB,
                .block = 4 * KIB,
        },
        {
                "the same where policy allows them",
                {.boot_bytes = 512 * MIB,
                 .dimm_bytes = 768 * MIB,
                 .dimm = {{256 * MIB, 4 * GIB}},
                 .free_slots = 2,
                 .room_bytes = 2 * GIB,
                 .dimm_unit_bytes = 512 * MIB},
                .size = 1280 * MIB,
                .committed = 1280 * MIB,
                .ceiling = 2304 * MIB,
                .floor = 1024 * MIB,
                .block = 4 * KIB,
                .grow_block = 512 * MIB,
                .shrink_block = 256 * MIB,
        },
        {
                "a stuck DIMM is a floor",
                {.boot_bytes = 512 * MIB,
                 .dimm_bytes = 512 * MIB,
                 .dimm = {{128 * MIB, 4 * GIB, .stuck = true}, {384 * MIB, 5 * GIB}},
                 .dimm_unit_bytes = 384 * MIB},
                .size = GIB,
                .committed = GIB,
                .ceiling = GIB,
                .floor = 640 * MIB,
                .block = 4 * KIB,
                .shrink_block = 384 * MIB,
        },
        {
                "room for one more DIMM",
                {.boot_bytes = 512 * MIB,
                 .has_balloon = true,
                 .balloon_actual_bytes = 512 * MIB,
                 .free_slots = 2,
                 .room_bytes = 1000 * MIB,
                 .dimm_unit_bytes = 512 * MIB},
                .size = 512 * MIB,
                .committed = 512 * MIB,
                .ceiling = GIB,
                .floor = 64 * MIB,
                .block = 4 * KIB,
                .grow_block = 512 * MIB,
        },
        {
                "finer hands come first",
                {.boot_bytes = 512 * MIB,
                 .dimm_bytes = 512 * MIB,
                 .dimm = {{0}, {512 * MIB, 4 * GIB}},
                 .n_virtio_mem = 1,
                 .virtio_mem = {DEVICE("vm0", 2 * MIB, 2 * MIB, GIB, 2 * MIB)},
                 .free_slots = 1,
                 .room_bytes = GIB,
                 .dimm_unit_bytes = 512 * MIB},
                .size = 1026 * MIB,
                .committed = 1026 * MIB,
                .ceiling = 2 * GIB + 512 * MIB,
                .floor = 512 * MIB,
                .block = 2 * MIB,
        },
};

static void test_sums(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(model_rows); i++) {
                const ModelRow *row = &model_rows[i];

                print_message("%s\n", row->name);
                assert_true(memory_model_is_sane(&row->model));
                assert_int_equal(memory_model_balloon_bytes(&row->model), row->balloon);
                assert_int_equal(memory_model_size_bytes(&row->model), row->size);
                assert_int_equal(memory_model_committed_bytes(&row->model), row->committed);
                assert_int_equal(memory_model_ceiling_bytes(&row->model), row->ceiling);
                assert_int_equal(memory_model_floor_bytes(&row->model), row->floor);
                assert_int_equal(memory_model_block_bytes(&row->model), row->block);
                assert_int_equal(memory_model_grow_block_bytes(&row->model), row->grow_block ?: row->block);
                assert_int_equal(memory_model_shrink_block_bytes(&row->model),
                                 row->shrink_block ?: row->block);
        }
}

static void test_balloon_value(void **state) {
        MemoryModel model = {
                .boot_bytes = 512 * MIB,
                .dimm_bytes = 256 * MIB,
                .has_balloon = true,
                .balloon_actual_bytes = 768 * MIB,
                .n_virtio_mem = 1,
                .virtio_mem = {DEVICE("vm0", GIB, GIB, GIB, 2 * MIB)},
        };

        /* The case of kernel-qemu.md 3.3: "balloon 400M" with an offline DIMM of 256 MiB panicked. */
        assert_int_equal(memory_model_balloon_value(&model, 112 * MIB), 656 * MIB);
        assert_int_equal(memory_model_balloon_value(&model, 0), 768 * MIB);
        assert_int_equal(memory_model_balloon_value(&model, 4 * KIB + 1), 768 * MIB - 4 * KIB);
        assert_int_equal(memory_model_balloon_value(&model, 768 * MIB), 0);
        assert_int_equal(memory_model_balloon_value(&model, UINT64_MAX), 0);
        model.has_balloon = false;
        assert_int_equal(memory_model_balloon_value(&model, 0), 0);
}

typedef struct SanityRow {
        const char *name;
        MemoryModel model;
} SanityRow;

static const SanityRow insane_rows[] = {
        {"no boot RAM", {.boot_bytes = 0}},
        {"too much boot RAM", {.boot_bytes = MEMORY_BYTES_MAX + 1}},
        {"sum wraps", {.boot_bytes = MEMORY_BYTES_MAX, .dimm_bytes = MEMORY_BYTES_MAX}},
        {"DIMMs without end", {.boot_bytes = GIB, .dimm_bytes = UINT64_MAX}},
        {"balloon without end", {.boot_bytes = GIB, .has_balloon = true, .balloon_actual_bytes = UINT64_MAX}},
        {"too many devices", {.boot_bytes = GIB, .n_virtio_mem = MEMORY_MODEL_DEVICES_MAX + 1}},
        {"no block", {.boot_bytes = GIB, .n_virtio_mem = 1, .virtio_mem = {DEVICE("a", 0, 0, GIB, 0)}}},
        {"odd block",
         {.boot_bytes = GIB, .n_virtio_mem = 1, .virtio_mem = {DEVICE("a", 0, 0, GIB, 3 * MIB)}}},
        {"size over max",
         {.boot_bytes = GIB, .n_virtio_mem = 1, .virtio_mem = {DEVICE("a", 2 * GIB, 0, GIB, 2 * MIB)}}},
        {"requested over max",
         {.boot_bytes = GIB, .n_virtio_mem = 1, .virtio_mem = {DEVICE("a", 0, 2 * GIB, GIB, 2 * MIB)}}},
        {"max too large",
         {.boot_bytes = GIB, .n_virtio_mem = 1, .virtio_mem = {DEVICE("a", 0, 0, UINT64_MAX, 2 * MIB)}}},
        {"more of ours than there are",
         {.boot_bytes = GIB, .dimm_bytes = 256 * MIB, .dimm = {{256 * MIB, 0}, {256 * MIB, GIB}}}},
        {"no id", {.boot_bytes = GIB, .n_virtio_mem = 1, .virtio_mem = {DEVICE("", 0, 0, GIB, 2 * MIB)}}},
};

static void test_sanity(void **state) {
        MemoryModel model = {
                .boot_bytes = GIB,
                .n_virtio_mem = 1,
                .virtio_mem = {DEVICE("a", 0, 0, GIB, 2 * MIB)},
        };

        for (size_t i = 0; i < ELEMENTSOF(insane_rows); i++) {
                print_message("%s\n", insane_rows[i].name);
                assert_false(memory_model_is_sane(&insane_rows[i].model));
        }

        assert_true(memory_model_is_sane(&model));
        memset(model.virtio_mem[0].id, 'x', sizeof(model.virtio_mem[0].id));
        assert_false(memory_model_is_sane(&model)); /* an id without an end */
}

static void test_same_devices(void **state) {
        const MemoryModel one = {
                .boot_bytes = GIB,
                .n_virtio_mem = 1,
                .virtio_mem = {DEVICE("a", 0, 0, GIB, 2 * MIB)},
        };
        MemoryModel other = one;

        other.boot_bytes = 2 * GIB;
        other.virtio_mem[0].size_bytes = other.virtio_mem[0].requested_bytes = 64 * MIB;
        assert_true(memory_model_same_devices(&one, &other));
        other.virtio_mem[0].id[0] = 'b';
        assert_false(memory_model_same_devices(&one, &other));
        other = one;
        other.virtio_mem[0].block_bytes = 4 * MIB;
        assert_false(memory_model_same_devices(&one, &other));
        other = one;
        other.n_virtio_mem = 0;
        assert_false(memory_model_same_devices(&one, &other));
        other = one;
        other.has_balloon = true;
        assert_false(memory_model_same_devices(&one, &other));
}

static void test_allow_dimms(void **state) {
        static const struct {
                uint64_t unit, block;
                bool allowed;
        } rows[] =
                {
                        {256 * MIB, 128 * MIB, true},  {128 * MIB, 128 * MIB, true},
                        {0, 128 * MIB, false},         {64 * MIB, 64 * MIB, false},
                        {GIB, 2 * GIB, false}, /* QEMU would take it, the guest would not */
                        {320 * MIB, 128 * MIB, false}, {256 * MIB, 0, false},
                        {128 * TIB, 128 * MIB, false},
                };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                MemoryModel model = {.boot_bytes = GIB, .free_slots = 1, .room_bytes = 128 * TIB};

                assert_int_equal(memory_model_allow_dimms(&model, rows[i].unit, rows[i].block),
                                 rows[i].allowed);
                assert_int_equal(memory_model_next_dimm(&model),
                                 rows[i].allowed ? 0 : MEMORY_MODEL_DIMMS_MAX);
        }
}

/* As QEMU does it: what the balloon holds stays, its logical size moves with the DIMM. */
static void test_set_dimm(void **state) {
        MemoryModel model = {
                .boot_bytes = 512 * MIB,
                .has_balloon = true,
                .balloon_actual_bytes = 412 * MIB,
                .free_slots = 1,
                .room_bytes = GIB,
                .dimm_unit_bytes = GIB,
        };
        const MemoryModel before = model;

        memory_model_set_dimm(&model, 3, GIB);
        assert_int_equal(memory_model_balloon_bytes(&model), 100 * MIB);
        assert_int_equal(memory_model_size_bytes(&model), 1436 * MIB);
        assert_int_equal(memory_model_next_dimm(&model), MEMORY_MODEL_DIMMS_MAX);
        memory_model_set_dimm(&model, 3, GIB);
        assert_int_equal(model.dimm_bytes, GIB);
        memory_model_set_dimm(&model, 3, 0);
        assert_memory_equal(&model, &before, sizeof(model));
}

static void test_names(void **state) {
        for (unsigned i = 0; i < ACTUATOR_MAX; i++)
                assert_string_not_equal(actuator_to_string((Actuator) i), "unknown");
        assert_string_equal(actuator_to_string(ACTUATOR_VIRTIO_MEM), "virtio-mem");
        assert_string_equal(actuator_to_string(ACTUATOR_MAX), "unknown");
        assert_string_equal(actuator_to_string((Actuator) -1), "unknown");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sums),        cmocka_unit_test(test_balloon_value),
                cmocka_unit_test(test_sanity),      cmocka_unit_test(test_same_devices),
                cmocka_unit_test(test_allow_dimms), cmocka_unit_test(test_set_dimm),
                cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
