/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * INI configuration in systemd's manner: a table of keys fills a struct; drop-ins override by file
 * name; a bad value is an error with file, line, what was read and what is allowed; an unknown key
 * is a warning. Lexing is inih's.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/macro.h"
#include "common/rootdir.h"

typedef enum ConfigType {
        CONFIG_BOOLEAN,  /* bool */
        CONFIG_U64,      /* uint64_t, min..max */
        CONFIG_SIZE,     /* uint64_t bytes, min..max */
        CONFIG_TIMESPAN, /* uint64_t usec, min..max */
        CONFIG_PERCENT,  /* uint64_t percent, min..max */
        CONFIG_ENUM,     /* int, an index into names */
        CONFIG_STRING,   /* char[max], NUL-terminated; min = fewest characters */
        CONFIG_CUSTOM,   /* parse and format below */
} ConfigType;

typedef struct ConfigKey ConfigKey;
struct ConfigKey {
        const char *section;
        const char *key;
        ConfigType type;
        size_t offset; /* of the field in the struct */
        uint64_t min, max;
        const char *const *names; /* CONFIG_ENUM: NULL-terminated */
        /* CONFIG_CUSTOM: parse returns 0 or -EINVAL/-ERANGE; format writes the value as a file would have it */
        int (*parse)(const char *value, void *field);
        void (*format)(const void *field, char *buffer, size_t size);
        const char *allowed; /* CONFIG_CUSTOM: for the error text */
        bool fixed;          /* read at the start only: config_check_fixed() */
};

typedef struct ConfigTable {
        const char *name; /* "agent": NAME.conf and NAME.conf.d */
        const ConfigKey *keys;
        size_t n_keys;
} ConfigTable;

/* Where a value came from, for --dump-config. line 0: the built-in default. */
typedef struct ConfigOrigin {
        char file[256];
        unsigned line;
} ConfigOrigin;

/* One complaint. level is LOG_ERR (the load fails) or LOG_WARNING. text is complete, with file and line. */
typedef void (*ConfigComplain)(int level, const char *text, void *userdata);

/*
 * Reads /usr/lib/memtide/NAME.conf or, where it exists, /etc/memtide/NAME.conf, then the drop-ins NAME.conf.d/\*.conf
 * of /usr/lib, /run and /etc in the order of their names (the later folder hides the same name of
 * the earlier one), over the defaults already in *config. With file non-NULL only that file is read,
 * and it must exist: an absolute path is below root, a relative one from the working directory.
 * A file that is a link to /dev/null counts as empty. origins: n_keys entries, or NULL; complain may be NULL.
 * Every complaint is reported, not just the first; those about the reading of a file are among them.
 * Returns 0, -EINVAL after at least one error (config is then half filled: load into a copy), or -errno
 * when there was no memory (nothing has been reported then).
 */
int config_load(const ConfigTable *table, const RootDir *root, const char *file, void *config,
                ConfigOrigin *origins, ConfigComplain complain, void *userdata);

/*
 * Parses one text (name stands in messages). The fuzzed entry point; config_load() is made of it.
 * Returns 0, or -EINVAL.
 */
int config_parse_text(const ConfigTable *table, const char *name, const char *text, size_t size, void *config,
                      ConfigOrigin *origins, ConfigComplain complain, void *userdata);

/*
 * Complains of each fixed key whose value in fresh is not the one in running; with the place of the fresh one.
 * Returns 0, or -EINVAL.
 */
int config_check_fixed(const ConfigTable *table, const void *running, const void *fresh,
                       const ConfigOrigin *origins, ConfigComplain complain, void *userdata);

/* Prints every key with its value and origin, as a file that would load to the same. */
void config_dump(const ConfigTable *table, const void *config, const ConfigOrigin *origins, FILE *out);

/* A complaint handler that logs. userdata is unused. */
void config_complain_to_log(int level, const char *text, void *userdata);
