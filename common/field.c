/* SPDX-License-Identifier: Apache-2.0 */

/* One walker for every table: a new figure is one row in the table of its owner, and every surface has it. */

#include "common/field.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

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
