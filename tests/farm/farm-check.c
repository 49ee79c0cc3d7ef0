/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The invariants of a bridge as its VMs see them, whatever happens to the bridge meanwhile:
 *
 * - it takes nothing that this session's agent has not offered, and never below the floor that it has told;
 * - it gives nothing to a guest that has not said that it lacks memory, except for what it took itself;
 * - all that is promised to all VMs is within the budget at every command.
 *
 * They are judged where the commands arrive, so that no test can forget to look.
 */

#include "farm.h"

#include <stdio.h>

/* A need may be answered a little after it is over: the command was under way. */
#define NEED_LIFE_USEC (5 * USEC_PER_SEC)

uint64_t farm_usable_bytes(const Farm *farm, unsigned i) {
        const FarmVm *vm = &farm->vms[i];

        return farm->options.boot_bytes - atomic_load(&vm->balloon_bytes) + atomic_load(&vm->size_bytes);
}

uint64_t farm_committed_bytes(const Farm *farm, unsigned i) {
        const FarmVm *vm = &farm->vms[i];
        uint64_t inflated = u64_min(atomic_load(&vm->balloon_bytes), atomic_load(&vm->balloon_target));

        return farm->options.boot_bytes - inflated +
               u64_max(atomic_load(&vm->size_bytes), atomic_load(&vm->requested_bytes));
}

/* To stderr, which a test keeps: a count alone would not say what happened. */
static void complain(Farm *farm, unsigned i, const char *what, uint64_t wanted_bytes) {
        const FarmVm *vm = &farm->vms[i];
        uint64_t needy_usec = atomic_load(&vm->needy_usec), now_usec = farm_now();

        fprintf(stderr,
                FARM_NAME_FORMAT ": %s: to %llu MiB; has %llu MiB, floor %llu, offered %llu, base %llu, "
                                 "in need %lld ms ago\n",
                i, what, (unsigned long long) (wanted_bytes / MIB),
                (unsigned long long) (farm_usable_bytes(farm, i) / MIB),
                (unsigned long long) (atomic_load(&vm->floor_bytes) / MIB),
                (unsigned long long) (atomic_load(&vm->offered_bytes) / MIB),
                (unsigned long long) (atomic_load(&vm->base_bytes) / MIB),
                needy_usec == 0 ? -1LL : (long long) (u64_sub(now_usec, needy_usec) / USEC_PER_MSEC));
}

/*
 * The command may be of a bridge that has been killed: QEMU, too, reads what is left of a client before it takes the next one,
 * which may have greeted the agent by then. So what either of the two knew will do.
 */
static bool may_be_of_who_left(const FarmVm *vm) {
        return atomic_load(&vm->accepted_usec) < atomic_load(&vm->left_usec);
}

void farm_check_grow(Farm *farm, unsigned i, uint64_t wanted_bytes) {
        FarmVm *vm = &farm->vms[i];
        uint64_t needy_usec = u64_max(atomic_load(&vm->needy_usec),
                                      may_be_of_who_left(vm) ? atomic_load(&vm->left_needy_usec) : 0);
        bool needy = needy_usec != 0 && u64_sub(farm_now(), needy_usec) <= NEED_LIFE_USEC;

        if (!needy && wanted_bytes > atomic_load(&vm->base_bytes)) {
                atomic_fetch_add(&farm->stats.wrong_grow, 1);
                complain(farm, i, "memory that nobody asked for", wanted_bytes);
        }
        atomic_store(&vm->offered_bytes, 0);
        atomic_store(&vm->unserved, 0);
}

void farm_check_shrink(Farm *farm, unsigned i, uint64_t wanted_bytes, uint64_t taken_bytes) {
        FarmVm *vm = &farm->vms[i];
        bool left = may_be_of_who_left(vm);
        uint64_t offered = atomic_exchange(&vm->offered_bytes, 0);

        if (taken_bytes > offered && (!left || taken_bytes > atomic_exchange(&vm->left_offered_bytes, 0))) {
                atomic_fetch_add(&farm->stats.wrong_shrink, 1);
                complain(farm, i, "more taken than offered", wanted_bytes);
        }
        if (!left && wanted_bytes < atomic_load(&vm->floor_bytes)) {
                atomic_fetch_add(&farm->stats.below_floor, 1);
                complain(farm, i, "below its floor", wanted_bytes);
        }
}

void farm_check_budget(Farm *farm, unsigned i, uint64_t committed_before) {
        FarmStats *stats = &farm->stats;
        uint64_t after = farm_committed_bytes(farm, i);
        uint64_t sum = atomic_fetch_add(&stats->committed_bytes, after - committed_before) + after -
                       committed_before;

        if (sum > atomic_load(&stats->committed_peak_bytes))
                atomic_store(&stats->committed_peak_bytes, sum);
        if (sum > farm->options.budget_bytes && after > committed_before) {
                atomic_fetch_add(&stats->over_budget, 1);
                complain(farm, i, "over the host's budget", after);
        }
}
