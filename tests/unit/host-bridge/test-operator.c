/* SPDX-License-Identifier: Apache-2.0 */

/* An operator's size against every bound, and the forecast of its steps. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "host-bridge/policy/operator.h"

static const ArbiterVm usual = {
        .controlled = true,
        .fresh = true,
        .min_bytes = 512 * MIB,
        .max_bytes = 4 * GIB,
        .size_bytes = GIB,
        .committed_bytes = GIB,
        .ceiling_bytes = 8 * GIB,
        .block_bytes = 2 * MIB,
        .device_floor_bytes = 64 * MIB,
};

typedef struct Case {
        const char *name;
        uint64_t target_bytes;
        void (*change)(ArbiterVm *vm);
        DecisionKind kind; /* DECISION_KIND_MAX: nothing is to be done */
        DecisionRule rule;
        uint64_t bytes;
} Case;

static void observe(ArbiterVm *vm) {
        vm->controlled = false;
}

static void fall_silent(ArbiterVm *vm) {
        vm->fresh = false;
}

static void reach_max(ArbiterVm *vm) {
        vm->max_bytes = GIB;
}

static void reach_ceiling(ArbiterVm *vm) {
        vm->ceiling_bytes = GIB;
}

static void have_no_place(ArbiterVm *vm) {
        vm->dimm_too_large = true;
}

static void promise_more(ArbiterVm *vm) {
        vm->committed_bytes = 3 * GIB;
}

static void reach_min(ArbiterVm *vm) {
        vm->min_bytes = GIB;
}

static void reach_floor(ArbiterVm *vm) {
        vm->min_bytes = 0;
        vm->device_floor_bytes = GIB;
}

static void test_bounds(void **state) {
        static const Case cases[] = {
                {"as asked", 2 * GIB, NULL, DECISION_GROW, RULE_OPERATOR, GIB},
                {"rounded up to a block", GIB + 3 * MIB, NULL, DECISION_GROW, RULE_OPERATOR, 4 * MIB},
                {"held to Max=", 16 * GIB, NULL, DECISION_GROW, RULE_OPERATOR, 3 * GIB},
                {"from what is promised", 16 * GIB, promise_more, DECISION_GROW, RULE_OPERATOR, GIB},
                {"at Max=", 2 * GIB, reach_max, DECISION_DENY, RULE_DENY_MAX, GIB},
                {"at its devices' end", 2 * GIB, reach_ceiling, DECISION_DENY, RULE_DENY_CEILING, GIB},
                {"no place for a DIMM", 2 * GIB, have_no_place, DECISION_DENY, RULE_DENY_PLUG, GIB},
                {"smaller all the same", 768 * MIB, have_no_place, DECISION_SHRINK, RULE_OPERATOR, 256 * MIB},
                {"the same", GIB, NULL, DECISION_KIND_MAX, RULE_NONE, 0},
                {"less than a block", GIB - MIB, NULL, DECISION_KIND_MAX, RULE_NONE, 0},
                {"smaller", 768 * MIB, NULL, DECISION_SHRINK, RULE_OPERATOR, 256 * MIB},
                {"held to Min=", 0, NULL, DECISION_SHRINK, RULE_OPERATOR, 512 * MIB},
                {"at Min=", 0, reach_min, DECISION_DENY, RULE_DENY_MIN, GIB},
                {"what devices cannot give", 0, reach_floor, DECISION_DENY, RULE_DENY_FLOOR, GIB},
                {"observed", 2 * GIB, observe, DECISION_DENY, RULE_DENY_OBSERVED, GIB},
                {"a silent guest is not grown", 2 * GIB, fall_silent, DECISION_DENY, RULE_DENY_SILENT, GIB},
                {"nor shrunk", 512 * MIB, fall_silent, DECISION_DENY, RULE_DENY_SILENT, 512 * MIB},
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                ArbiterVm vm = usual;
                ArbiterVerdict verdict;

                if (cases[i].change)
                        cases[i].change(&vm);
                verdict = operator_judge(&(ArbiterHost){.budget_bytes = 16 * GIB,
                                                        .committed_bytes = vm.committed_bytes},
                                         &vm, cases[i].target_bytes);
                if (verdict.act != (cases[i].kind != DECISION_KIND_MAX) ||
                    (verdict.act && (verdict.kind != cases[i].kind || verdict.rule != cases[i].rule ||
                                     verdict.bytes != cases[i].bytes)))
                        fail_msg("%s: %s, %llu", cases[i].name, decision_rule_to_string(verdict.rule),
                                 (unsigned long long) verdict.bytes);
        }
}

static void test_budget(void **state) {
        ArbiterVerdict verdict;

        verdict = operator_judge(&(ArbiterHost){.budget_bytes = 6 * GIB, .committed_bytes = 5 * GIB + 1},
                                 &usual, 4 * GIB);
        assert_int_equal(verdict.rule, RULE_OPERATOR);
        assert_int_equal(verdict.bytes, GIB - 2 * MIB); /* whole blocks, and never above it */
        verdict = operator_judge(&(ArbiterHost){.budget_bytes = 6 * GIB, .committed_bytes = 6 * GIB}, &usual,
                                 4 * GIB);
        assert_int_equal(verdict.rule, RULE_DENY_BUDGET);
        verdict = operator_judge(&(ArbiterHost){.budget_bytes = UINT64_MAX, .committed_bytes = 6 * GIB},
                                 &usual, 4 * GIB);
        assert_int_equal(verdict.bytes, 3 * GIB);
}

static const MemoryModel model = {
        .known = true,
        .boot_bytes = 512 * MIB,
        .n_virtio_mem = 1,
        .virtio_mem = {{.id = "v", .max_bytes = 2 * GIB, .block_bytes = 2 * MIB}},
        .has_balloon = true,
        .balloon_actual_bytes = 384 * MIB,
};

static void test_preview(void **state) {
        OperatorPlan plan = {.growing = true, .bytes = 640 * MIB, .plug_budget_bytes = 256 * MIB};
        PlanStep steps[8];
        uint64_t size;

        assert_int_equal(operator_preview(&model, &plan, steps, 8, &size), 3);
        assert_int_equal(steps[0].actuator, ACTUATOR_BALLOON);
        assert_int_equal(steps[0].to_bytes, 0);
        assert_int_equal(steps[1].to_bytes, 256 * MIB);
        assert_int_equal(steps[2].from_bytes, 256 * MIB);
        assert_int_equal(steps[2].to_bytes, 512 * MIB);
        assert_int_equal(size, GIB);

        assert_int_equal(operator_preview(&model, &plan, steps, 2, &size),
                         2); /* the caller has no more room */
        assert_int_equal(size, 768 * MIB);
}

static void test_preview_of_a_shrink(void **state) {
        OperatorPlan plan = {.bytes = 192 * MIB, .guest_block_bytes = 128 * MIB, .available_bytes = GIB};
        MemoryModel grown = model;
        PlanStep steps[8];
        uint64_t size;

        grown.virtio_mem[0].size_bytes = grown.virtio_mem[0].requested_bytes = 128 * MIB;
        assert_int_equal(operator_preview(&grown, &plan, steps, 8, &size), 3);
        assert_int_equal(steps[0].to_bytes, 64 * MIB);
        assert_int_equal(steps[1].to_bytes, 0);
        assert_int_equal(steps[2].actuator, ACTUATOR_BALLOON);
        assert_int_equal(steps[2].to_bytes, 192 * MIB);
        assert_int_equal(size, 320 * MIB);
}

/* Each of them once, as they are numbered. */
static void test_preview_of_dimms(void **state) {
        OperatorPlan plan = {.growing = true,
                             .bytes = GIB,
                             .plug_budget_bytes = GIB,
                             .guest_block_bytes = 128 * MIB};
        MemoryModel bare = {.known = true, .boot_bytes = 512 * MIB, .free_slots = 2, .room_bytes = GIB};
        PlanStep steps[8];
        uint64_t size;

        assert_true(memory_model_allow_dimms(&bare, 256 * MIB, 128 * MIB));
        assert_int_equal(operator_preview(&bare, &plan, steps, 8, &size), 2);
        assert_int_equal(steps[0].device, 0);
        assert_int_equal(steps[1].device, 1);
        assert_int_equal(size, GIB);

        memory_model_set_dimm(&bare, 0, 256 * MIB);
        memory_model_set_dimm(&bare, 1, 256 * MIB);
        plan.growing = false;
        assert_int_equal(operator_preview(&bare, &plan, steps, 8, &size), 2);
        assert_int_equal(steps[0].device, 1);
        assert_int_equal(steps[1].device, 0);
        assert_int_equal(size, 512 * MIB);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_bounds),           cmocka_unit_test(test_budget),
                cmocka_unit_test(test_preview),          cmocka_unit_test(test_preview_of_a_shrink),
                cmocka_unit_test(test_preview_of_dimms),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
