/* SPDX-License-Identifier: Apache-2.0 */

/* What goes in comes out, whatever of it is zero, and a change of a single bit is seen. */

#include "common/sparse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

static void assert_kept(const Sparse *sparse, const uint8_t *data, size_t size) {
        uint8_t seen[SPARSE_SIZE_MAX];

        memset(seen, 0xa5, sizeof(seen));
        sparse_get(sparse, seen, size);
        assert_memory_equal(seen, data, size);
}

static void test_nothing(void **state) {
        static const uint8_t zeroes[64];

        assert_kept(NULL, zeroes, sizeof(zeroes));
        assert_null(sparse_free(NULL));
}

static void test_round_trips(void **state) {
        static const size_t sizes[] = {8, 56, 64, 504, 512, 520, 1224, SPARSE_SIZE_MAX};

        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
                for (size_t step = 1; step <= sizes[i]; step = 3 * step + 1) {
                        uint8_t data[SPARSE_SIZE_MAX] = {};
                        Sparse *sparse = NULL;

                        assert_int_equal(sparse_set(&sparse, data, sizes[i]), 1); /* nothing is not zeroes */
                        assert_kept(sparse, data, sizes[i]);
                        for (size_t at = 0; at < sizes[i]; at += step)
                                data[at] = (uint8_t) (at + 1);
                        (void) sparse_set(&sparse, data, sizes[i]);
                        assert_kept(sparse, data, sizes[i]);
                        (void) sparse_free(sparse);
                }
}

static void test_changes(void **state) {
        uint8_t data[1224] = {[0] = 1, [700] = 2};
        Sparse *sparse = NULL;

        assert_int_equal(sparse_set(&sparse, data, sizeof(data)), 1);
        assert_int_equal(sparse_set(&sparse, data, sizeof(data)), 0);
        for (size_t at = 0; at < sizeof(data); at++) {
                data[at] ^= 0x80;
                assert_int_equal(sparse_set(&sparse, data, sizeof(data)), 1);
                assert_int_equal(sparse_set(&sparse, data, sizeof(data)), 0);
                assert_kept(sparse, data, sizeof(data));
        }
        (void) sparse_free(sparse);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nothing),
                cmocka_unit_test(test_round_trips),
                cmocka_unit_test(test_changes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
