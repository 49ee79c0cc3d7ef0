/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Text to struct, by a table of keys. Lexing is inih's, whose lines come from a reader of ours over memory:
 * it counts them, since the handler is not told; it refuses a line that inih would silently cut in two; and it
 * takes away leading blanks, which inih would read as the continuation of the value above, so that an
 * indented "Max=4G" became the value of Min=.
 *
 * Every complaint carries FILE:LINE, what was read and what is allowed, and all of them are made: who repairs a
 * file wants to do it once. What is no text at all (NUL, control characters, not UTF-8) ends the file early.
 */

#include "common/config.h"

#include <assert.h>
#include <ini.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "common/config-text.h"
#include "common/config-value.h"
#include "common/log.h"

#define CONFIG_COMPLAINT_MAX 768

#define BYTE_ORDER_MARK "\xef\xbb\xbf"

typedef struct Parser {
        const ConfigTable *table;
        const char *name;
        void *config;
        ConfigOrigin *origins;   /* or NULL */
        ConfigComplain complain; /* or NULL */
        void *userdata;

        const char *text, *end; /* not yet read */
        unsigned line;
        bool key_expected; /* the line just given to inih has to come back as a key */
        unsigned n_errors;
        char unknown_section[64]; /* the last one complained of, once per block of lines */
} Parser;

_printf_(3, 4) static void complain_at_line(Parser *parser, int level, const char *format, ...) {
        char text[CONFIG_COMPLAINT_MAX];
        va_list args;
        int n;

        if (level == LOG_ERR)
                parser->n_errors++;
        if (!parser->complain)
                return;

        n = snprintf(text, sizeof(text), "%.256s:%u: ", parser->name, parser->line);
        va_start(args, format);
        (void) vsnprintf(text + n, sizeof(text) - (size_t) n, format, args);
        va_end(args);
        parser->complain(level, text, parser->userdata);
}

/* -- lines ---------------------------------------------------------------------------------------- */

static bool is_blank(char c) {
        return c == ' ' || c == '\t' || c == '\r';
}

/* A section that inih understands and that has nothing but a comment behind it. */
static bool is_section_line(const char *line) {
        const char *rest = strchr(line, ']');

        if (!rest || rest == line + 1)
                return false;
        rest += 1 + strspn(rest + 1, " \t\r");
        return *rest == '\0' || *rest == ';' || *rest == '#';
}

static void check_previous_line(Parser *parser) {
        if (parser->key_expected)
                complain_at_line(parser, LOG_ERR, "neither [Section] nor Key=value");
        parser->key_expected = false;
}

/* The reader that inih calls: one line, NUL-terminated, of less than size bytes. */
static char *read_line(char *buffer, int size, void *userdata) {
        Parser *parser = userdata;
        const char *line = parser->text, *newline;
        size_t length;

        check_previous_line(parser);
        if (line == parser->end)
                return NULL;

        newline = memchr(line, '\n', (size_t) (parser->end - line));
        parser->text = newline ? newline + 1 : parser->end;
        parser->line++;

        while (line < parser->text && is_blank(*line))
                line++;
        length = (size_t) ((newline ? newline : parser->end) - line);

        buffer[0] = '\0';
        if (length == 0 || *line == '#' || *line == ';')
                return buffer; /* however long: a comment says nothing to inih */
        if (length >= (size_t) size) {
                complain_at_line(parser, LOG_ERR, "longer than the %d characters of a line", size - 1);
                return buffer;
        }

        memcpy(buffer, line, length);
        buffer[length] = '\0';
        parser->key_expected = *line != '[';
        if (*line == '[' && !is_section_line(buffer)) {
                complain_at_line(parser, LOG_ERR, "not a [Section]");
                buffer[0] = '\0';
        }
        return buffer;
}

/* -- keys ----------------------------------------------------------------------------------------- */

static bool table_has_section(const ConfigTable *table, const char *section) {
        for (size_t i = 0; i < table->n_keys; i++)
                if (strcmp(table->keys[i].section, section) == 0)
                        return true;
        return false;
}

static const ConfigKey *table_find(const ConfigTable *table, const char *section, const char *name) {
        for (size_t i = 0; i < table->n_keys; i++)
                if (strcmp(table->keys[i].key, name) == 0 &&
                    (!section || strcmp(table->keys[i].section, section) == 0))
                        return table->keys + i;
        return NULL;
}

static void complain_section(Parser *parser, const char *section) {
        const char *closest = NULL;
        unsigned distance = CONFIG_DISTANCE_CLOSE + 1;

        if (strncmp(section, parser->unknown_section, sizeof(parser->unknown_section) - 1) == 0)
                return;
        (void) snprintf(parser->unknown_section, sizeof(parser->unknown_section), "%s", section);

        for (size_t i = 0; i < parser->table->n_keys; i++) {
                unsigned d = config_distance(section, parser->table->keys[i].section);

                if (d < distance) {
                        distance = d;
                        closest = parser->table->keys[i].section;
                }
        }
        if (closest)
                complain_at_line(parser, LOG_WARNING, "unknown section [%s], ignored; did you mean [%s]?",
                                 section, closest);
        else
                complain_at_line(parser, LOG_WARNING, "unknown section [%s], ignored", section);
}

static void complain_key(Parser *parser, const char *section, const char *name) {
        const ConfigKey *elsewhere = table_find(parser->table, NULL, name), *closest = NULL;
        unsigned distance = CONFIG_DISTANCE_CLOSE + 1;

        if (elsewhere) {
                complain_at_line(parser, LOG_WARNING, "%s= is ignored here; it belongs in [%s]", name,
                                 elsewhere->section);
                return;
        }

        for (size_t i = 0; i < parser->table->n_keys; i++) {
                const ConfigKey *key = parser->table->keys + i;
                unsigned d = strcmp(key->section, section) == 0 ? config_distance(name, key->key) : distance;

                if (d < distance) {
                        distance = d;
                        closest = key;
                }
        }
        if (closest)
                complain_at_line(parser, LOG_WARNING, "unknown key %s= in [%s], ignored; did you mean %s=?",
                                 name, section, closest->key);
        else
                complain_at_line(parser, LOG_WARNING, "unknown key %s= in [%s], ignored", name, section);
}

static void set_value(Parser *parser, const ConfigKey *key, const char *value) {
        char allowed[CONFIG_VALUE_MAX];
        int r;

        r = config_value_parse(key, value, (char *) parser->config + key->offset);
        if (r < 0) {
                config_value_format_allowed(key, allowed, sizeof(allowed));
                if (r == -ERANGE)
                        complain_at_line(parser, LOG_ERR, "%s=%s: out of range (allowed: %s)", key->key,
                                         value, allowed);
                else
                        complain_at_line(parser, LOG_ERR, "%s=%s: not %s (allowed: %s)", key->key, value,
                                         config_value_kind(key), allowed);
                return;
        }

        if (parser->origins) {
                ConfigOrigin *origin = parser->origins + (key - parser->table->keys);

                (void) snprintf(origin->file, sizeof(origin->file), "%s", parser->name);
                origin->line = parser->line;
        }
}

/* The handler that inih calls. Returns 1: errors are counted here, not there. */
static int on_key(void *userdata, const char *section, const char *name, const char *value) {
        Parser *parser = userdata;
        const ConfigKey *key;

        if (name[0] == '\0')
                return 1; /* "=value": still no key, check_previous_line() says so */
        parser->key_expected = false;

        key = table_find(parser->table, section, name);
        if (key) {
                set_value(parser, key, value);
                return 1;
        }

        if (section[0] == '\0' || table_has_section(parser->table, section))
                complain_key(parser, section, name);
        else
                complain_section(parser, section);
        return 1;
}

/* -- entry points --------------------------------------------------------------------------------- */

int config_parse_text(const ConfigTable *table, const char *name, const char *text, size_t size, void *config,
                      ConfigOrigin *origins, ConfigComplain complain, void *userdata) {
        Parser parser = {
                .table = table,
                .name = name,
                .config = config,
                .origins = origins,
                .complain = complain,
                .userdata = userdata,
        };
        const char *defect;
        int r;

        assert(table);
        assert(name);
        assert(text || size == 0);
        assert(config);

        defect = config_text_defect(text, size, &parser.line);
        if (defect) {
                complain_at_line(&parser, LOG_ERR, "%s", defect);
                return -EINVAL;
        }
        if (size >= STRLEN(BYTE_ORDER_MARK) && memcmp(text, BYTE_ORDER_MARK, STRLEN(BYTE_ORDER_MARK)) == 0) {
                text += STRLEN(BYTE_ORDER_MARK);
                size -= STRLEN(BYTE_ORDER_MARK);
        }
        parser.text = text;
        parser.end = text + size;
        parser.line = 0;

        r = ini_parse_stream(read_line, &parser, on_key, &parser);
        if (r < 0)
                return -ENOMEM;
        if (r > 0 && parser.n_errors == 0) {
                parser.line = (unsigned) r;
                complain_at_line(&parser, LOG_ERR, "not understood");
        }
        return parser.n_errors > 0 ? -EINVAL : 0;
}

int config_check_fixed(const ConfigTable *table, const void *running, const void *fresh,
                       const ConfigOrigin *origins, ConfigComplain complain, void *userdata) {
        int verdict = 0;

        assert(table);
        assert(running);
        assert(fresh);
        assert(origins);
        assert(complain);

        for (size_t i = 0; i < table->n_keys; i++) {
                char before[CONFIG_VALUE_MAX], after[CONFIG_VALUE_MAX], text[CONFIG_COMPLAINT_MAX];
                const ConfigKey *key = table->keys + i;

                if (!key->fixed)
                        continue;
                config_value_format(key, (const char *) running + key->offset, before, sizeof(before));
                config_value_format(key, (const char *) fresh + key->offset, after, sizeof(after));
                if (strcmp(before, after) == 0)
                        continue;
                (void) snprintf(text, sizeof(text), "%s:%u: %s=%.100s: it is %.100s until the next start",
                                origins[i].line > 0 ? origins[i].file : "default", origins[i].line, key->key,
                                after, before);
                complain(LOG_ERR, text, userdata);
                verdict = -EINVAL;
        }
        return verdict;
}

void config_dump(const ConfigTable *table, const void *config, const ConfigOrigin *origins, FILE *out) {
        const char *section = "";

        assert(table);
        assert(config);
        assert(out);

        for (size_t i = 0; i < table->n_keys; i++) {
                const ConfigKey *key = table->keys + i;
                char value[CONFIG_VALUE_MAX];

                if (strcmp(section, key->section) != 0)
                        (void) fprintf(out, "%s[%s]\n", i > 0 ? "\n" : "", key->section);
                section = key->section;

                /* Above and not behind the value: inih takes a '#' on the same line for a part of it. */
                if (origins && origins[i].line > 0)
                        (void) fprintf(out, "# %s:%u\n", origins[i].file, origins[i].line);
                else if (origins)
                        (void) fprintf(out, "# default\n");
                config_value_format(key, (const char *) config + key->offset, value, sizeof(value));
                (void) fprintf(out, "%s=%s\n", key->key, value);
        }
}

void config_complain_to_log(int level, const char *text, void *userdata) {
        (void) log_line(level, 0, "%s", text);
}
