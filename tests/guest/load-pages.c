/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Pages whose words follow from their number. Half of each page stays zero: that halves the cost under emulation, and
 * compresses like ordinary heap memory (2:1).
 */

#include "load.h"

#include <stddef.h>

#define FILLED_WORDS (PAGE_BYTES / sizeof(uint64_t) / 2)

static uint64_t first_word(uint64_t number) {
        return (number + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static uint64_t next_word(uint64_t word) {
        return word * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
}

void load_fill_page(void *page, uint64_t number) {
        uint64_t word = first_word(number), *words = page;

        for (size_t i = 0; i < FILLED_WORDS; i++, word = next_word(word))
                words[i] = word;
}

/* First, second and last word: enough to see a zeroed or a foreign page, cheap enough for every page. */
static bool page_is_intact(const uint64_t *words, uint64_t number) {
        uint64_t word = first_word(number);

        return words[0] == word && words[1] == next_word(word) && words[FILLED_WORDS - 1] != 0;
}

uint64_t load_count_damaged(const uint8_t *memory, uint64_t bytes) {
        uint64_t damaged = 0;

        for (uint64_t offset = 0; offset < bytes; offset += PAGE_BYTES)
                damaged += !page_is_intact((const uint64_t *) (memory + offset), offset / PAGE_BYTES);
        return damaged;
}
