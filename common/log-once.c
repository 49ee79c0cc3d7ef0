/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A kernel file that cannot be read, or says what no kernel says, costs what it is for and is named once: it is read again and
 * again, and its trouble is the same each time. Paths are remembered by their hash, in a table of fixed size, since some are read
 * while there is no memory; when it is full, what comes then is not said, which a machine with 128 broken files can bear.
 *
 * Rejected: a flag beside each file. There are twenty places, and blocks are thousands.
 */

#include <assert.h>
#include <stdbool.h>

#include "common/log.h"

#define NAMED_MAX 128U

/* FNV-1a; two paths that share a hash share their line. */
static uint64_t hash(const char *text) {
        uint64_t h = UINT64_C(0xcbf29ce484222325);

        for (; *text; text++)
                h = (h ^ (unsigned char) *text) * UINT64_C(0x100000001b3);
        return h;
}

void log_unusable(const char *path, int error, const char *without) {
        static uint64_t named[NAMED_MAX];
        static unsigned n_named;
        uint64_t h;

        assert(path);
        assert(error < 0);
        assert(without);

        h = hash(path);
        for (unsigned i = 0; i < n_named; i++)
                if (named[i] == h)
                        return;
        if (n_named >= NAMED_MAX)
                return;
        named[n_named++] = h;
        (void) log_warning_errno(error, "Cannot use %s, working without %s: %m", path, without);
}
