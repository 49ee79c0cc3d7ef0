/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The kernel's own onlining of hot-plugged memory: what it is set to, setting it, and leaving it as it is safe. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/policy/onlining.h"
#include "common/rootdir.h"

/* All but onlined, which takes the blocks. Never fails: what cannot be read is not there. */
OnliningFacts kernel_onliner_facts(const RootDir *root);

typedef struct KernelOnliner {
        const RootDir *root; /* borrowed; NULL: nothing is ours */
        OnliningPlan plan;
        bool wave; /* AUTO_ONLINE_KERNEL is set instead of the plan's word */
} KernelOnliner;

/* Carries out the plan. Returns 0, or -errno: then the kernel is as it was. */
int kernel_onliner_begin(KernelOnliner *onliner, const RootDir *root, const OnliningPlan *plan,
                         uint64_t ratio_percent);

/* Memory is wanted for the kernel's zones, or no more. Allocates nothing. */
void kernel_onliner_want_kernel_zone(KernelOnliner *onliner, bool wanted);

/* Leaves the kernel with a safe word, if it was ours. */
void kernel_onliner_end(KernelOnliner *onliner);

/* The same for an agent that has died. Returns 0, also if nothing was an agent's, or -errno. */
int kernel_onliner_release(const RootDir *root);
