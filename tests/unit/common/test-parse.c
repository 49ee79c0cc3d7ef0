/* SPDX-License-Identifier: Apache-2.0 */

/* What each parser takes, and what it must not: signs, blanks, leftovers, overflow. */

#include "common/parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "common/macro.h"
#include "common/units.h"

#define UNTOUCHED UINT64_C(0x5a5a5a5a5a5a5a5a)

typedef int (*Parser)(const char *text, size_t length, uint64_t *ret);

static const struct {
        const char *name;
        Parser parse;
        const char *text;
        int r;
        uint64_t value;
} rows[] = {
        {"u64", parse_u64, "0", 0, 0},
        {"u64", parse_u64, "007", 0, 7},
        {"u64", parse_u64, "18446744073709551615", 0, UINT64_MAX},
        {"u64", parse_u64, "18446744073709551616", -ERANGE},
        {"u64", parse_u64, "99999999999999999999999", -ERANGE},
        {"u64", parse_u64, "99999999999999999999999x", -EINVAL},
        {"u64", parse_u64, "", -EINVAL},
        {"u64", parse_u64, "-1", -EINVAL},
        {"u64", parse_u64, "+1", -EINVAL},
        {"u64", parse_u64, " 1", -EINVAL},
        {"u64", parse_u64, "1\n", -EINVAL},
        {"u64", parse_u64, "0x10", -EINVAL},

        {"hex", parse_hex_u64, "8000000", 0, 128 * MIB},
        {"hex", parse_hex_u64, "0x8000000", 0, 128 * MIB},
        {"hex", parse_hex_u64, "ffffffffffffffff", 0, UINT64_MAX},
        {"hex", parse_hex_u64, "aBcDeF", 0, 0xabcdef},
        {"hex", parse_hex_u64, "10000000000000000", -ERANGE},
        {"hex", parse_hex_u64, "0x", -EINVAL},
        {"hex", parse_hex_u64, "", -EINVAL},
        {"hex", parse_hex_u64, "g", -EINVAL},
        {"hex", parse_hex_u64, "1 ", -EINVAL},

        {"size", parse_size, "4096", 0, 4096},
        {"size", parse_size, "1B", 0, 1},
        {"size", parse_size, "4K", 0, 4 * KIB},
        {"size", parse_size, "512M", 0, 512 * MIB},
        {"size", parse_size, "512MB", 0, 512 * MIB},
        {"size", parse_size, "512MiB", 0, 512 * MIB},
        {"size", parse_size, "1.5G", 0, 1536 * MIB},
        {"size", parse_size, "0.25T", 0, 256 * GIB},
        {"size", parse_size, "1.000000001K", 0, KIB},
        {"size", parse_size, "16777215T", 0, 16777215 * TIB},
        {"size", parse_size, "16777216T", -ERANGE},
        {"size", parse_size, "99999999999999999999G", -ERANGE},
        {"size", parse_size, "1.5", -EINVAL},
        {"size", parse_size, "1.5B", -EINVAL},
        {"size", parse_size, "1.0000000001G", -EINVAL}, /* ten digits */
        {"size", parse_size, "1.G", -EINVAL},
        {"size", parse_size, ".5G", -EINVAL},
        {"size", parse_size, "1.2.3G", -EINVAL},
        {"size", parse_size, "M", -EINVAL},
        {"size", parse_size, "", -EINVAL},
        {"size", parse_size, "512m", -EINVAL}, /* milli elsewhere */
        {"size", parse_size, "512 M", -EINVAL},
        {"size", parse_size, "512MiBB", -EINVAL},
        {"size", parse_size, "1BB", -EINVAL},
        {"size", parse_size, "1BiB", -EINVAL},
        {"size", parse_size, "-1M", -EINVAL},

        {"timespan", parse_timespan, "5", 0, 5 * USEC_PER_SEC},
        {"timespan", parse_timespan, "5s", 0, 5 * USEC_PER_SEC},
        {"timespan", parse_timespan, "1.5s", 0, 1500 * USEC_PER_MSEC},
        {"timespan", parse_timespan, "0.05", 0, 50 * USEC_PER_MSEC},
        {"timespan", parse_timespan, "250ms", 0, 250 * USEC_PER_MSEC},
        {"timespan", parse_timespan, "100us", 0, 100},
        {"timespan", parse_timespan, "2min", 0, 120 * USEC_PER_SEC},
        {"timespan", parse_timespan, "1h", 0, 3600 * USEC_PER_SEC},
        {"timespan", parse_timespan, "1.5us", -EINVAL},
        {"timespan", parse_timespan, "5m", -EINVAL}, /* minutes or metres */
        {"timespan", parse_timespan, "1h 30min", -EINVAL},
        {"timespan", parse_timespan, "infinity", -EINVAL},
        {"timespan", parse_timespan, "18446744073709551615s", -ERANGE},

        {"percent", parse_percent, "0%", 0, 0},
        {"percent", parse_percent, "100%", 0, 100},
        {"percent", parse_percent, "101%", -ERANGE},
        {"percent", parse_percent, "99999999999999999999%", -ERANGE},
        {"percent", parse_percent, "50", -EINVAL},
        {"percent", parse_percent, "%", -EINVAL},
        {"percent", parse_percent, "", -EINVAL},
        {"percent", parse_percent, "50%%", -EINVAL},
};

static void test_numbers(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                uint64_t value = UNTOUCHED, expected = rows[i].r == 0 ? rows[i].value : UNTOUCHED;
                int r = rows[i].parse(rows[i].text, strlen(rows[i].text), &value);

                if (r != rows[i].r || value != expected)
                        fail_msg("%s of \"%s\": r %d, value %ju", rows[i].name, rows[i].text, r,
                                 (uintmax_t) value);
        }
}

/* Bytes from a file have no terminator: what stands behind the length must not matter. */
static void test_length_is_the_end(void **state) {
        uint64_t value;

        assert_int_equal(parse_u64("12345", 2, &value), 0);
        assert_int_equal(value, 12);
        assert_int_equal(parse_size("1.5GiBxx", 4, &value), 0);
        assert_int_equal(value, 1536 * MIB);
        assert_int_equal(parse_hex_u64("0x1f", 3, &value), 0);
        assert_int_equal(value, 1);
        assert_int_equal(parse_u64("1\0002", 3, &value), -EINVAL);
        assert_int_equal(parse_size(NULL, 0, &value), -EINVAL);
}

static void test_boolean(void **state) {
        static const struct {
                const char *text;
                int r;
                bool value;
        } words[] = {
                {"yes", 0, true},    {"true", 0, true}, {"on", 0, true},  {"1", 0, true}, {"No", 0, false},
                {"FALSE", 0, false}, {"off", 0, false}, {"0", 0, false},  {"", -EINVAL},  {"y", -EINVAL},
                {"yess", -EINVAL},   {"2", -EINVAL},    {" on", -EINVAL},
        };

        for (size_t i = 0; i < ELEMENTSOF(words); i++) {
                bool value = !words[i].value;

                assert_int_equal(parse_boolean(words[i].text, strlen(words[i].text), &value), words[i].r);
                assert_int_equal(value, words[i].r == 0 ? words[i].value : !words[i].value);
        }
}

static void test_format(void **state) {
        static const struct {
                const char *(*format)(char *buffer, uint64_t amount);
                uint64_t amount;
                const char *expected;
        } amounts[] = {
                {format_size, 0, "0B"},
                {format_size, 1023, "1023B"},
                {format_size, 512 * MIB, "512M"},
                {format_size, GIB, "1G"},
                {format_size, 1536 * MIB, "1.5G"},
                {format_size, 1152 * MIB, "1152M"},
                {format_size, 1023 * MIB + 512 * KIB, "1023.5M"},
                {format_size, GIB + 1, "1.0G"},
                {format_size, 2 * GIB - 1, "1.9G"},
                {format_size, 10241 * MIB, "10.0G"}, /* five digits would not be readable */
                {format_size, UINT64_MAX, "16777215.9T"},
                {format_timespan, 0, "0us"},
                {format_timespan, 250 * USEC_PER_MSEC, "250ms"},
                {format_timespan, 1500 * USEC_PER_MSEC, "1.5s"},
                {format_timespan, 1234 * USEC_PER_MSEC, "1234ms"},
                {format_timespan, 120 * USEC_PER_SEC, "2min"},
                {format_timespan, 90 * USEC_PER_SEC, "1.5min"},
                {format_timespan, 61 * USEC_PER_SEC, "61s"},
                {format_timespan, 7200 * USEC_PER_SEC, "2h"},
        };

        for (size_t i = 0; i < ELEMENTSOF(amounts); i++) {
                char buffer[FORMAT_SIZE_MAX + FORMAT_TIMESPAN_MAX];

                assert_string_equal(amounts[i].format(buffer, amounts[i].amount), amounts[i].expected);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_numbers),
                cmocka_unit_test(test_length_is_the_end),
                cmocka_unit_test(test_boolean),
                cmocka_unit_test(test_format),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
