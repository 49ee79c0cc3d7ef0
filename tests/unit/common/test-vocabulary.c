/* SPDX-License-Identifier: Apache-2.0 */

/* Each value has a name of its own, in the form that people see; nothing else has one. */

#include "common/vocabulary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/macro.h"

/* One type for the eight functions: each takes an enum, which is an unsigned int here. */
#define WRAP(function)                                                                                       \
        static const char *name_##function(unsigned value) {                                                 \
                return function(value);                                                                      \
        }
WRAP(urgency_to_string)
WRAP(cause_to_string)
WRAP(refusal_reason_to_string)
WRAP(facility_to_string)
WRAP(block_action_to_string)
WRAP(block_kind_to_string)
WRAP(zone_to_string)
WRAP(command_outcome_to_string)

static const struct {
        const char *(*name)(unsigned value);
        unsigned n_values;
} enums[] = {
        {name_urgency_to_string, URGENCY_MAX},
        {name_cause_to_string, CAUSE_MAX},
        {name_refusal_reason_to_string, REFUSAL_REASON_MAX},
        {name_facility_to_string, FACILITY_MAX},
        {name_block_action_to_string, BLOCK_ACTION_MAX},
        {name_block_kind_to_string, BLOCK_KIND_MAX},
        {name_zone_to_string, ZONE_MAX},
        {name_command_outcome_to_string, COMMAND_OUTCOME_MAX},
};

static void assert_is_word(const char *name) {
        assert_non_null(name);
        assert_in_range(strlen(name), 1, 32);
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz-"), strlen(name));
}

static void test_every_value_has_its_own_name(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(enums); i++)
                for (unsigned value = 0; value < enums[i].n_values; value++) {
                        assert_is_word(enums[i].name(value));
                        /* A hole in a table reads "unknown"; only Zone has a value of that name. */
                        if (enums[i].name != name_zone_to_string)
                                assert_string_not_equal(enums[i].name(value), "unknown");
                        for (unsigned other = 0; other < value; other++)
                                assert_string_not_equal(enums[i].name(value), enums[i].name(other));
                }
}

static void test_out_of_range_is_unknown(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(enums); i++) {
                assert_string_equal(enums[i].name(enums[i].n_values), "unknown");
                assert_string_equal(enums[i].name(UINT32_MAX), "unknown");
        }
}

static void test_names_that_others_rely_on(void **state) {
        assert_string_equal(urgency_to_string(URGENCY_CRITICAL), "critical");
        assert_string_equal(cause_to_string(CAUSE_PREDICT), "predict");
        assert_string_equal(cause_to_string(CAUSE_KERNEL_ZONE), "kernel-zone");
        assert_string_equal(refusal_reason_to_string(REFUSAL_NOT_FREED), "not-freed");
        assert_string_equal(facility_to_string(FACILITY_PSI_TRIGGER), "psi-trigger");
        assert_string_equal(block_kind_to_string(BLOCK_KIND_VIRTIO_MEM), "virtio-mem");
        assert_string_equal(zone_to_string(ZONE_MOVABLE), "movable");
}

static void test_capabilities(void **state) {
        for (unsigned i = 0; i < 32; i++) {
                unsigned bit = 1U << i;

                if (bit > CAPABILITY_KERNEL_ONLINES)
                        assert_null(capability_to_string(bit));
                else
                        assert_is_word(capability_to_string(bit));
        }
        assert_null(capability_to_string(0));
        assert_null(capability_to_string(CAPABILITY_SWAP | CAPABILITY_BLOCKS));
        assert_string_equal(capability_to_string(CAPABILITY_VIRTIO_MEM), "virtio-mem");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_value_has_its_own_name),
                cmocka_unit_test(test_out_of_range_is_unknown),
                cmocka_unit_test(test_names_that_others_rely_on),
                cmocka_unit_test(test_capabilities),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
