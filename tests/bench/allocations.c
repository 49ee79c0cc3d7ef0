/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A program's own definitions go before libc's for every library that it loads, so that linking this file in counts
 * all of them. glibc only; not with a sanitizer, which has an allocator of its own.
 */

#include "allocations.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);

static atomic_ulong n_allocations;

void *malloc(size_t size) {
        n_allocations++;
        return __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
        n_allocations++;
        return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size) {
        n_allocations++;
        return __libc_realloc(p, size);
}

unsigned long allocations_count(void) {
        return n_allocations;
}
