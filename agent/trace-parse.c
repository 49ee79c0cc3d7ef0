/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A recording read back, which may be of an older or a later agent, and anybody's: columns are found by their names, those
 * that are not known are passed over, those that are missing stay 0. What is there is held to its type.
 */

#include "agent/trace.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "common/parse.h"

static int column_find(const char *name) {
        for (size_t i = 0; i < trace_n_columns; i++)
                if (strcmp(trace_columns[i].name, name) == 0)
                        return (int) i;
        return -1;
}

int trace_form_parse(char *line, TraceForm *ret) {
        TraceForm form = {};

        assert(line);
        assert(ret);

        for (char *name; (name = strsep(&line, ","));) {
                int column = column_find(name);

                if (form.n_columns >= TRACE_COLUMNS_MAX || (column >= 0 && form.has[column]))
                        return -EBADMSG;
                if (column >= 0)
                        form.has[column] = true;
                form.columns[form.n_columns++] = column;
        }
        if (!form.has[column_find("n_dropped")] || !form.has[column_find("now_usec")])
                return -EBADMSG;
        *ret = form;
        return 0;
}

/* A word, or the number of one: older agents wrote those. */
static int word_parse(const TraceColumn *column, const char *text, unsigned *ret) {
        uint64_t number;

        for (unsigned i = 0; column->word(i); i++)
                if (strcmp(column->word(i), text) == 0) {
                        *ret = i;
                        return 0;
                }
        if (parse_u64(text, strlen(text), &number) < 0 || number > UINT_MAX ||
            !column->word((unsigned) number))
                return -EBADMSG;
        *ret = (unsigned) number;
        return 0;
}

static int i64_parse(const char *text, int64_t *ret) {
        bool negative = text[0] == '-';
        uint64_t number;

        if (parse_u64(text + negative, strlen(text + negative), &number) < 0 || number > INT64_MAX)
                return -EBADMSG;
        *ret = negative ? -(int64_t) number : (int64_t) number;
        return 0;
}

static int value_parse(const TraceColumn *column, const char *text, TraceRow *row) {
        void *value = (char *) row + column->offset;
        uint64_t number = 0;
        size_t n = strlen(text);

        if (n == 0) /* nothing of it in such a row */
                return 0;
        switch (column->type) {
        case TRACE_U64:
                return parse_u64(text, n, value) < 0 ? -EBADMSG : 0;
        case TRACE_I64:
                return i64_parse(text, value);
        case TRACE_UNSIGNED:
                if (parse_u64(text, n, &number) < 0 || number > UINT_MAX)
                        return -EBADMSG;
                *(unsigned *) value = (unsigned) number;
                return 0;
        case TRACE_BOOL:
                if (strcmp(text, "0") != 0 && strcmp(text, "1") != 0)
                        return -EBADMSG;
                *(bool *) value = text[0] == '1';
                return 0;
        case TRACE_WORD:
                return word_parse(column, text, value);
        }
        return -EBADMSG;
}

int trace_parse(const TraceForm *form, char *line, TraceRow *ret) {
        TraceRow row = {};
        unsigned n = 0;

        assert(form);
        assert(line);
        assert(ret);

        for (char *text; (text = strsep(&line, ",")); n++) {
                if (n >= form->n_columns)
                        return -EBADMSG;
                if (form->columns[n] >= 0 && value_parse(&trace_columns[form->columns[n]], text, &row) < 0)
                        return -EBADMSG;
        }
        if (n != form->n_columns)
                return -EBADMSG;
        *ret = row;
        return 0;
}
