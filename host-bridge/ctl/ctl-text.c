/* SPDX-License-Identifier: Apache-2.0 */

/* Every figure is looked up by its field's name, so that an older daemon, which lacks some, can be shown too. */

#include "host-bridge/ctl/ctl-text.h"

#include <stdio.h>
#include <time.h>

#include "common/parse.h"
#include "common/units.h"

static char *next(CtlTexts *texts) {
        return texts->text[texts->n++ % 16];
}

uint64_t ctl_number(const json_t *object, const char *key) {
        json_int_t value = json_integer_value(json_object_get(object, key));

        return value > 0 ? (uint64_t) value : 0;
}

const char *ctl_word(const json_t *object, const char *key) {
        const char *text = json_string_value(json_object_get(object, key));

        return text && *text ? text : "-";
}

bool ctl_flag(const json_t *object, const char *key) {
        return json_is_true(json_object_get(object, key));
}

const char *ctl_size(CtlTexts *texts, const json_t *object, const char *key) {
        const json_t *value = json_object_get(object, key);
        json_int_t bytes = json_integer_value(value);
        char plain[FORMAT_SIZE_MAX], *text = next(texts);

        if (!value)
                return "-";
        (void) snprintf(text, sizeof(texts->text[0]), "%s%s", bytes < 0 ? "-" : "",
                        format_size(plain, bytes < 0 ? UINT64_C(0) - (uint64_t) bytes : (uint64_t) bytes));
        return text;
}

static const char *duration(CtlTexts *texts, uint64_t usec) {
        char plain[FORMAT_TIMESPAN_MAX], *text = next(texts);

        if (usec >= USEC_PER_MSEC && usec < USEC_PER_SEC)
                (void) snprintf(text, sizeof(texts->text[0]), "%.1fms",
                                (double) usec / (double) USEC_PER_MSEC);
        else
                (void) snprintf(text, sizeof(texts->text[0]), "%s", format_timespan(plain, usec));
        return text;
}

const char *ctl_span(CtlTexts *texts, const json_t *object, const char *key) {
        return json_object_get(object, key) ? duration(texts, ctl_number(object, key)) : "-";
}

const char *ctl_between(CtlTexts *texts, const json_t *object, const char *from, const char *to) {
        uint64_t a = ctl_number(object, from), b = ctl_number(object, to);

        return a == 0 || b < a ? "-" : duration(texts, b - a);
}

const char *ctl_when(CtlTexts *texts, const json_t *object) {
        time_t seconds = (time_t) (ctl_number(object, "realtime_usec") / USEC_PER_SEC);
        char *text = next(texts);
        struct tm tm;

        if (!localtime_r(&seconds, &tm) || strftime(text, sizeof(texts->text[0]), "%F %T", &tm) == 0)
                return "-";
        return text;
}
