/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A kernel file that cannot be read, or says what no kernel says, costs what it is for and is named once: it is read again and
 * again, and its trouble is the same each time. Paths are remembered by their hash (two that share one share a line), in a
 * table of fixed size, since some are read while there is no memory; when it is full, what comes then is not said, which a
 * machine with 128 broken files can bear.
 *
 * Rejected: a flag beside each file. There are twenty places, and blocks are thousands.
 */

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>

#include "common/hash.h"
#include "common/log.h"

#define NAMED_MAX 128U

/* Whether this is the first time. A worker may be the first to meet a broken file of a memory block. */
static bool remember(uint64_t h) {
        static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
        static uint64_t named[NAMED_MAX];
        static unsigned n_named;
        bool is_new = true;

        (void) pthread_mutex_lock(&mutex);
        for (unsigned i = 0; i < n_named; i++)
                is_new = is_new && named[i] != h;
        is_new = is_new && n_named < NAMED_MAX;
        if (is_new)
                named[n_named++] = h;
        (void) pthread_mutex_unlock(&mutex);
        return is_new;
}

void log_unusable(const char *path, int error, const char *without) {
        assert(path);
        assert(error < 0);
        assert(without);

        if (remember(hash_text(HASH_EMPTY, path)))
                (void) log_warning_errno(error, "Cannot use %s, working without %s: %m", path, without);
}
