/* SPDX-License-Identifier: Apache-2.0 */

/* One step at a time: which actuator, from where to where. Sizes in MiB. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/macro.h"
#include "host-bridge/policy/planner.h"

/*
 * A VM of 512 MiB boot RAM, with a balloon if inflated >= 0, up to two virtio-mem devices, and DIMMs of ours, which may be
 * plugged and pulled if unit > 0.
 */
typedef struct Vm {
        int64_t inflated;
        unsigned n_devices;
        struct {
                uint64_t size, requested, max, block;
        } device[2];
        uint64_t unit, room;
        unsigned slots;
        uint64_t dimm[3];
        bool stuck[3];
} Vm;

#define NO_BALLOON (-1)

static MemoryModel model_of(const Vm *vm) {
        MemoryModel model = {.known = true, .boot_bytes = 512 * MIB, .n_virtio_mem = vm->n_devices};

        if (vm->inflated >= 0) {
                model.has_balloon = true;
                model.balloon_actual_bytes = 512 * MIB - (uint64_t) vm->inflated * MIB;
        }
        for (unsigned i = 0; i < vm->n_devices; i++)
                model.virtio_mem[i] = (VirtioMem){
                        .id = {'v', (char) ('0' + i)},
                        .size_bytes = vm->device[i].size * MIB,
                        .requested_bytes = vm->device[i].requested * MIB,
                        .max_bytes = vm->device[i].max * MIB,
                        .block_bytes = vm->device[i].block * MIB,
                };
        for (unsigned i = 0; i < ELEMENTSOF(vm->dimm); i++) {
                memory_model_set_dimm(&model, i, vm->dimm[i] * MIB);
                model.dimm[i].stuck = vm->stuck[i];
                model.dimm[i].address = (4096 + i * 1024) * MIB;
        }
        model.free_slots = vm->slots;
        model.room_bytes = vm->room * MIB;
        model.dimm_unit_bytes = vm->unit * MIB;
        assert_true(memory_model_is_sane(&model));
        return model;
}

typedef struct Row {
        const char *name;
        Vm vm;
        uint64_t bytes;
        uint64_t extra; /* growing: wave; shrinking: available */
        uint64_t block; /* shrinking: the guest's memory block */
        Actuator actuator;
        unsigned device;
        uint64_t from, to;
} Row;

/* clang-format off */
static const Row grow_rows[] = {
        {"nothing to grow by", {NO_BALLOON}, 256, 1024, 0, ACTUATOR_NONE},
        {"nothing wanted", {100, 1, {{0, 0, 1024, 2}}}, 0, 1024, 0, ACTUATOR_NONE},
        {"nothing wanted, growth pending", {0, 1, {{0, 512, 1024, 2}}}, 0, 1024, 0, ACTUATOR_NONE},
        {"balloon first", {100, 1, {{0, 0, 1024, 2}}}, 256, 1024, 0, ACTUATOR_BALLOON, 0, 100, 0},
        {"a part of the balloon", {300, 1, {{0, 0, 1024, 2}}}, 256, 1024, 0, ACTUATOR_BALLOON, 0, 300, 44},
        {"the wave does not bound deflation", {300, 0}, 256, 0, 0, ACTUATOR_BALLOON, 0, 300, 44},
        {"virtio-mem when the balloon is empty",
         {0, 1, {{0, 0, 1024, 2}}}, 256, 1024, 0, ACTUATOR_VIRTIO_MEM, 0, 0, 256},
        {"from what is plugged",
         {NO_BALLOON, 1, {{128, 128, 1024, 2}}}, 256, 1024, 0, ACTUATOR_VIRTIO_MEM, 0, 128, 384},
        {"bounded by the wave",
         {NO_BALLOON, 1, {{0, 0, 4096, 2}}}, 2048, 512, 0, ACTUATOR_VIRTIO_MEM, 0, 0, 512},
        {"a wave is at least an online block",
         {NO_BALLOON, 1, {{0, 0, 1024, 2}}}, 256, 0, 0, ACTUATOR_VIRTIO_MEM, 0, 0, 128},
        {"a wave is at least a device block",
         {NO_BALLOON, 1, {{0, 0, 4096, 1024}}}, 2048, 1, 0, ACTUATOR_VIRTIO_MEM, 0, 0, 1024},
        {"never beyond what was granted",
         {NO_BALLOON, 1, {{0, 0, 1024, 128}}}, 200, 1024, 0, ACTUATOR_VIRTIO_MEM, 0, 0, 128},
        {"less than a block", {NO_BALLOON, 1, {{0, 0, 1024, 128}}}, 100, 1024, 0, ACTUATOR_NONE},
        {"within the device's max",
         {NO_BALLOON, 1, {{900, 900, 1024, 2}}}, 256, 1024, 0, ACTUATOR_VIRTIO_MEM, 0, 900, 1024},
        {"the next device when one is full",
         {NO_BALLOON, 2, {{1024, 1024, 1024, 2}, {0, 0, 1024, 2}}}, 256, 1024, 0, ACTUATOR_VIRTIO_MEM, 1, 0, 256},
        {"all full", {0, 1, {{1024, 1024, 1024, 2}}}, 256, 1024, 0, ACTUATOR_NONE},
        {"a pending request is not lowered",
         {NO_BALLOON, 1, {{128, 768, 1024, 2}}}, 256, 1024, 0, ACTUATOR_VIRTIO_MEM, 0, 128, 768},
        {"above what stuck in an unplug",
         {NO_BALLOON, 1, {{640, 512, 1024, 2}}}, 256, 1024, 0, ACTUATOR_VIRTIO_MEM, 0, 640, 896},
        {"a DIMM when nothing else is left",
         {0, 1, {{1024, 1024, 1024, 2}}, 256, 512, 2}, 256, 1024, 0, ACTUATOR_DIMM, 0, 0, 256},
        {"a DIMM is last", {0, 1, {{0, 0, 1024, 2}}, 256, 512, 2}, 256, 1024, 0, ACTUATOR_VIRTIO_MEM, 0, 0, 256},
        {"the first free number",
         {NO_BALLOON, .unit = 256, .room = 512, .slots = 2, .dimm = {256, 0, 256}}, 300, 1024, 0, ACTUATOR_DIMM, 1, 0, 256},
        {"hands off DIMMs", {NO_BALLOON, .room = 512, .slots = 2}, 256, 1024, 0, ACTUATOR_NONE},
        {"no slot", {NO_BALLOON, .unit = 256, .room = 512}, 256, 1024, 0, ACTUATOR_NONE},
        {"no room", {NO_BALLOON, .unit = 256, .room = 255, .slots = 2}, 256, 1024, 0, ACTUATOR_NONE},
        {"a DIMM never exceeds the grant",
         {NO_BALLOON, .unit = 256, .room = 512, .slots = 2}, 255, 1024, 0, ACTUATOR_NONE},
        {"a DIMM whose memmap does not fit",
         {NO_BALLOON, .unit = 256, .room = 512, .slots = 2}, 256, 255, 0, ACTUATOR_NONE},
        {"a DIMM of one block always fits",
         {NO_BALLOON, .unit = 128, .room = 512, .slots = 2}, 256, 0, 0, ACTUATOR_DIMM, 0, 0, 128},
};
/* clang-format on */

/* clang-format off */
static const Row shrink_rows[] = {
        {"nothing to take", {NO_BALLOON}, 256, 4096, 128, ACTUATOR_NONE},
        {"nothing wanted", {0, 1, {{1024, 1024, 1024, 2}}}, 0, 4096, 128, ACTUATOR_NONE},
        {"half a block",
         {0, 1, {{1024, 1024, 1024, 2}}}, 512, 1024, 128, ACTUATOR_VIRTIO_MEM, 0, 1024, 960},
        {"32 MiB when little is available",
         {0, 1, {{1024, 1024, 1024, 2}}}, 512, 511, 128, ACTUATOR_VIRTIO_MEM, 0, 1024, 992},
        {"a guest that does not say",
         {0, 1, {{1024, 1024, 1024, 2}}}, 512, 1024, 0, ACTUATOR_VIRTIO_MEM, 0, 1024, 960},
        {"available unknown",
         {0, 1, {{1024, 1024, 1024, 2}}}, 512, 0, 128, ACTUATOR_VIRTIO_MEM, 0, 1024, 992},
        {"large blocks have an upper end",
         {0, 1, {{8192, 8192, 8192, 2}}}, 4096, 8192, 2048, ACTUATOR_VIRTIO_MEM, 0, 8192, 7936},
        {"a device that cannot go below a block",
         {0, 1, {{1024, 1024, 1024, 128}}}, 512, 4096, 128, ACTUATOR_VIRTIO_MEM, 0, 1024, 896},
        {"not more than wanted",
         {NO_BALLOON, 1, {{1024, 1024, 1024, 2}}}, 31, 4096, 128, ACTUATOR_VIRTIO_MEM, 0, 1024, 994},
        {"the last device first",
         {0, 2, {{512, 512, 512, 2}, {256, 256, 512, 2}}}, 512, 1024, 128, ACTUATOR_VIRTIO_MEM, 1, 256, 192},
        {"the one before when it is empty",
         {0, 2, {{512, 512, 512, 2}, {0, 0, 512, 2}}}, 512, 1024, 128, ACTUATOR_VIRTIO_MEM, 0, 512, 448},
        {"what stuck",
         {NO_BALLOON, 1, {{640, 512, 1024, 2}}}, 512, 1024, 128, ACTUATOR_VIRTIO_MEM, 0, 640, 576},
        {"the balloon last", {0, 1, {{0, 0, 1024, 2}}}, 512, 1024, 128, ACTUATOR_BALLOON, 0, 0, 128},
        {"the balloon when little is available", {0, 0}, 512, 500, 128, ACTUATOR_BALLOON, 0, 0, 64},
        {"the balloon when much is", {100, 0}, 300, 4096, 128, ACTUATOR_BALLOON, 0, 100, 356},
        {"the balloon leaves a rest of boot RAM", {400, 0}, 512, 4096, 128, ACTUATOR_BALLOON, 0, 400, 448},
        {"and nothing below it", {448, 0}, 512, 4096, 128, ACTUATOR_NONE},
        {"a DIMM of ours, whole",
         {NO_BALLOON, .unit = 256, .dimm = {256, 256}}, 300, 4096, 128, ACTUATOR_DIMM, 1, 256, 0},
        {"not one that is stuck",
         {NO_BALLOON, .unit = 256, .dimm = {256, 256}, .stuck = {false, true}}, 300, 4096, 128, ACTUATOR_DIMM, 0, 256, 0},
        {"the one that fits",
         {NO_BALLOON, .unit = 256, .dimm = {256, 512}}, 300, 4096, 128, ACTUATOR_DIMM, 0, 256, 0},
        {"not a part of one", {NO_BALLOON, .unit = 256, .dimm = {256}}, 255, 4096, 128, ACTUATOR_NONE},
        {"the balloon before it", {0, .unit = 256, .dimm = {256}}, 256, 4096, 128, ACTUATOR_BALLOON, 0, 0, 256},
        {"hands off DIMMs", {NO_BALLOON, .dimm = {256}}, 512, 4096, 128, ACTUATOR_NONE},
        {"not of a guest that does not say", {NO_BALLOON, .unit = 256, .dimm = {256}}, 512, 4096, 0, ACTUATOR_NONE},
        {"not less than its block", {NO_BALLOON, .unit = 256, .dimm = {256}}, 512, 4096, 512, ACTUATOR_NONE},
};
/* clang-format on */

static void check(const Row *row, const PlanStep *step) {
        print_message("%s\n", row->name);
        assert_int_equal(step->actuator, row->actuator);
        if (row->actuator == ACTUATOR_NONE) {
                assert_int_equal(plan_step_delta_bytes(step), 0);
                return;
        }
        assert_int_equal(step->device, row->device);
        assert_int_equal(step->from_bytes, row->from * MIB);
        assert_int_equal(step->to_bytes, row->to * MIB);
}

static void test_grow(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(grow_rows); i++) {
                const Row *row = &grow_rows[i];
                MemoryModel model = model_of(&row->vm);
                PlanStep step = planner_grow(&model, row->bytes * MIB, row->extra * MIB);

                check(row, &step);
                assert_true(plan_step_delta_bytes(&step) >= 0);
        }
}

static void test_shrink(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(shrink_rows); i++) {
                const Row *row = &shrink_rows[i];
                MemoryModel model = model_of(&row->vm);
                PlanStep step = planner_shrink(&model, row->bytes * MIB, row->block * MIB, row->extra * MIB);

                check(row, &step);
                assert_true(plan_step_delta_bytes(&step) <= 0);
                assert_true(-plan_step_delta_bytes(&step) <= (int64_t) (row->bytes * MIB));
        }
}

static void test_odd_bytes(void **state) {
        const Vm vm = {.inflated = 100};
        MemoryModel model = model_of(&vm);
        PlanStep step = planner_grow(&model, 5 * MIB + 4097, 0);

        assert_int_equal(step.from_bytes - step.to_bytes, 5 * MIB + 4096); /* whole pages */
        step = planner_shrink(&model, 5 * MIB + 4097, 0, 0);
        assert_int_equal(step.to_bytes - step.from_bytes, 5 * MIB); /* whole MiB */
        step = planner_grow(&model, UINT64_MAX, UINT64_MAX);
        assert_int_equal(step.to_bytes, 0);
}

static void test_reverse(void **state) {
        const PlanStep plug = {.actuator = ACTUATOR_VIRTIO_MEM, .device = 1, .from_bytes = 1, .to_bytes = 4};
        const PlanStep inflate = {.actuator = ACTUATOR_BALLOON, .from_bytes = 1, .to_bytes = 4};
        PlanStep back = plan_step_reverse(&plug);

        assert_int_equal(plan_step_delta_bytes(&plug), 3);
        assert_int_equal(plan_step_delta_bytes(&inflate), -3);
        assert_int_equal(back.device, 1);
        assert_int_equal(plan_step_delta_bytes(&back), -3);
        back = plan_step_reverse(&inflate);
        assert_int_equal(plan_step_delta_bytes(&back), 3);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_grow),
                cmocka_unit_test(test_shrink),
                cmocka_unit_test(test_odd_bytes),
                cmocka_unit_test(test_reverse),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
