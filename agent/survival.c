/* SPDX-License-Identifier: Apache-2.0 */

/*
 * MCL_ONFAULT, because plain MCL_CURRENT would fault in the whole of every mapped library: what is locked is
 * what has been used, a few MiB. It must come after a dry run, or the first sample under pressure waits
 * for the disk that everybody waits for.
 */

#include "agent/survival.h"

#include <sys/mman.h>

int survival_escape_oom(const RootDir *root) {
        return rootdir_write(root, "proc/self/oom_score_adj", "-1000");
}

int survival_lock_memory(void) {
        return mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0 ? -errno : 0;
}
