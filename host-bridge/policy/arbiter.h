/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How much one VM may have, given its policy, the host budget and all that is committed already.
 * Pure. Invariant: the sum of what is committed never exceeds the budget by a grant of ours, whatever
 * guests say.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/vocabulary.h"
#include "host-bridge/policy/decision.h"
#include "host-bridge/policy/limiter.h"
#include "host-bridge/policy/round.h"

typedef struct ArbiterConfig {
        bool shrink_idle;     /* take from idle guests whether or not anybody needs it: density */
        bool shrink_scarcity; /* take what a round asks for */
        uint64_t calm_before_shrink_usec;
        uint64_t hold_after_grow_usec;
        uint64_t hold_after_refusal_usec;
        uint64_t dead_band_bytes; /* a surplus smaller than this, or than 1 % of the VM, is left alone */
} ArbiterConfig;

/* The host as it is at this moment, and as the last round found it. */
typedef struct ArbiterHost {
        uint64_t budget_bytes;    /* for all VMs of this bridge; UINT64_MAX: unlimited */
        uint64_t committed_bytes; /* the sum over all VMs, the one that is judged included */
        RoundFindings round;
        bool pressed; /* the host itself stalls on memory */
} ArbiterHost;

/* One VM as the arbiter sees it. Guest figures are clamped before they come here. */
typedef struct ArbiterVm {
        bool controlled;               /* policy has Max= */
        bool fresh;                    /* reports are young enough; without it the size is held */
        uint64_t min_bytes, max_bytes; /* policy, in bytes of VM size */
        uint64_t size_bytes;           /* hypervisor: now */
        uint64_t committed_bytes;      /* hypervisor: with pending requests, and resize_reserved_bytes() */
        uint64_t ceiling_bytes;        /* hypervisor: devices' reach */
        Urgency urgency;
        int64_t need_bytes; /* guest: demand - usable */
        uint64_t usable_bytes, floor_bytes;
        uint64_t calm_since_usec;    /* urgency has been none since; 0 = it is not */
        uint64_t last_grow_usec;     /* when a grow closed; 0 = never */
        uint64_t last_refusal_usec;  /* when a shrink closed other than done; 0 = never */
        unsigned n_refusals;         /* in a row: the hold doubles, up to 16 times */
        uint64_t held_until_usec;    /* the guest has said that it refuses until then; 0 = it has not */
        uint64_t last_failure_usec;  /* when a grow brought nothing (timeout, failed, lost); 0 = never */
        unsigned n_failures;         /* in a row: 1 s, doubling to 64 s, until it is tried again */
        uint64_t block_bytes;        /* memory_model_grow_block_bytes(): grants are multiples of it */
        uint64_t take_block_bytes;   /* memory_model_shrink_block_bytes(); 0: block_bytes */
        uint64_t device_floor_bytes; /* memory_model_floor_bytes() */
        bool dimm_too_large;         /* the next growth is one: planner_dimm_fits() */
        uint64_t peak_bytes;         /* arbiter_peak_bytes(); 0 = unknown */
        uint64_t last_shrink_usec;   /* when a shrink closed that took something; 0 = never */

        VmClass vm_class;
        Limiter limiter;
        bool quarantined; /* trust.h: grow-only, up to fair_bytes */
        bool pressed;     /* its hypervisor's cgroup stalls on memory */
        /* of the last round; all zero before the first */
        uint64_t fair_bytes, target_bytes;
        bool in_round;      /* this judgement is part of one, so that target_bytes is of these figures */
        bool served;        /* donors gave, or were asked to, since it began to wait */
        uint64_t ask_bytes; /* to be taken from it; 0: nothing */
        DecisionRule ask_rule;
        PoolLevel ask_level;
} ArbiterVm;

#define ARBITER_PEAK_SLOTS 8U

/*
 * The demand of the last window (calm_before_shrink_usec, and up to a seventh more): a guest that breathes is not
 * shrunk while it breathes out. Embedded by the caller, zero-initialised.
 */
typedef struct ArbiterPeak {
        uint64_t high_bytes[ARBITER_PEAK_SLOTS], low_bytes[ARBITER_PEAK_SLOTS]; /* high 0: nothing is known */
        uint64_t newest; /* number of the newest slot, of window / 7 since the clock's zero */
} ArbiterPeak;

/* Takes the demand of one report. */
void arbiter_peak_note(ArbiterPeak *peak, uint64_t window_usec, uint64_t demand_bytes, uint64_t now_usec);

/*
 * What the guest is to keep: the highest demand of the window that ends now, and a quarter of its swing, because
 * the true peak of a load that moves lies between two reports. 0 if nothing is known.
 */
uint64_t arbiter_peak_bytes(const ArbiterPeak *peak, uint64_t window_usec, uint64_t now_usec);

typedef struct ArbiterVerdict {
        bool act; /* a resize or a denial is due */
        DecisionKind kind;
        DecisionRule rule;
        uint64_t bytes;     /* DECISION_GROW: to be given; DECISION_SHRINK: to be taken */
        uint64_t wake_usec; /* look again not later than this; USEC_INFINITY: no need */
        bool round;         /* it wants more than it may have by itself: a round is due */
} ArbiterVerdict;

/* To be asked only while no resize of this VM is open. */
ArbiterVerdict arbiter_judge(const ArbiterConfig *config, const ArbiterHost *host, const ArbiterVm *vm,
                             uint64_t now_usec);

/* What the VM could be asked for now, at each level; 0 while something holds a shrink. For RoundVm.spare_bytes. */
uint64_t arbiter_spare_bytes(const ArbiterConfig *config, const ArbiterVm *vm, PoolLevel level,
                             uint64_t now_usec);

/* The VM size below which its guest does not live, or Min=, or what its devices cannot give. */
uint64_t arbiter_lowest_bytes(const ArbiterVm *vm);
