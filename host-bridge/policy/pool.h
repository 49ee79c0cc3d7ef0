/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The part of the budget that is kept free, so that an alarm is answered at once and not after somebody has given: how
 * large, who may draw on it, and what is done as it runs low. Pure.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/vocabulary.h"
#include "host-bridge/policy/share.h"

/* Never less than one online block of x86 is granted where it is there: small grants come too often. */
#define GRANT_LEAST_BYTES (128 * MIB)

/* The rungs of the ladder, by free / target. */
typedef enum PoolLevel {
        POOL_FULL, /* at its target */
        POOL_LOW,  /* below: surpluses are collected, growth without urgency and batch wait */
        POOL_SHORT, /* below 64 %: from idle guests sooner, and without regard to what they needed a while ago */
        POOL_SCARCE, /* below 32 %: down to the floor that the guest names itself */
        POOL_LAST,   /* below 16 %: what is left is for critical VMs in critical need */
        POOL_LEVEL_MAX,
} PoolLevel;

/* "full", "low", "short", "scarce", "last". */
const char *pool_level_to_string(PoolLevel level);

/*
 * How much to keep free of budget_bytes. fastest_bytes: what the guest that falls fastest would ask for until somebody
 * else could have given. Never more than an eighth of the budget; 0 of an unlimited one.
 */
uint64_t pool_target_bytes(uint64_t budget_bytes, uint64_t fastest_bytes);

PoolLevel pool_level(uint64_t free_bytes, uint64_t target_bytes);

/* The pool as one VM that asks meets it. */
typedef struct PoolAsk {
        uint64_t target_bytes;
        VmClass vm_class;
        Urgency urgency;
        bool over_share;                   /* it has its fair share already */
        uint64_t unused_fair_bytes;        /* of others' shares, where they may still grow */
        unsigned n_others[VM_CLASS_RANKS]; /* other VMs of each rank that may still grow */
} PoolAsk;

/* How much of the free budget this VM must leave. */
uint64_t pool_kept_bytes(const PoolAsk *ask);
