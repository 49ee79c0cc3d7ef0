/* SPDX-License-Identifier: Apache-2.0 */

/*
 * ESX's sliding minimum (6 % of the first 4 GiB, 4 % of the next 8, 2 % of the next 16, then 1 %: 899 MiB at 28 GiB), held to
 * an eighth of the budget: a lie about one's own rate of fall must not freeze the neighbours' growth. "One block for each VM"
 * was rejected: with a thousand small VMs it would lock an eighth of the host away.
 *
 * Who has his share takes at most half of what the others have not used of theirs: a guest that cries for ever without
 * contradicting itself looks like a busy one, and what it got cannot be had back while it cries.
 *
 * What is kept is kept for somebody: where no VM of a higher class can grow any more, its reserve is given out.
 */

#include "host-bridge/policy/pool.h"

#define SHORT_PERCENT    64U
#define SCARCE_PERCENT   32U
#define LAST_PERCENT     16U
#define N_NAMES(names)   (sizeof(names) / sizeof((names)[0]))
#define RANK_OF_CRITICAL 2U

static const char *const level_names[] = {
        [POOL_FULL] = "full",     [POOL_LOW] = "low",   [POOL_SHORT] = "short",
        [POOL_SCARCE] = "scarce", [POOL_LAST] = "last",
};
_Static_assert(N_NAMES(level_names) == POOL_LEVEL_MAX, "every level has a name");

const char *pool_level_to_string(PoolLevel level) {
        return (unsigned) level < POOL_LEVEL_MAX ? level_names[level] : "unknown";
}

static const struct {
        uint64_t up_to_bytes, percent;
} slide[] = {
        {4 * GIB, 6},
        {12 * GIB, 4},
        {28 * GIB, 2},
        {UINT64_MAX, 1},
};

uint64_t pool_target_bytes(uint64_t budget_bytes, uint64_t fastest_bytes) {
        uint64_t target = 0, below = 0;

        if (budget_bytes == UINT64_MAX)
                return 0;
        for (unsigned i = 0; i < N_NAMES(slide) && budget_bytes > below; i++) {
                target += u64_percent(u64_min(budget_bytes, slide[i].up_to_bytes) - below, slide[i].percent);
                below = slide[i].up_to_bytes;
        }
        target = u64_max(u64_max(target, GRANT_LEAST_BYTES), fastest_bytes);
        return u64_min(target, budget_bytes / 8);
}

PoolLevel pool_level(uint64_t free_bytes, uint64_t target_bytes) {
        if (free_bytes >= target_bytes)
                return POOL_FULL;
        if (free_bytes >= u64_percent(target_bytes, SHORT_PERCENT))
                return POOL_LOW;
        if (free_bytes >= u64_percent(target_bytes, SCARCE_PERCENT))
                return POOL_SHORT;
        return free_bytes >= u64_percent(target_bytes, LAST_PERCENT) ? POOL_SCARCE : POOL_LAST;
}

static unsigned others_from(const PoolAsk *ask, unsigned rank) {
        unsigned n = 0;

        for (; rank < VM_CLASS_RANKS; rank++)
                n += ask->n_others[rank];
        return n;
}

uint64_t pool_kept_bytes(const PoolAsk *ask) {
        unsigned rank = vm_class_rank(ask->vm_class);

        if (ask->urgency < URGENCY_HIGH)
                return ask->target_bytes;
        if (rank == RANK_OF_CRITICAL && ask->urgency == URGENCY_CRITICAL)
                return 0;
        if (ask->over_share && others_from(ask, rank) > 0)
                return u64_max(ask->target_bytes, ask->unused_fair_bytes / 2);
        if (rank == 0 && others_from(ask, 1) > 0)
                return ask->target_bytes;
        return others_from(ask, RANK_OF_CRITICAL) > 0 ? u64_percent(ask->target_bytes, LAST_PERCENT) : 0;
}
