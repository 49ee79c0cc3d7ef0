/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

#define VMM_WORDS_MAX 256U /* of a hypervisor's words that are passed on */

/* A hypervisor's words go into a log: one line, and no control characters. */
static inline void vmm_copy_words(const char *words, char ret[static VMM_WORDS_MAX]) {
        size_t n = 0;

        for (; words[n] != '\0' && n < VMM_WORDS_MAX - 1; n++)
                ret[n] = words[n] >= ' ' && words[n] <= '~' ? words[n] : '?';
        ret[n] = '\0';
}
