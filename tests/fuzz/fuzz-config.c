/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Configuration text, over a table with a key of each type. It fails with a complaint or not at all; what it accepts
 * is within the table's bounds, and what config_dump() prints of it loads to the same.
 */

#include "fuzz.h"

#include <stdbool.h>
#include <string.h>
#include <syslog.h>

#include "common/config.h"
#include "common/units.h"

typedef struct Settings {
        bool on;
        uint64_t number, size, timespan, percent;
        int word;
        char text[33];
        char letters; /* CONFIG_CUSTOM: one of a to z */
} Settings;

static const char *const words[] = {"observe", "manage", "dry-run", NULL};

static int parse_letter(const char *value, void *field) {
        if (value[0] < 'a' || value[0] > 'z' || value[1] != '\0')
                return -EINVAL;
        *(char *) field = value[0];
        return 0;
}

static void format_letter(const void *field, char *buffer, size_t size) {
        (void) snprintf(buffer, size, "%c", *(const char *) field);
}

static const ConfigKey keys[] = {
        {.section = "Fuzz", .key = "On", .type = CONFIG_BOOLEAN, .offset = offsetof(Settings, on)},
        {.section = "Fuzz",
         .key = "Number",
         .type = CONFIG_U64,
         .offset = offsetof(Settings, number),
         .min = 3,
         .max = 9999},
        {.section = "Fuzz",
         .key = "Size",
         .type = CONFIG_SIZE,
         .offset = offsetof(Settings, size),
         .max = MEMORY_BYTES_MAX},
        {.section = "Limits",
         .key = "Timespan",
         .type = CONFIG_TIMESPAN,
         .offset = offsetof(Settings, timespan),
         .min = 1000,
         .max = 3600 * USEC_PER_SEC},
        {.section = "Limits",
         .key = "Percent",
         .type = CONFIG_PERCENT,
         .offset = offsetof(Settings, percent),
         .max = 100},
        {.section = "Limits",
         .key = "Word",
         .type = CONFIG_ENUM,
         .offset = offsetof(Settings, word),
         .names = words},
        {.section = "Limits",
         .key = "Text",
         .type = CONFIG_STRING,
         .offset = offsetof(Settings, text),
         .max = sizeof(((Settings *) 0)->text)},
        {.section = "Limits",
         .key = "Letter",
         .type = CONFIG_CUSTOM,
         .offset = offsetof(Settings, letters),
         .parse = parse_letter,
         .format = format_letter,
         .allowed = "a letter"},
};

static const ConfigTable table = {.name = "fuzz", .keys = keys, .n_keys = ELEMENTSOF(keys)};

static const Settings defaults = {
        .number = 3, .size = MIB, .timespan = 1000, .text = "default", .letters = 'a'};

typedef struct Complaints {
        unsigned n_errors, n_warnings;
} Complaints;

static void complain(int level, const char *text, void *userdata) {
        Complaints *complaints = userdata;

        FUZZ_CHECK(level == LOG_ERR || level == LOG_WARNING);
        FUZZ_CHECK(strlen(text) > 0 && strncmp(text, "fuzz.conf:", 10) == 0);
        for (const char *c = text; *c;
             c++) /* it goes to a log: nothing that forges lines or drives a terminal */
                FUZZ_CHECK(((unsigned char) *c >= 0x20 && *c != 0x7F) || *c == '\t');

        if (level == LOG_ERR)
                complaints->n_errors++;
        else
                complaints->n_warnings++;
}

static void check_bounds(const Settings *settings) {
        FUZZ_CHECK(settings->number >= 3 && settings->number <= 9999);
        FUZZ_CHECK(settings->size <= MEMORY_BYTES_MAX);
        FUZZ_CHECK(settings->timespan >= 1000 && settings->timespan <= 3600 * USEC_PER_SEC);
        FUZZ_CHECK(settings->percent <= 100);
        FUZZ_CHECK(settings->word >= 0 && settings->word < 3);
        FUZZ_CHECK(memchr(settings->text, 0, sizeof(settings->text)) != NULL);
        for (const char *c = settings->text; *c; c++)
                FUZZ_CHECK(((unsigned char) *c >= 0x20 && *c != 0x7F) || *c == '\t');
        FUZZ_CHECK(settings->letters >= 'a' && settings->letters <= 'z');
}

static bool settings_equal(const Settings *a, const Settings *b) {
        return a->on == b->on && a->number == b->number && a->size == b->size && a->timespan == b->timespan &&
               a->percent == b->percent && a->word == b->word && strcmp(a->text, b->text) == 0 &&
               a->letters == b->letters;
}

static void check_dump(const Settings *settings, const ConfigOrigin *origins) {
        static char buffer[16384];
        Complaints complaints = {};
        Settings again = defaults;
        FILE *out;
        size_t size;

        out = fmemopen(buffer, sizeof(buffer), "w");
        FUZZ_CHECK(out);
        config_dump(&table, settings, origins, out);
        size = (size_t) ftell(out);
        FUZZ_CHECK(fclose(out) == 0);

        FUZZ_CHECK(config_parse_text(&table, "fuzz.conf", buffer, size, &again, NULL, complain,
                                     &complaints) == 0);
        FUZZ_CHECK(complaints.n_errors == 0 && complaints.n_warnings == 0);
        FUZZ_CHECK(settings_equal(settings, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        ConfigOrigin origins[ELEMENTSOF(keys)] = {};
        Settings settings = defaults, silent = defaults;
        Complaints complaints = {};
        int r;

        r = config_parse_text(&table, "fuzz.conf", (const char *) data, size, &settings, origins, complain,
                              &complaints);
        FUZZ_CHECK(r == 0 || r == -EINVAL);
        FUZZ_CHECK((r == 0) == (complaints.n_errors == 0));

        FUZZ_CHECK(config_parse_text(&table, "fuzz.conf", (const char *) data, size, &silent, NULL, NULL,
                                     NULL) == r);
        FUZZ_CHECK(settings_equal(&settings, &silent));

        check_bounds(&settings);
        if (r == 0)
                check_dump(&settings, origins);
        return 0;
}
