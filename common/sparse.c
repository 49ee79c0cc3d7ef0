/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A bit per word of 8 bytes, and the words that are not zero: a hypervisor's model of 1.2 KiB takes about 120 bytes, and
 * equal structs are equal bytes. Rejected: arrays of their own behind pointers, since pure cores copy these structs as
 * values and allocate nothing; and a packed form per struct, which is to be kept in step with each new field.
 */

#include "common/sparse.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define WORD_SIZE sizeof(uint64_t)
#define MASK_BITS 64U

/* words: the masks, then the words that they announce. */
struct Sparse {
        uint16_t size;    /* of the struct */
        uint16_t n_words; /* that stand here */
        uint64_t words[];
};

static size_t masks_of(size_t size) {
        return (size / WORD_SIZE + MASK_BITS - 1) / MASK_BITS;
}

/* Returns how many words were written to ret. */
static size_t pack(const void *data, size_t size, uint64_t *ret) {
        size_t n = masks_of(size);

        memset(ret, 0, n * WORD_SIZE);
        for (size_t i = 0; i < size / WORD_SIZE; i++) {
                uint64_t word;

                memcpy(&word, (const uint8_t *) data + i * WORD_SIZE, WORD_SIZE);
                if (word == 0)
                        continue;
                ret[i / MASK_BITS] |= UINT64_C(1) << i % MASK_BITS;
                ret[n++] = word;
        }
        return n;
}

int sparse_set(Sparse **sparse, const void *data, size_t size) {
        uint64_t words[SPARSE_SIZE_MAX / WORD_SIZE + SPARSE_SIZE_MAX / WORD_SIZE / MASK_BITS];
        const Sparse *old = *sparse;
        Sparse *fresh;
        size_t n;

        assert(size % WORD_SIZE == 0 && size <= SPARSE_SIZE_MAX);

        n = pack(data, size, words);
        if (old && old->size == size && old->n_words == n && memcmp(old->words, words, n * WORD_SIZE) == 0)
                return 0;
        fresh = malloc(sizeof(*fresh) + n * WORD_SIZE);
        if (!fresh)
                return -ENOMEM;
        fresh->size = (uint16_t) size;
        fresh->n_words = (uint16_t) n;
        memcpy(fresh->words, words, n * WORD_SIZE);
        free(*sparse);
        *sparse = fresh;
        return 1;
}

void sparse_get(const Sparse *sparse, void *ret, size_t size) {
        const uint64_t *word;

        assert(!sparse || sparse->size == size);

        memset(ret, 0, size);
        if (!sparse)
                return;
        word = sparse->words + masks_of(size);
        for (size_t i = 0; i < masks_of(size); i++)
                for (uint64_t mask = sparse->words[i]; mask != 0; mask &= mask - 1) {
                        size_t at = i * MASK_BITS + (size_t) __builtin_ctzll(mask);

                        memcpy((uint8_t *) ret + at * WORD_SIZE, word++, WORD_SIZE);
                }
}

Sparse *sparse_free(Sparse *sparse) {
        free(sparse);
        return NULL;
}
