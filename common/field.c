/* SPDX-License-Identifier: Apache-2.0 */

/* One walker for every table: a new figure is one row in the table of its owner, and every surface has it. */

#include "common/field.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/units.h"

static void set_u64(Field *field, uint64_t value) {
        field->type = FIELD_U64;
        field->u64 = value;
}

static void set_text(Field *field, FieldType type, const char *text) {
        field->type = type;
        (void) snprintf(field->text, sizeof(field->text), "%s", text);
}

/* Returns false if the value is one that is left out. */
static bool read_row(const FieldRow *row, const void *base, Field *ret) {
        const void *at = (const char *) base + row->offset;

        *ret = (Field){.name = row->name};
        switch (row->reading) {
        case READ_AGE:
                if (*(const uint64_t *) at == UINT64_MAX)
                        return false;
                set_u64(ret, *(const uint64_t *) at);
                return true;
        case READ_U64:
                set_u64(ret, *(const uint64_t *) at);
                return true;
        case READ_UNSIGNED:
                set_u64(ret, *(const unsigned *) at);
                return true;
        case READ_SIZE:
                set_u64(ret, *(const size_t *) at);
                return true;
        case READ_I64:
                ret->type = FIELD_I64;
                ret->i64 = *(const int64_t *) at;
                return true;
        case READ_BOOLEAN:
                ret->type = FIELD_BOOLEAN;
                ret->boolean = *(const bool *) at;
                return true;
        case READ_TEXT:
                set_text(ret, FIELD_STRING, at);
                return true;
        case READ_NAME:
                set_text(ret, FIELD_STRING, row->to_string(*(const unsigned *) at));
                return true;
        }
        return false;
}

size_t fields_read(const FieldRow *rows, size_t n_rows, const void *base, Field *ret) {
        size_t n = 0;

        assert(rows);
        assert(base);

        for (size_t i = 0; i < n_rows; i++)
                if (read_row(rows + i, base, ret + n))
                        n++;
        return n;
}

static void add_to_list(Field *field, const char *text) {
        size_t length = strlen(field->text);

        (void) snprintf(field->text + length, sizeof(field->text) - length, "%s%s", length > 0 ? "," : "",
                        text);
}

Field field_of_capabilities(const char *name, uint64_t mask) {
        Field field = {.name = name, .type = FIELD_LIST};

        for (unsigned bit = 1; bit != 0; bit <<= 1) {
                const char *word = capability_to_string(bit);

                if (word && mask & bit)
                        add_to_list(&field, word);
        }
        return field;
}

void field_add_missing(Field *list, Facility facility, int error) {
        const char *name = strerrorname_np(error);
        char text[128];

        assert(list);

        (void) snprintf(text, sizeof(text), "%s (%s)", facility_to_string(facility), name ? name : "?");
        add_to_list(list, text);
}

/* -- the way back ---------------------------------------------------------------------------------- */

/* The value whose name is text; 0, the first one, if it is the name of none. */
static unsigned value_named(const FieldRow *row, const char *text) {
        for (unsigned value = 0; strcmp(row->to_string(value), "unknown") != 0; value++)
                if (strcmp(row->to_string(value), text) == 0)
                        return value;
        return 0;
}

static void write_text(const FieldRow *row, const char *text, void *at) {
        if (row->reading == READ_TEXT)
                (void) snprintf(at, row->size, "%s", text);
        else if (row->reading == READ_NAME)
                *(unsigned *) at = value_named(row, text);
}

static void write_number(const FieldRow *row, uint64_t u64, int64_t i64, void *at) {
        switch (row->reading) {
        case READ_U64:
        case READ_AGE:
                *(uint64_t *) at = u64;
                return;
        case READ_I64:
                *(int64_t *) at = i64;
                return;
        case READ_UNSIGNED:
                *(unsigned *) at = (unsigned) u64_min(u64, UINT32_MAX);
                return;
        case READ_SIZE:
        case READ_BOOLEAN:
        case READ_TEXT:
        case READ_NAME:
                return; /* the first two are never written back */
        }
}

static void write_row(const FieldRow *row, const Field *field, void *base) {
        void *at = (char *) base + row->offset;

        switch (field->type) {
        case FIELD_U64:
                write_number(row, field->u64, field->u64 > INT64_MAX ? INT64_MAX : (int64_t) field->u64, at);
                return;
        case FIELD_I64:
                write_number(row, field->i64 > 0 ? (uint64_t) field->i64 : 0, field->i64, at);
                return;
        case FIELD_STRING:
                write_text(row, field->text, at);
                return;
        case FIELD_BOOLEAN:
        case FIELD_LIST:
        case FIELD_TYPE_MAX:
                return;
        }
}

void fields_write(const FieldRow *rows, size_t n_rows, const Field *fields, size_t n, void *base) {
        assert(rows);
        assert(fields || n == 0);
        assert(base);

        for (const FieldRow *row = rows; row < rows + n_rows; row++) {
                if (row->reading == READ_AGE)
                        *(uint64_t *) ((char *) base + row->offset) = UINT64_MAX;
                for (size_t i = 0; i < n; i++)
                        if (strcmp(fields[i].name, row->name) == 0)
                                write_row(row, fields + i, base);
        }
}
