/* SPDX-License-Identifier: Apache-2.0 */

/* The arithmetic of units.h at its edges: nothing wraps. */

#include "common/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/macro.h"

typedef uint64_t (*Binary)(uint64_t a, uint64_t b);

static void test_binary(void **state) {
        static const struct {
                const char *name;
                Binary function;
                uint64_t a, b, expected;
        } rows[] = {
                {"add", u64_add, 2, 3, 5},
                {"add to the top", u64_add, UINT64_MAX - 3, 3, UINT64_MAX},
                {"add beyond", u64_add, UINT64_MAX - 3, 4, UINT64_MAX},
                {"add tops", u64_add, UINT64_MAX, UINT64_MAX, UINT64_MAX},
                {"sub", u64_sub, 5, 3, 2},
                {"sub to zero", u64_sub, 3, 3, 0},
                {"sub below", u64_sub, 3, 4, 0},
                {"mul", u64_mul, 6, 7, 42},
                {"mul by zero", u64_mul, UINT64_MAX, 0, 0},
                {"mul zero", u64_mul, 0, UINT64_MAX, 0},
                {"mul to the edge", u64_mul, UINT64_C(1) << 32, UINT64_C(1) << 31, UINT64_C(1) << 63},
                {"mul beyond", u64_mul, UINT64_C(1) << 32, UINT64_C(1) << 32, UINT64_MAX},
                {"min", u64_min, 3, 4, 3},
                {"max", u64_max, 3, 4, 4},
                {"percent", u64_percent, 200, 25, 50},
                {"percent of the top", u64_percent, UINT64_MAX, 100, UINT64_MAX},
                {"percent beyond", u64_percent, UINT64_MAX, 101, UINT64_MAX},
                {"align down", u64_align_down, 300 * MIB, 128 * MIB, 256 * MIB},
                {"align down aligned", u64_align_down, 256 * MIB, 128 * MIB, 256 * MIB},
                {"align down unit 0", u64_align_down, 7, 0, 7},
                {"align up", u64_align_up, 300 * MIB, 128 * MIB, 384 * MIB},
                {"align up aligned", u64_align_up, 256 * MIB, 128 * MIB, 256 * MIB},
                {"align up unit 1", u64_align_up, 7, 1, 7},
                {"align up the top", u64_align_up, UINT64_MAX, 4096, UINT64_MAX - 4095},
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (rows[i].function(rows[i].a, rows[i].b) != rows[i].expected)
                        fail_msg("%s: %ju", rows[i].name, (uintmax_t) rows[i].function(rows[i].a, rows[i].b));
}

static void test_scale(void **state) {
        static const struct {
                uint64_t x, numerator, denominator, expected;
        } rows[] = {
                {1000, 1, 3, 333},
                {UINT64_MAX, 7, 7, UINT64_MAX}, /* the product needs 128 bits */
                {UINT64_MAX, 2, 1, UINT64_MAX},
                {5, 5, 0, UINT64_MAX},
                {0, 5, 3, 0},
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert_int_equal(u64_scale(rows[i].x, rows[i].numerator, rows[i].denominator),
                                 rows[i].expected);
}

static void test_signed(void **state) {
        static const struct {
                uint64_t a, b;
                int64_t delta;
        } rows[] = {
                {5, 3, 2},
                {3, 5, -2},
                {INT64_MAX, 0, INT64_MAX},
                {UINT64_MAX, 0, INT64_MAX},
                {0, UINT64_MAX, -INT64_MAX},
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert_int_equal(u64_delta(rows[i].a, rows[i].b), rows[i].delta);

        assert_int_equal(u64_shift(5, -3), 2);
        assert_int_equal(u64_shift(5, 3), 8);
        assert_int_equal(u64_shift(5, -6), 0);
        assert_int_equal(u64_shift(5, INT64_MIN), 0);
        assert_int_equal(u64_shift(UINT64_MAX, 1), UINT64_MAX);
        assert_int_equal(u64_shift(UINT64_MAX, INT64_MIN), INT64_MAX);
}

static void test_clamp(void **state) {
        assert_int_equal(u64_clamp(1, 2, 4), 2);
        assert_int_equal(u64_clamp(3, 2, 4), 3);
        assert_int_equal(u64_clamp(5, 2, 4), 4);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_binary),
                cmocka_unit_test(test_scale),
                cmocka_unit_test(test_signed),
                cmocka_unit_test(test_clamp),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
