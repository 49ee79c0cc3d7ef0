/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A field of a JSON object as a word for people; one that is absent is "-", 0 or false. */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Texts of one line live here until it is printed; zeroed before. The 17th takes the place of the first. */
typedef struct CtlTexts {
        char text[16][48];
        unsigned n;
} CtlTexts;

uint64_t ctl_number(const json_t *object, const char *key);
const char *ctl_word(const json_t *object, const char *key);
bool ctl_flag(const json_t *object, const char *key);

/* Bytes, as 1.5G. */
const char *ctl_size(CtlTexts *texts, const json_t *object, const char *key);

/* Microseconds, as 1.5ms. */
const char *ctl_span(CtlTexts *texts, const json_t *object, const char *key);

/* From one point in time to a later one; "-" while either has not happened. */
const char *ctl_between(CtlTexts *texts, const json_t *object, const char *from, const char *to);

/* Its realtime_usec in local time, to the second. */
const char *ctl_when(CtlTexts *texts, const json_t *object);
