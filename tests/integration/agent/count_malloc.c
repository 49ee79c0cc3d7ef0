/* SPDX-License-Identifier: Apache-2.0 */

/* Preloaded into the agent by test_memory.py: says on SIGUSR1 how often memory was allocated so far. */

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *malloc(size_t size);
void *calloc(size_t n, size_t size);
void *realloc(void *p, size_t size);

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

static void say(int number) {
        char text[64];
        int n = snprintf(text, sizeof(text), "allocations: %lu\n", n_allocations);

        (void) !write(STDERR_FILENO, text, (size_t) n);
}

__attribute__((constructor)) static void begin(void) {
        (void) signal(SIGUSR1, say);
}
