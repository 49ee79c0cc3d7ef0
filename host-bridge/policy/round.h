/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One look at all VMs: what each is to have of a budget that cannot hold what all of them want, and who is asked to give
 * for whom. Pure, integers only, a bounded number of looks at each VM.
 *
 * A round grants nothing: it says up to where a VM may be granted (target) and what it is asked for (ask); the arbiter
 * still judges each VM, against what is free at that moment.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/vocabulary.h"
#include "host-bridge/policy/decision.h"
#include "host-bridge/policy/pool.h"
#include "host-bridge/policy/share.h"

typedef struct RoundVm {
        /* in: policy */
        VmClass vm_class;
        uint64_t shares;                 /* 0: the default */
        uint64_t min_bytes, reach_bytes; /* Min=; the smaller of Max= and what its devices reach */
        bool controlled;                 /* else what it has is all it will have */
        /* in: hypervisor */
        uint64_t size_bytes, committed_bytes;
        /* in: guest */
        bool known;       /* its word is fresh; else the size is frozen */
        bool silent;      /* for so long that its share is kept for it: size + 10 % */
        bool quarantined; /* its word is doubted: it counts for its fair share at most */
        Urgency urgency;
        Activity activity;
        uint64_t demand_bytes;       /* VM size at which it would need nothing */
        uint64_t floor_bytes;        /* VM size below which it does not live */
        uint64_t fall_bytes_per_sec; /* how fast its memory goes */
        /* in: what it could be asked for now (arbiter_spare()); 0: nothing, whatever the reason */
        uint64_t spare_bytes[POOL_LEVEL_MAX];
        uint64_t giving_bytes; /* a shrink under way will bring so much */

        /* out */
        uint64_t fair_bytes;   /* of the budget by shares alone */
        uint64_t target_bytes; /* VM size that it may be granted up to */
        uint64_t ask_bytes;    /* to be taken from it; 0: nothing */
        DecisionRule ask_rule;
        PoolLevel ask_level;
        bool waits; /* others are asked to give for it */

        /* water_fill()'s */
        uint64_t weight, low_bytes, high_bytes;
} RoundVm;

/* What holds for all VMs until the next round. Zero-initialised: nothing is kept, nobody waits. */
typedef struct RoundFindings {
        uint64_t pool_target_bytes;
        PoolLevel level;
        uint64_t promised_bytes;            /* Min= that is not there yet */
        uint64_t claimed_bytes;             /* that critical VMs are about to ask for: not for the others */
        unsigned n_growing[VM_CLASS_RANKS]; /* VMs that may still grow, per rank */
        uint64_t unused_fair_bytes;         /* of their shares */
        unsigned n_waiting;                 /* for memory of others */
        uint64_t asked_bytes;               /* of donors, this round's and what is under way */
        bool contended;                     /* all demands together exceed the budget: targets bind */
} RoundFindings;

typedef struct RoundHost {
        uint64_t budget_bytes, committed_bytes; /* UINT64_MAX: unlimited */
        uint64_t pool_bytes;                    /* target of the pool; UINT64_MAX: pool_target_bytes() */
        bool pressed; /* the host itself stalls on memory: the ladder begins with idle guests */
} RoundHost;

RoundFindings round_run(const RoundHost *host, RoundVm *vms, size_t n);

/*
 * Whether a round may mean something to this VM. Who lacks nothing and is asked for nothing has been judged by its last
 * report, and by its own clock where only the time matters: that is nearly all of them, nearly always.
 */
bool round_concerns(const RoundVm *vm);

/* How a VM meets the pool by these findings. committed_bytes and fair_bytes are its own. */
PoolAsk round_pool_ask(const RoundFindings *findings, VmClass vm_class, Urgency urgency, bool over_share,
                       bool growing);

/*
 * Shares budget_bytes out: target = clamp(level x weight, low, high) with the one level at which the sum is the
 * budget (or short of it by at most 1 KiB per VM); high for all if it holds that, low for all if it does not hold more.
 */
void water_fill(RoundVm *vms, size_t n, uint64_t budget_bytes);
