/* SPDX-License-Identifier: Apache-2.0 */

/*
 * pressure-control.md (c), rules 1, 2 and 6: what each VM should have. Its minimum, then what it needs, class by class, then
 * what it would like, by weight.
 */

#include "host-bridge/policy/round-internal.h"

/* Silent for so long that it may have grown unseen: kept for it (rule 5). */
#define SILENT_PERCENT 110U

/* How long others need to give: the actuator's delay and a second. */
#define HELP_USEC (1150 * USEC_PER_MSEC)

/*
 * A critical VM whose memory goes claims what it will need in the shorter time: so long a donor must have been calm where
 * the pool runs out, so what others are granted before it asks is not to be had back in time. And its next grant is kept
 * whole where what it has would not outlast the longer one.
 */
#define CLAIM_USEC      (10 * USEC_PER_SEC)
#define NEXT_GRANT_USEC (30 * USEC_PER_SEC)

static uint64_t lacking_in_bytes(const RoundVm *vm, uint64_t usec) {
        uint64_t falls = u64_scale(vm->fall_bytes_per_sec, usec, USEC_PER_SEC);

        return u64_sub(u64_add(vm->demand_bytes, falls), vm->committed_bytes);
}

/* Beyond what it has. Without a fall a wish is no claim, whatever it is. */
static uint64_t claim_bytes(const RoundVm *vm) {
        uint64_t claim;

        if (vm->vm_class != VM_CLASS_CRITICAL || !vm->known || vm->quarantined || vm->fall_bytes_per_sec == 0)
                return 0;
        claim = u64_max(lacking_in_bytes(vm, CLAIM_USEC),
                        u64_min(lacking_in_bytes(vm, NEXT_GRANT_USEC), GRANT_LEAST_BYTES));
        return u64_min(claim, u64_sub(vm->reach_bytes, vm->committed_bytes));
}

/* What it would like to have; a VM that does not speak keeps what it has. */
static uint64_t wish_bytes(const RoundVm *vm) {
        uint64_t wish = vm->demand_bytes, claim = claim_bytes(vm);

        if (claim > 0)
                wish = u64_max(wish, u64_add(vm->committed_bytes, claim));
        if (!vm->controlled)
                return vm->committed_bytes;
        if (vm->silent)
                wish = u64_min(u64_percent(vm->size_bytes, SILENT_PERCENT), vm->reach_bytes);
        if (!vm->known)
                return u64_max(wish, vm->committed_bytes);
        wish = u64_min(wish, vm->reach_bytes);
        if (vm->quarantined)
                wish = u64_min(wish, u64_max(vm->fair_bytes, vm->committed_bytes));
        return u64_max(wish, vm->low_bytes);
}

static uint64_t need_bytes(const RoundVm *vm, uint64_t wish) {
        return is_urgent(vm) || claim_bytes(vm) > 0 || !vm->known
                       ? wish
                       : u64_clamp(vm->floor_bytes, vm->low_bytes, wish);
}

/* By shares alone, of what is not fixed. A VM without Max= takes no part: what it has is off the budget. */
static void set_fair(const RoundHost *host, RoundVm *vms, size_t n) {
        uint64_t shares = 0, rest = host->budget_bytes;

        for (size_t i = 0; i < n; i++) {
                vms[i].shares = u64_clamp(vms[i].shares > 0 ? vms[i].shares : SHARES_DEFAULT, 1, SHARES_MAX);
                shares += vms[i].controlled ? vms[i].shares : 0;
                rest = u64_sub(rest, vms[i].controlled ? 0 : vms[i].committed_bytes);
        }
        for (size_t i = 0; i < n; i++)
                vms[i].fair_bytes = vms[i].controlled && host->budget_bytes != UINT64_MAX
                                            ? u64_scale(rest, vms[i].shares, shares)
                                            : UINT64_MAX;
}

static uint64_t sum_of_wishes(const RoundVm *vms, size_t n) {
        uint64_t sum = 0;

        for (size_t i = 0; i < n; i++)
                sum = u64_add(sum, wish_bytes(&vms[i]));
        return sum;
}

/* Class by class up to the need, then all of them up to the wish. Returns whether they do not fit. */
static bool set_targets(const RoundHost *host, RoundVm *vms, size_t n) {
        bool contended;

        for (size_t i = 0; i < n; i++) {
                RoundVm *vm = &vms[i];

                vm->weight = share_weight(vm->shares, &vm->activity);
                vm->low_bytes = vm->high_bytes =
                        !vm->controlled || !vm->known ? vm->committed_bytes : least_bytes(vm);
                vm->target_bytes = vm->low_bytes;
        }
        contended = sum_of_wishes(vms, n) > host->budget_bytes;
        for (unsigned rank = VM_CLASS_RANKS; rank > 0; rank--) {
                for (size_t i = 0; i < n; i++) {
                        bool in_class = vm_class_rank(vms[i].vm_class) == rank - 1;

                        vms[i].high_bytes =
                                in_class ? need_bytes(&vms[i], wish_bytes(&vms[i])) : vms[i].low_bytes;
                }
                water_fill(vms, n, host->budget_bytes);
                for (size_t i = 0; i < n; i++)
                        vms[i].low_bytes = vms[i].target_bytes;
        }
        for (size_t i = 0; i < n; i++)
                vms[i].high_bytes = wish_bytes(&vms[i]);
        water_fill(vms, n, host->budget_bytes);
        return contended;
}

PoolAsk round_pool_ask(const RoundFindings *findings, VmClass vm_class, Urgency urgency, bool over_share,
                       bool growing) {
        PoolAsk ask = {
                .target_bytes = findings->pool_target_bytes,
                .vm_class = vm_class,
                .urgency = urgency,
                .over_share = over_share,
                .unused_fair_bytes = findings->unused_fair_bytes,
        };

        for (unsigned rank = 0; rank < VM_CLASS_RANKS; rank++)
                ask.n_others[rank] = findings->n_growing[rank];
        if (growing && ask.n_others[vm_class_rank(vm_class)] > 0)
                ask.n_others[vm_class_rank(vm_class)]--;
        return ask;
}

static RoundFindings look_around(const RoundHost *host, const RoundVm *vms, size_t n, uint64_t free_bytes) {
        RoundFindings findings = {0};
        uint64_t fastest = 0, asks;

        for (size_t i = 0; i < n; i++) {
                const RoundVm *vm = &vms[i];

                if (!may_grow(vm))
                        continue;
                findings.n_growing[vm_class_rank(vm->vm_class)]++;
                findings.claimed_bytes = u64_add(findings.claimed_bytes, claim_bytes(vm));
                findings.promised_bytes =
                        u64_add(findings.promised_bytes, u64_sub(least_bytes(vm), vm->committed_bytes));
                findings.unused_fair_bytes =
                        u64_add(findings.unused_fair_bytes, u64_sub(vm->fair_bytes, vm->committed_bytes));
                if (!vm->known || vm->quarantined)
                        continue;
                asks = u64_scale(vm->fall_bytes_per_sec, HELP_USEC, USEC_PER_SEC);
                fastest = u64_max(fastest, u64_min(asks, vm->reach_bytes - vm->committed_bytes));
        }
        findings.pool_target_bytes = host->pool_bytes != UINT64_MAX
                                             ? host->pool_bytes
                                             : pool_target_bytes(host->budget_bytes, fastest);
        findings.level = pool_level(free_bytes, findings.pool_target_bytes);
        if (host->pressed && findings.level < POOL_SHORT)
                findings.level = POOL_SHORT;
        return findings;
}

bool round_concerns(const RoundVm *vm) {
        return vm->ask_bytes > 0 || vm->urgency != URGENCY_NONE || vm->committed_bytes < least_bytes(vm);
}

RoundFindings round_run(const RoundHost *host, RoundVm *vms, size_t n) {
        uint64_t free_bytes = host->budget_bytes == UINT64_MAX
                                      ? UINT64_MAX
                                      : u64_sub(host->budget_bytes, host->committed_bytes);
        RoundFindings findings;

        set_fair(host, vms, n);
        findings = look_around(host, vms, n, free_bytes);
        findings.contended = set_targets(host, vms, n);
        for (size_t i = 0; i < n; i++) {
                vms[i].ask_bytes = 0;
                vms[i].ask_rule = RULE_NONE;
                vms[i].ask_level = POOL_FULL;
                vms[i].waits = false;
        }
        round_ask_donors(host, &findings, vms, n, free_bytes);
        for (size_t i = 0; i < n; i++) {
                findings.n_waiting += vms[i].waits;
                findings.asked_bytes =
                        u64_add(findings.asked_bytes, u64_add(vms[i].ask_bytes, vms[i].giving_bytes));
        }
        return findings;
}
