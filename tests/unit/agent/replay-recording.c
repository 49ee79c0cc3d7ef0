/* SPDX-License-Identifier: Apache-2.0 */

/* Says whether today's estimator decides as it did in a recording of memtide-agent --record: replay-recording FILE. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "recording.h"

static const char *arg_path;

static void test_replay(void **state) {
        unsigned n = recording_replay(arg_path);

        assert_true(n > 0);
        printf("%u samples, all decided as recorded\n", n);
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_replay)};

        if (argc != 2) {
                fprintf(stderr, "usage: %s FILE\n", argv[0]);
                return 2;
        }
        arg_path = argv[1];
        return cmocka_run_group_tests(tests, NULL, NULL);
}
