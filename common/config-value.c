/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The types that a key can have. Values are printed exactly, in the largest unit that divides them:
 * format_size() is for people and rounds, which would make a dumped file differ from what runs.
 */

#include "common/config-value.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "common/parse.h"
#include "common/units.h"

typedef struct Unit {
        const char *suffix;
        uint64_t factor;
} Unit;

/* Largest first; the last one divides everything. */
static const Unit size_units[] = {{"T", TIB}, {"G", GIB}, {"M", MIB}, {"K", KIB}, {"", 1}};
static const Unit timespan_units[] = {{"h", 3600 * USEC_PER_SEC},
                                      {"min", 60 * USEC_PER_SEC},
                                      {"s", USEC_PER_SEC},
                                      {"ms", USEC_PER_MSEC},
                                      {"us", 1}};

/* Without the bound of parse_percent(): an overcommit may be above 100 %, the table says what is allowed. */
static int parse_any_percent(const char *text, size_t length, uint64_t *ret) {
        if (length == 0 || text[length - 1] != '%')
                return -EINVAL;
        return parse_u64(text, length - 1, ret);
}

static int parse_number(const ConfigKey *key, const char *value, uint64_t *field,
                        int (*parse)(const char *text, size_t length, uint64_t *ret)) {
        uint64_t number;
        int r;

        r = parse(value, strlen(value), &number);
        if (r < 0)
                return r;
        if (number < key->min || number > key->max)
                return -ERANGE;

        *field = number;
        return 0;
}

static int parse_name(const ConfigKey *key, const char *value, int *field) {
        for (int i = 0; key->names[i]; i++)
                if (strcmp(key->names[i], value) == 0) {
                        *field = i;
                        return 0;
                }
        return -EINVAL;
}

static int parse_string(const ConfigKey *key, const char *value, char *field) {
        size_t length = strlen(value);

        if (length < key->min || length >= key->max)
                return -ERANGE;

        memcpy(field, value, length + 1);
        return 0;
}

int config_value_parse(const ConfigKey *key, const char *value, void *field) {
        assert(key);
        assert(value);
        assert(field);

        switch (key->type) {
        case CONFIG_BOOLEAN:
                return parse_boolean(value, strlen(value), field);
        case CONFIG_U64:
                return parse_number(key, value, field, parse_u64);
        case CONFIG_SIZE:
                return parse_number(key, value, field, parse_size);
        case CONFIG_TIMESPAN:
                return parse_number(key, value, field, parse_timespan);
        case CONFIG_PERCENT:
                return parse_number(key, value, field, parse_any_percent);
        case CONFIG_ENUM:
                return parse_name(key, value, field);
        case CONFIG_STRING:
                return parse_string(key, value, field);
        case CONFIG_CUSTOM:
                return key->parse(value, field);
        }
        assert(false);
        return -EINVAL;
}

static void format_number(const Unit *unit, uint64_t number, char *buffer, size_t size) {
        while (number % unit->factor != 0 || (number == 0 && unit->factor != 1))
                unit++;
        (void) snprintf(buffer, size, "%" PRIu64 "%s", number / unit->factor, unit->suffix);
}

void config_value_format(const ConfigKey *key, const void *field, char *buffer, size_t size) {
        assert(key);
        assert(field);
        assert(buffer);

        switch (key->type) {
        case CONFIG_BOOLEAN:
                (void) snprintf(buffer, size, "%s", *(const bool *) field ? "yes" : "no");
                return;
        case CONFIG_U64:
                (void) snprintf(buffer, size, "%" PRIu64, *(const uint64_t *) field);
                return;
        case CONFIG_SIZE:
                format_number(size_units, *(const uint64_t *) field, buffer, size);
                return;
        case CONFIG_TIMESPAN:
                format_number(timespan_units, *(const uint64_t *) field, buffer, size);
                return;
        case CONFIG_PERCENT:
                (void) snprintf(buffer, size, "%" PRIu64 "%%", *(const uint64_t *) field);
                return;
        case CONFIG_ENUM:
                (void) snprintf(buffer, size, "%s", key->names[*(const int *) field]);
                return;
        case CONFIG_STRING:
                (void) snprintf(buffer, size, "%s", (const char *) field);
                return;
        case CONFIG_CUSTOM:
                key->format(field, buffer, size);
                return;
        }
        assert(false);
}

const char *config_value_kind(const ConfigKey *key) {
        assert(key);

        switch (key->type) {
        case CONFIG_BOOLEAN:
                return "a boolean";
        case CONFIG_U64:
                return "a number";
        case CONFIG_SIZE:
                return "a size";
        case CONFIG_TIMESPAN:
                return "a time span";
        case CONFIG_PERCENT:
                return "a percentage";
        case CONFIG_ENUM:
                return "one of the words";
        case CONFIG_STRING:
                return "a string";
        case CONFIG_CUSTOM:
                return "a value of this key";
        }
        assert(false);
        return "a value";
}

static void format_names(const char *const *names, char *buffer, size_t size) {
        size_t length = 0;

        for (size_t i = 0; names[i] && length < size; i++)
                length += (size_t) snprintf(buffer + length, size - length, "%s%s", i > 0 ? ", " : "",
                                            names[i]);
}

void config_value_format_allowed(const ConfigKey *key, char *buffer, size_t size) {
        char low[32], high[32];

        assert(key);
        assert(buffer);

        switch (key->type) {
        case CONFIG_BOOLEAN:
                (void) snprintf(buffer, size, "yes or no");
                return;
        case CONFIG_U64:
        case CONFIG_SIZE:
        case CONFIG_TIMESPAN:
        case CONFIG_PERCENT:
                config_value_format(key, &key->min, low, sizeof(low));
                config_value_format(key, &key->max, high, sizeof(high));
                (void) snprintf(buffer, size, "%s to %s", low, high);
                return;
        case CONFIG_ENUM:
                format_names(key->names, buffer, size);
                return;
        case CONFIG_STRING:
                (void) snprintf(buffer, size, "%" PRIu64 " to %" PRIu64 " characters", key->min,
                                key->max - 1);
                return;
        case CONFIG_CUSTOM:
                (void) snprintf(buffer, size, "%s", key->allowed);
                return;
        }
        assert(false);
}
