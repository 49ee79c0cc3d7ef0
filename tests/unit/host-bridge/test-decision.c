/* SPDX-License-Identifier: Apache-2.0 */

/* Every value has a name of its own: people, JSON and metrics tell decisions apart by it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "host-bridge/policy/decision.h"

static const char *kind_name(unsigned i) {
        return decision_kind_to_string((DecisionKind) i);
}

static const char *rule_name(unsigned i) {
        return decision_rule_to_string((DecisionRule) i);
}

static const char *result_name(unsigned i) {
        return decision_result_to_string((DecisionResult) i);
}

static void check_names(const char *(*name)(unsigned), unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                assert_non_null(name(i));
                assert_string_not_equal(name(i), "unknown");
                assert_int_equal(strspn(name(i), "abcdefghijklmnopqrstuvwxyz-"), strlen(name(i)));
                for (unsigned k = 0; k < i; k++)
                        assert_string_not_equal(name(i), name(k));
        }
        assert_string_equal(name(n), "unknown");
        assert_string_equal(name(UINT32_MAX), "unknown");
}

static void test_names(void **state) {
        check_names(kind_name, DECISION_KIND_MAX);
        check_names(rule_name, DECISION_RULE_MAX);
        check_names(result_name, DECISION_RESULT_MAX);
        assert_string_equal(decision_rule_to_string(RULE_GROW_ALARM), "grow-alarm");
        assert_string_equal(decision_result_to_string(RESULT_DONE), "done");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
