/* SPDX-License-Identifier: Apache-2.0 */

/*
 * MCL_ONFAULT, because plain MCL_CURRENT would fault in the whole of every mapped library: what is locked is
 * what has been used, a few MiB. It must come after a dry run, or the first sample under pressure waits
 * for the disk that everybody waits for.
 *
 * Before that dry run the code that only the start has run is let go (common/forget.h): it would be locked for good.
 */

#include "agent/survival.h"

#include <malloc.h>
#include <string.h>
#include <sys/mman.h>

/*
 * glibc would grow the heap by 128 KiB and hand out again, zeroed and so touched, what the start has used. Large tables
 * that are hardly used get mappings of their own instead, of which only pages that are used become resident: 16 KiB less.
 */
void survival_spare_heap(void) {
        (void) mallopt(M_TOP_PAD, 0);
        (void) mallopt(M_MMAP_THRESHOLD, 16 * 1024);
}

int survival_escape_oom(const RootDir *root) {
        char value[16];

        /* The service manager may have done it, and left us without the right to do it again. */
        if (rootdir_read_line(root, "proc/self/oom_score_adj", value, sizeof(value)) >= 0 &&
            strcmp(value, "-1000") == 0)
                return 0;
        return rootdir_write(root, "proc/self/oom_score_adj", "-1000");
}

int survival_lock_memory(void) {
        return mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0 ? -errno : 0;
}
