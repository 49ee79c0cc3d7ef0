/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What lets the agent outlive the shortage that it reports. */

#include "common/rootdir.h"

/* Makes the most of little heap; to be called before anything is allocated. */
void survival_spare_heap(void);

/* Asks the kernel to spare us. Returns 0 or -errno. */
int survival_escape_oom(const RootDir *root);

/*
 * Keeps every page that is touched from now on, and those already there, in memory; to be called after a
 * dry run of all that must work under pressure. Returns 0 or -errno.
 */
int survival_lock_memory(void);
