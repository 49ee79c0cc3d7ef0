/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A struct as a flat list of named, typed fields: what the daemons show on the bus, and what is printed from
 * there. A table row says where in the struct a value stands and how it is read. Nothing here allocates.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/vocabulary.h"

typedef enum FieldType {
        FIELD_U64,
        FIELD_I64,
        FIELD_BOOLEAN,
        FIELD_STRING,
        FIELD_LIST, /* strings, comma-separated in text; "" is the empty list */
        FIELD_TYPE_MAX,
} FieldType;

#define FIELD_TEXT_MAX 512U

typedef struct Field {
        const char *name; /* snake_case with its unit: available_bytes */
        FieldType type;
        uint64_t u64;
        int64_t i64;
        bool boolean;
        char text[FIELD_TEXT_MAX];
} Field;

typedef enum FieldReading {
        READ_U64,
        READ_I64,
        READ_UNSIGNED,
        READ_SIZE,
        READ_BOOLEAN,
        READ_TEXT, /* char array */
        READ_NAME, /* an enum, by its name function */
        READ_AGE,  /* uint64_t usec, left out when UINT64_MAX */
} FieldReading;

typedef struct FieldRow {
        const char *name;
        FieldReading reading;
        size_t offset;
        const char *(*to_string)(unsigned value);
        size_t size; /* READ_TEXT that is to be written: of the array */
} FieldRow;

/* Reads the struct at base by its rows; ret has room for n_rows. Returns how many fields there are. */
size_t fields_read(const FieldRow *rows, size_t n_rows, const void *base, Field *ret);

/*
 * The way back: what fields name is written to the struct at base, which is zeroed before; an age without a
 * field becomes UINT64_MAX, a name that is none the enum's first value. Fields that no row knows are ignored.
 */
void fields_write(const FieldRow *rows, size_t n_rows, const Field *fields, size_t n, void *base);

/* A list of the names of the Capability bits in mask. */
Field field_of_capabilities(const char *name, uint64_t mask);

/* Adds "psi (ENOENT)" to a list; error is a positive errno. */
void field_add_missing(Field *list, Facility facility, int error);
