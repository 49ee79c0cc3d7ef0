/* SPDX-License-Identifier: Apache-2.0 */

/* Texts and what is said of them; that a dump loads to the same; which words are close. Files: test-config-files.c. */

#include "common/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <string.h>
#include <syslog.h>

#include "common/config-text.h"
#include "common/units.h"

typedef struct Sample {
        bool enabled;
        uint64_t count;
        uint64_t floor;
        uint64_t hold;
        uint64_t overcommit;
        int mode;
        char name[8];
        int custom;
} Sample;

static const Sample defaults = {
        .enabled = true,
        .count = 3,
        .floor = 256 * MIB,
        .hold = 5 * USEC_PER_SEC,
        .overcommit = 100,
        .mode = 1,
        .name = "vm",
        .custom = 1,
};

/* By field: padding has no value. */
static void assert_samples_equal(const Sample *a, const Sample *b) {
        assert_int_equal(a->enabled, b->enabled);
        assert_int_equal(a->count, b->count);
        assert_int_equal(a->floor, b->floor);
        assert_int_equal(a->hold, b->hold);
        assert_int_equal(a->overcommit, b->overcommit);
        assert_int_equal(a->mode, b->mode);
        assert_string_equal(a->name, b->name);
        assert_int_equal(a->custom, b->custom);
}

static const char *const modes[] = {"off", "auto", "always", NULL};

static int parse_custom(const char *value, void *field) {
        if (value[0] == '\0' || value[1] != '\0')
                return -EINVAL;
        if (value[0] < 'a' || value[0] > 'e')
                return -ERANGE;
        *(int *) field = value[0] - 'a';
        return 0;
}

static void format_custom(const void *field, char *buffer, size_t size) {
        (void) snprintf(buffer, size, "%c", 'a' + *(const int *) field);
}

static const ConfigKey keys[] = {
        {"Agent", "Enabled", CONFIG_BOOLEAN, offsetof(Sample, enabled)},
        {"Agent", "Count", CONFIG_U64, offsetof(Sample, count), 1, 10},
        {"Memory", "Floor", CONFIG_SIZE, offsetof(Sample, floor), 16 * MIB, TIB},
        {"Memory", "Hold", CONFIG_TIMESPAN, offsetof(Sample, hold), USEC_PER_MSEC, 3600 * USEC_PER_SEC},
        {"Memory", "Overcommit", CONFIG_PERCENT, offsetof(Sample, overcommit), 50, 400},
        {"Memory", "Mode", CONFIG_ENUM, offsetof(Sample, mode), .names = modes},
        {"Memory", "Name", CONFIG_STRING, offsetof(Sample, name), 1, sizeof(defaults.name)},
        {"Memory", "Letter", CONFIG_CUSTOM, offsetof(Sample, custom), .parse = parse_custom,
         .format = format_custom, .allowed = "a to e"},
};

static const ConfigTable table = {"sample", keys, ELEMENTSOF(keys)};

/* What was said: one line per complaint, "E " or "W " before each. */
typedef struct Said {
        char text[8192];
} Said;

static void say(int level, const char *text, void *userdata) {
        Said *said = userdata;
        size_t length = strlen(said->text);

        assert_true(level == LOG_ERR || level == LOG_WARNING);
        (void) snprintf(said->text + length, sizeof(said->text) - length, "%s %s\n",
                        level == LOG_ERR ? "E" : "W", text);
}

static int parse(const char *text, size_t size, Sample *sample, ConfigOrigin *origins, Said *said) {
        *sample = defaults;
        said->text[0] = '\0';
        return config_parse_text(&table, "f", text, size, sample, origins, say, said);
}

static void test_values(void **state) {
        const char text[] = "# comment\n"
                            "; another\n"
                            "\n"
                            "[Agent]\n"
                            "Enabled=no\n"
                            "  Count = 7  \r\n"
                            "\tCount=8\n"
                            "[Memory] # of the guest\n"
                            "Floor=1.5G\n"
                            "Hold=250ms ; inline\n"
                            "Overcommit=150%\n"
                            "Mode=always\n"
                            "Name=sieben7\n"
                            "Letter=c";
        ConfigOrigin origins[ELEMENTSOF(keys)] = {};
        Sample sample;
        Said said;

        assert_int_equal(parse(text, strlen(text), &sample, origins, &said), 0);
        assert_string_equal(said.text, "");
        assert_false(sample.enabled);
        assert_int_equal(sample.count, 8);
        assert_int_equal(sample.floor, 1536 * MIB);
        assert_int_equal(sample.hold, 250 * USEC_PER_MSEC);
        assert_int_equal(sample.overcommit, 150);
        assert_int_equal(sample.mode, 2);
        assert_string_equal(sample.name, "sieben7");
        assert_int_equal(sample.custom, 2);

        assert_string_equal(origins[1].file, "f");
        assert_int_equal(origins[1].line, 7);
        assert_int_equal(origins[7].line, 14);
}

#define BYTES_50  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define BYTES_200 BYTES_50 BYTES_50 BYTES_50 BYTES_50

static const struct {
        const char *text;
        int r;
        const char *said;
} complaints[] = {
        {"", 0, ""},
        {"\n\n# only a comment", 0, ""},
        {"\xef\xbb\xbf[Agent]\nCount=4\n", 0, ""},
        {"\xef\xbb\xbf", 0, ""},
        {"[Agent]", 0, ""},

        /* values: the line, what was read, what is allowed */
        {"[Memory]\nFloor=big\n", -EINVAL, "E f:2: Floor=big: not a size (allowed: 16M to 1T)\n"},
        {"[Memory]\nFloor=\n", -EINVAL, "E f:2: Floor=: not a size (allowed: 16M to 1T)\n"},
        {"[Memory]\nFloor=4096\n", -EINVAL, "E f:2: Floor=4096: out of range (allowed: 16M to 1T)\n"},
        {"[Memory]\nFloor=2T\n", -EINVAL, "E f:2: Floor=2T: out of range (allowed: 16M to 1T)\n"},
        {"[Memory]\nFloor=1G # one\n", -EINVAL, "E f:2: Floor=1G # one: not a size (allowed: 16M to 1T)\n"},
        {"[Memory]\nHold=5m\n", -EINVAL, "E f:2: Hold=5m: not a time span (allowed: 1ms to 1h)\n"},
        {"[Memory]\nHold=0\n", -EINVAL, "E f:2: Hold=0: out of range (allowed: 1ms to 1h)\n"},
        {"[Memory]\nOvercommit=120\n", -EINVAL,
         "E f:2: Overcommit=120: not a percentage (allowed: 50% to 400%)\n"},
        {"[Memory]\nMode=Always\n", -EINVAL,
         "E f:2: Mode=Always: not one of the words (allowed: off, auto, always)\n"},
        {"[Memory]\nName=achtzeic\n", -EINVAL,
         "E f:2: Name=achtzeic: out of range (allowed: 1 to 7 characters)\n"},
        {"[Memory]\nName=\n", -EINVAL, "E f:2: Name=: out of range (allowed: 1 to 7 characters)\n"},
        {"[Memory]\nLetter=f\n", -EINVAL, "E f:2: Letter=f: out of range (allowed: a to e)\n"},
        {"[Memory]\nLetter=ab\n", -EINVAL, "E f:2: Letter=ab: not a value of this key (allowed: a to e)\n"},
        {"[Agent]\nEnabled=maybe\nCount=11\n", -EINVAL,
         "E f:2: Enabled=maybe: not a boolean (allowed: yes or no)\n"
         "E f:3: Count=11: out of range (allowed: 1 to 10)\n"},

        /* lines that are none: all are told, and the rest is still read */
        {"[Agent]\nCount\n=5\nCount=x\nEnabled", -EINVAL,
         "E f:2: neither [Section] nor Key=value\n"
         "E f:3: neither [Section] nor Key=value\n"
         "E f:4: Count=x: not a number (allowed: 1 to 10)\n"
         "E f:5: neither [Section] nor Key=value\n"},
        {"[Agent\nCount=5\n", -EINVAL,
         "E f:1: not a [Section]\nW f:2: Count= is ignored here; it belongs in [Agent]\n"},
        {"[]\n", -EINVAL, "E f:1: not a [Section]\n"},
        {"[Agent] Count=5\n", -EINVAL, "E f:1: not a [Section]\n"},
        {"[Agent]\nCount=" BYTES_200 "\nCount=5", -EINVAL,
         "E f:2: longer than the 199 characters of a line\n"},
        {"# " BYTES_200 "\n[Agent]\nCount=0\n", -EINVAL, "E f:3: Count=0: out of range (allowed: 1 to 10)\n"},

        /* unknown words warn, and say what was probably meant */
        {"[Agent]\nCuont=5\n", 0, "W f:2: unknown key Cuont= in [Agent], ignored; did you mean Count=?\n"},
        {"[Agent]\ncount=5\n", 0, "W f:2: unknown key count= in [Agent], ignored; did you mean Count=?\n"},
        {"[Agent]\nColour=5\n", 0, "W f:2: unknown key Colour= in [Agent], ignored\n"},
        {"[Agent]\nFloor=5\n", 0, "W f:2: Floor= is ignored here; it belongs in [Memory]\n"},
        {"Count=5\n", 0, "W f:1: Count= is ignored here; it belongs in [Agent]\n"},
        {"[Memroy]\nFloor=5\nHold=x\n[Agent]\nCount=5\n", 0,
         "W f:2: unknown section [Memroy], ignored; did you mean [Memory]?\n"},
        {"[Elsewhere]\nFloor=5\n", 0, "W f:2: unknown section [Elsewhere], ignored\n"},
        {"[Agent]\n" BYTES_50 BYTES_50 "=5\n", 0, NULL},
        {"[" BYTES_50 BYTES_50 "]\nCount=5\n", 0, NULL},

        /* no text */
        {"[Agent]\nCount=\xff\n", -EINVAL, "E f:2: not UTF-8\n"},
        {"# gr\xc3\xbc\xc3\x9f"
         "e\n",
         0, ""},
        {"# \xc0\xaf\n", -EINVAL, "E f:1: not UTF-8\n"},         /* overlong */
        {"# \xed\xa0\x80\n", -EINVAL, "E f:1: not UTF-8\n"},     /* a surrogate */
        {"# \xf4\x90\x80\x80\n", -EINVAL, "E f:1: not UTF-8\n"}, /* beyond Unicode */
        {"# \xf0\x9f\x90\xa7\n", 0, ""},
        {"# cut \xe2\x82", -EINVAL, "E f:1: not UTF-8\n"},
        {"\n\n\033[2J", -EINVAL, "E f:3: a control character\n"},
        {"# \x7f", -EINVAL, "E f:1: a control character\n"},
        {"[Agent]\rCount=5", -EINVAL, "E f:1: a carriage return inside the line\n"},
};

static void test_complaints(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(complaints); i++) {
                Sample sample;
                Said said;

                assert_int_equal(parse(complaints[i].text, strlen(complaints[i].text), &sample, NULL, &said),
                                 complaints[i].r);
                if (complaints[i].said)
                        assert_string_equal(said.text, complaints[i].said);
                else
                        assert_non_null(strstr(said.text, "ignored"));
        }
}

static void test_longest_line(void **state) {
        char text[256] = "[Memory]\nName=ok\n#\n";
        Sample sample;
        Said said;

        /* 199 characters are a line (blanks do not count at its start); one more is not */
        memset(text + 16, ' ', 40);
        memcpy(text + 30, "Name=", 5);
        memset(text + 35, 'x', 194);
        text[16] = '\n';
        text[229] = '\0';
        assert_int_equal(parse(text, strlen(text), &sample, NULL, &said), -EINVAL);
        assert_non_null(strstr(said.text, "xxx: out of range"));

        text[229] = 'x';
        assert_int_equal(parse(text, 230, &sample, NULL, &said), -EINVAL);
        assert_string_equal(said.text, "E f:3: longer than the 199 characters of a line\n");
        assert_string_equal(sample.name, "ok");
}

static void test_nul_byte(void **state) {
        const char text[] = "[Agent]\nCount=5\0Enabled=no\n";
        Sample sample;
        Said said;

        assert_int_equal(parse(text, sizeof(text) - 1, &sample, NULL, &said), -EINVAL);
        assert_string_equal(said.text, "E f:2: a NUL byte\n");
}

/* The rest of the character stands right behind the end. */
static void test_character_cut_by_the_end(void **state) {
        Sample sample;
        Said said;

        assert_int_equal(parse("#\xe2\x82\xac", 4, &sample, NULL, &said), 0);
        assert_int_equal(parse("#\xe2\x82\xac", 3, &sample, NULL, &said), -EINVAL);
        assert_string_equal(said.text, "E f:1: not UTF-8\n");
}

/* The text of a bad value is left alone, and so is what stood there before. */
static void test_failure_touches_nothing(void **state) {
        const char text[] = "[Agent]\nEnabled=2\nCount=0\n[Memory]\nFloor=1\nHold=x\nOvercommit=1%\nMode=x\n"
                            "Name=waytoolong\nLetter=z\n";
        ConfigOrigin origins[ELEMENTSOF(keys)] = {};
        Sample sample;
        Said said;

        assert_int_equal(parse(text, strlen(text), &sample, origins, &said), -EINVAL);
        assert_samples_equal(&sample, &defaults);
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                assert_int_equal(origins[i].line, 0);
        assert_int_equal(config_parse_text(&table, "f", text, strlen(text), &sample, NULL, NULL, NULL),
                         -EINVAL);
}

static void test_dump_loads_again(void **state) {
        static const Sample odd = {
                .enabled = false,
                .count = 10,
                .floor = 16 * MIB + 1,
                .hold = 90 * USEC_PER_SEC + 1,
                .overcommit = 99,
                .mode = 0,
                .name = "a b",
                .custom = 4,
        };
        const Sample *const samples[] = {&defaults, &odd};

        for (size_t i = 0; i < ELEMENTSOF(samples); i++) {
                _cleanup_free_ char *text = NULL;
                _cleanup_fclose_ FILE *out = NULL; /* closed first: it owns the text until then */
                ConfigOrigin origins[ELEMENTSOF(keys)] = {[2] = {"/etc/memtide/x.conf", 12}};
                size_t size;
                Sample sample;
                Said said;

                out = open_memstream(&text, &size);
                assert_non_null(out);
                config_dump(&table, samples[i], i == 0 ? origins : NULL, out);
                assert_int_equal(fflush(out), 0);

                assert_int_equal(parse(text, size, &sample, NULL, &said), 0);
                assert_string_equal(said.text, "");
                assert_samples_equal(&sample, samples[i]);
                if (i == 0)
                        assert_string_equal(text,
                                            "[Agent]\n# default\nEnabled=yes\n# default\nCount=3\n\n"
                                            "[Memory]\n# /etc/memtide/x.conf:12\nFloor=256M\n# default\n"
                                            "Hold=5s\n# default\nOvercommit=100%\n# default\nMode=auto\n"
                                            "# default\nName=vm\n# default\nLetter=b\n");
        }
}

static void test_distance(void **state) {
        static const struct {
                const char *a, *b;
                unsigned distance; /* UINT32_MAX: not close */
        } rows[] = {
                {"Count", "Count", 0},         {"Count", "COUNT", 0},
                {"Count", "Cuont", 1},         {"Count", "Cont", 1},
                {"Count", "Counts", 1},        {"Count", "Mount", 1},
                {"Overcommit", "Ovrcomit", 2}, {"Max", "Min", UINT32_MAX},
                {"Max", "", UINT32_MAX},       {"", "", UINT32_MAX},
                {"Maximum", "Minimum", 2},     {BYTES_50 BYTES_50, BYTES_50 BYTES_50, UINT32_MAX},
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                assert_int_equal(config_distance(rows[i].a, rows[i].b), rows[i].distance);
                assert_int_equal(config_distance(rows[i].b, rows[i].a), rows[i].distance);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_values),
                cmocka_unit_test(test_complaints),
                cmocka_unit_test(test_longest_line),
                cmocka_unit_test(test_nul_byte),
                cmocka_unit_test(test_character_cut_by_the_end),
                cmocka_unit_test(test_failure_touches_nothing),
                cmocka_unit_test(test_dump_loads_again),
                cmocka_unit_test(test_distance),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
