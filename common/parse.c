/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Text to numbers, by hand. strtoull() was rejected: it takes signs, leading blanks, octal and the
 * locale, needs a terminator that bytes from a file or a wire do not have, and reports overflow beside
 * its value. Fractions ("1.5G") are kept as digits over a power of ten and never pass through a
 * floating-point number.
 */

#include "common/parse.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/macro.h"
#include "common/units.h"

typedef struct Unit {
        const char *suffix;
        uint64_t factor;
} Unit;

static const Unit size_units[] = {
        {"", 1},      {"B", 1},   {"K", KIB},  {"KB", KIB},  {"KiB", KIB}, {"M", MIB},  {"MB", MIB},
        {"MiB", MIB}, {"G", GIB}, {"GB", GIB}, {"GiB", GIB}, {"T", TIB},   {"TB", TIB}, {"TiB", TIB},
};

static const Unit timespan_units[] = {
        {"", USEC_PER_SEC},         {"us", 1},
        {"ms", USEC_PER_MSEC},      {"s", USEC_PER_SEC},
        {"min", 60 * USEC_PER_SEC}, {"h", 3600 * USEC_PER_SEC},
};

int parse_u64(const char *text, size_t length, uint64_t *ret) {
        uint64_t value = 0;
        bool overflow = false;

        assert(text || length == 0);
        assert(ret);

        if (length == 0)
                return -EINVAL;

        for (size_t i = 0; i < length; i++) {
                if (text[i] < '0' || text[i] > '9')
                        return -EINVAL; /* even behind an overflow: it is no number at all */
                overflow = overflow || __builtin_mul_overflow(value, 10, &value) ||
                           __builtin_add_overflow(value, (uint64_t) (text[i] - '0'), &value);
        }
        if (overflow)
                return -ERANGE;

        *ret = value;
        return 0;
}

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -EINVAL;
}

int parse_hex_u64(const char *text, size_t length, uint64_t *ret) {
        uint64_t value = 0;

        assert(text || length == 0);
        assert(ret);

        if (length >= 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
                text += 2;
                length -= 2;
        }
        if (length == 0)
                return -EINVAL;

        for (size_t i = 0; i < length; i++) {
                int digit = hex_digit(text[i]);

                if (digit < 0)
                        return -EINVAL;
                value = value << 4 | (uint64_t) digit;
        }
        if (length > 16)
                return -ERANGE;

        *ret = value;
        return 0;
}

/* Bytes of text, from its start, that are digits. */
static size_t digits_span(const char *text, size_t length) {
        size_t n = 0;

        while (n < length && text[n] >= '0' && text[n] <= '9')
                n++;
        return n;
}

static const Unit *unit_find(const Unit *units, size_t n_units, const char *text, size_t length) {
        for (size_t i = 0; i < n_units; i++)
                if (strlen(units[i].suffix) == length && memcmp(units[i].suffix, text, length) == 0)
                        return units + i;
        return NULL;
}

/* ".5" of a unit: 0 to unit - 1. At most nine digits: more is not a quantity that anybody wrote. */
static int parse_fraction(const char *digits, size_t n_digits, uint64_t factor, uint64_t *ret) {
        uint64_t numerator, denominator = 1;
        int r;

        if (n_digits > 9 || factor == 1)
                return -EINVAL;

        r = parse_u64(digits, n_digits, &numerator);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n_digits; i++)
                denominator *= 10;

        *ret = u64_scale(factor, numerator, denominator);
        return 0;
}

/* DIGITS[.DIGITS][UNIT] */
static int parse_quantity(const char *text, size_t length, const Unit *units, size_t n_units, uint64_t *ret) {
        size_t n_whole = digits_span(text, length), n_fraction = 0, n_used = n_whole;
        uint64_t whole, fraction = 0, value;
        const Unit *unit;
        int r;

        if (n_whole == 0)
                return -EINVAL;
        if (n_used < length && text[n_used] == '.') {
                n_fraction = digits_span(text + n_used + 1, length - n_used - 1);
                if (n_fraction == 0)
                        return -EINVAL;
                n_used += 1 + n_fraction;
        }

        unit = unit_find(units, n_units, text + n_used, length - n_used);
        if (!unit)
                return -EINVAL;

        r = parse_u64(text, n_whole, &whole);
        if (r < 0)
                return r;
        if (n_fraction > 0) {
                r = parse_fraction(text + n_whole + 1, n_fraction, unit->factor, &fraction);
                if (r < 0)
                        return r;
        }
        if (__builtin_mul_overflow(whole, unit->factor, &value) ||
            __builtin_add_overflow(value, fraction, &value))
                return -ERANGE;

        *ret = value;
        return 0;
}

int parse_size(const char *text, size_t length, uint64_t *ret_bytes) {
        assert(text || length == 0);
        assert(ret_bytes);
        return parse_quantity(text, length, size_units, ELEMENTSOF(size_units), ret_bytes);
}

int parse_timespan(const char *text, size_t length, uint64_t *ret_usec) {
        assert(text || length == 0);
        assert(ret_usec);
        return parse_quantity(text, length, timespan_units, ELEMENTSOF(timespan_units), ret_usec);
}

int parse_percent(const char *text, size_t length, uint64_t *ret_percent) {
        uint64_t percent;
        int r;

        assert(text || length == 0);
        assert(ret_percent);

        if (length == 0 || text[length - 1] != '%')
                return -EINVAL;
        r = parse_u64(text, length - 1, &percent);
        if (r < 0)
                return r;
        if (percent > 100)
                return -ERANGE;

        *ret_percent = percent;
        return 0;
}

int parse_boolean(const char *text, size_t length, bool *ret) {
        static const char *const words[][2] = {{"no", "yes"}, {"false", "true"}, {"off", "on"}, {"0", "1"}};

        assert(text || length == 0);
        assert(ret);

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                for (size_t value = 0; value < 2; value++)
                        if (strlen(words[i][value]) == length &&
                            strncasecmp(words[i][value], text, length) == 0) {
                                *ret = value;
                                return 0;
                        }
        return -EINVAL;
}

/*
 * In the largest unit that the amount fills, if one decimal says it exactly ("1.5G"); else exactly in the
 * next smaller one while that is readable ("1152M"); else cut to one decimal, so that nothing looks
 * larger than it is ("1.0G").
 */
static const char *format_quantity(char *buffer, size_t size, uint64_t amount, const Unit *units,
                                   size_t n_units) {
        size_t i = 0;
        uint64_t tenths;

        while (i + 1 < n_units && amount >= units[i + 1].factor)
                i++;

        tenths = u64_scale(amount % units[i].factor, 10, units[i].factor);
        if (u64_scale(tenths, units[i].factor, 10) != amount % units[i].factor && i > 0 &&
            amount % units[i - 1].factor == 0 && amount / units[i - 1].factor < 10000) {
                i--;
                tenths = 0;
        }

        if (amount % units[i].factor == 0)
                (void) snprintf(buffer, size, "%" PRIu64 "%s", amount / units[i].factor, units[i].suffix);
        else
                (void) snprintf(buffer, size, "%" PRIu64 ".%" PRIu64 "%s", amount / units[i].factor, tenths,
                                units[i].suffix);
        return buffer;
}

const char *format_size(char buffer[static FORMAT_SIZE_MAX], uint64_t bytes) {
        static const Unit units[] = {{"B", 1}, {"K", KIB}, {"M", MIB}, {"G", GIB}, {"T", TIB}};

        return format_quantity(buffer, FORMAT_SIZE_MAX, bytes, units, ELEMENTSOF(units));
}

const char *format_timespan(char buffer[static FORMAT_TIMESPAN_MAX], uint64_t usec) {
        static const Unit units[] = {{"us", 1},
                                     {"ms", USEC_PER_MSEC},
                                     {"s", USEC_PER_SEC},
                                     {"min", 60 * USEC_PER_SEC},
                                     {"h", 3600 * USEC_PER_SEC}};

        return format_quantity(buffer, FORMAT_TIMESPAN_MAX, usec, units, ELEMENTSOF(units));
}
