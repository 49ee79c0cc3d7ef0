/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Questions about the bytes and words of a configuration file, apart from their meaning. mbrtowc() could check
 * UTF-8 but speaks the locale's encoding, which a daemon does not set.
 */

#include "common/config-text.h"

#include <assert.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/macro.h"

#define CONFIG_WORD_MAX 63

/*
 * Length in bytes of the character that starts at p, 0 if it is none: Unicode's table 3-7, which leaves out
 * overlong forms, surrogates and what lies beyond U+10FFFF.
 */
static size_t utf8_character_length(const uint8_t *p, const uint8_t *end) {
        static const struct {
                uint8_t first_low, first_high, second_low, second_high, length;
        } forms[] = {
                {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
                {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
                {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
        };

        for (size_t i = 0; i < ELEMENTSOF(forms); i++) {
                if (*p < forms[i].first_low || *p > forms[i].first_high)
                        continue;
                if (forms[i].length > end - p)
                        return 0;
                if (forms[i].length > 1 && (p[1] < forms[i].second_low || p[1] > forms[i].second_high))
                        return 0;
                for (size_t k = 2; k < forms[i].length; k++)
                        if ((p[k] & 0xc0) != 0x80)
                                return 0;
                return forms[i].length;
        }
        return 0;
}

static const char *byte_defect(const uint8_t *p, const uint8_t *end) {
        if (*p == '\0')
                return "a NUL byte";
        if (*p == '\r')
                return p + 1 < end && p[1] != '\n' ? "a carriage return inside the line" : NULL;
        if ((*p < 0x20 && *p != '\t' && *p != '\n') || *p == 0x7f)
                return "a control character";
        return NULL;
}

const char *config_text_defect(const char *text, size_t size, unsigned *ret_line) {
        const uint8_t *p = (const uint8_t *) text, *end = p + size;
        unsigned line = 1;

        assert(text || size == 0);
        assert(ret_line);

        while (p < end) {
                size_t length = utf8_character_length(p, end);
                const char *defect = length == 0 ? "not UTF-8" : byte_defect(p, end);

                if (defect) {
                        *ret_line = line;
                        return defect;
                }
                if (*p == '\n')
                        line++;
                p += length;
        }
        return NULL;
}

static bool same_letter(char a, char b) {
        return tolower((unsigned char) a) == tolower((unsigned char) b);
}

/* Optimal string alignment over three rows. */
unsigned config_distance(const char *a, const char *b) {
        unsigned rows[3][CONFIG_WORD_MAX + 1];
        size_t n_a, n_b;
        unsigned distance;

        assert(a);
        assert(b);

        n_a = strlen(a);
        n_b = strlen(b);
        if (n_a > CONFIG_WORD_MAX || n_b > CONFIG_WORD_MAX)
                return UINT32_MAX;

        for (size_t j = 0; j <= n_b; j++)
                rows[0][j] = (unsigned) j;
        for (size_t i = 1; i <= n_a; i++) {
                unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *above_that = rows[(i + 1) % 3];

                row[0] = (unsigned) i;
                for (size_t j = 1; j <= n_b; j++) {
                        row[j] = above[j - 1] + !same_letter(a[i - 1], b[j - 1]);
                        row[j] = MIN_OF(row[j], above[j] + 1);
                        row[j] = MIN_OF(row[j], row[j - 1] + 1);
                        if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) &&
                            same_letter(a[i - 2], b[j - 1]))
                                row[j] = MIN_OF(row[j], above_that[j - 2] + 1);
                }
        }

        /* Max= and Min= are two steps apart and no typing error of each other. */
        distance = rows[n_a % 3][n_b];
        return distance * 2 < MIN_OF(n_a, n_b) ? distance : UINT32_MAX;
}
