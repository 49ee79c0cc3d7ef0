/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A program's own definitions go before libc's for every library that it loads, so that linking this file in counts
 * all of them. glibc only; not with a sanitizer, which has an allocator of its own.
 */

#include "allocations.h"

#include <execinfo.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define DEPTH_MAX 24

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);

static atomic_ulong n_allocations;
static atomic_bool shown;

static void count(void) {
        void *stack[DEPTH_MAX];

        n_allocations++;
        if (shown) {
                backtrace_symbols_fd(stack, backtrace(stack, DEPTH_MAX), STDERR_FILENO);
                (void) !write(STDERR_FILENO, "\n", 1);
        }
}

void *malloc(size_t size) {
        count();
        return __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
        count();
        return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size) {
        count();
        return __libc_realloc(p, size);
}

unsigned long allocations_count(void) {
        return n_allocations;
}

void allocations_show(void) {
        void *stack[1];

        (void) backtrace(stack, 1); /* the first call loads a library, which allocates */
        shown = true;
}
