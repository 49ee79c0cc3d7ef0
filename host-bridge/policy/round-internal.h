/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The parts of a round: round.c says what each VM should have, round-donors.c who gives it. Nobody else includes this. */

#include "host-bridge/policy/round.h"

static inline uint64_t least_bytes(const RoundVm *vm) {
        return u64_min(vm->min_bytes, vm->reach_bytes);
}

static inline bool is_urgent(const RoundVm *vm) {
        return vm->controlled && vm->known && vm->urgency >= URGENCY_HIGH;
}

/* Less than Min= is a promise that is not kept yet. */
static inline bool is_promised(const RoundVm *vm) {
        return vm->controlled && vm->known && vm->committed_bytes < least_bytes(vm);
}

static inline bool may_grow(const RoundVm *vm) {
        return vm->controlled && vm->reach_bytes > vm->committed_bytes;
}

static inline bool is_over_share(const RoundVm *vm) {
        return vm->committed_bytes >= vm->fair_bytes;
}

/*
 * Fills in ask_bytes, ask_rule, ask_level and waits of each VM, by targets that are set. free_bytes: of the budget, without
 * what shrinks under way will bring.
 */
void round_ask_donors(const RoundHost *host, const RoundFindings *findings, RoundVm *vms, size_t n,
                      uint64_t free_bytes);
