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

static void test_names(void **state) {
        for (unsigned i = 0; i < ACTUATOR_MAX; i++)
                assert_string_not_equal(actuator_to_string((Actuator) i), "unknown");
        assert_string_equal(actuator_to_string(ACTUATOR_VIRTIO_MEM), "virtio-mem");
        assert_string_equal(actuator_to_string(ACTUATOR_MAX), "unknown");
        assert_string_equal(actuator_to_string((Actuator) -1), "unknown");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sums),   cmocka_unit_test(test_balloon_value),
                cmocka_unit_test(test_sanity), cmocka_unit_test(test_same_devices),
                cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
