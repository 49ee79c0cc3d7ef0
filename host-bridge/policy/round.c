/* SPDX-License-Identifier: Apache-2.0 */

/*
 * pressure-control.md (c), rules 1, 2 and 6. First what each VM should have: its minimum, then what it needs, class by
 * class, then what it would like, by weight. Then who waits for memory that is not free, and who is asked for it: batch
 * before normal, idle before busy, never a VM of a higher class than the one that waits, and each only for what it can
 * spare by its own figures. Who needs something itself is not asked: the guest would refuse, and be right.
 *
 * Rejected: taking from everybody in proportion. Each ask costs a guest some reclaim and may be refused; few donors with
 * much to give are asked at once, and the next round sees what came.
 */

#include "host-bridge/policy/round.h"

/* Asked in one round at most: the search for each is a walk over all VMs. */
#define DONORS_MAX 64U

/* A conversation costs the same for a page and for this: half a memory block of x86. */
#define ASK_LEAST_BYTES (64 * MIB)

/* What a shrink takes is free for others when all of it is over, so that a veto can have it back. */
#define ASK_MOST_BYTES (256 * MIB)

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

/* What a host in pressure takes at a time where its pool has no target. */
#define PRESSED_LEAST_BYTES (128 * MIB)

static uint64_t least_bytes(const RoundVm *vm) {
        return u64_min(vm->min_bytes, vm->reach_bytes);
}

static bool is_urgent(const RoundVm *vm) {
        return vm->controlled && vm->known && vm->urgency >= URGENCY_HIGH;
}

/* Less than Min= is a promise that is not kept yet. */
static bool is_promised(const RoundVm *vm) {
        return vm->controlled && vm->known && vm->committed_bytes < least_bytes(vm);
}

static bool may_grow(const RoundVm *vm) {
        return vm->controlled && vm->reach_bytes > vm->committed_bytes;
}

static bool is_over_share(const RoundVm *vm) {
        return vm->committed_bytes >= vm->fair_bytes;
}

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

/* Of two donors the one to be asked first: of a lower class, or else of which a byte weighs less. */
static bool gives_before(const RoundVm *a, const RoundVm *b) {
        unsigned rank_a = vm_class_rank(a->vm_class), rank_b = vm_class_rank(b->vm_class);

        return rank_a != rank_b ? rank_a < rank_b : a->weight < b->weight;
}

typedef struct Collection {
        uint64_t bytes; /* still to be found */
        unsigned rank;  /* donors up to this class */
        PoolLevel level;
        DecisionRule rule;
} Collection;

/*
 * What the donor can spare for it. Where not everybody can have what he likes, also what it has beyond its target; its
 * floor stays.
 */
static uint64_t spare_for(const RoundVm *vm, const Collection *collection, bool contended) {
        uint64_t over = contended ? u64_sub(vm->size_bytes, vm->target_bytes) : 0;

        if (vm->quarantined || vm->ask_bytes > 0 || vm->giving_bytes > 0 ||
            vm_class_rank(vm->vm_class) > collection->rank)
                return 0;
        return u64_max(vm->spare_bytes[collection->level], u64_min(over, vm->spare_bytes[POOL_LAST]));
}

/* Asks donors until enough is found. Returns what was. */
static uint64_t collect(Collection collection, RoundVm *vms, size_t n, bool contended, unsigned *n_asked) {
        uint64_t found = 0;

        while (found < collection.bytes && *n_asked < DONORS_MAX) {
                RoundVm *donor = NULL;

                for (size_t i = 0; i < n; i++)
                        if (spare_for(&vms[i], &collection, contended) > 0 &&
                            (!donor || gives_before(&vms[i], donor)))
                                donor = &vms[i];
                if (!donor)
                        break;
                donor->ask_bytes =
                        u64_min(spare_for(donor, &collection, contended),
                                u64_clamp(collection.bytes - found, ASK_LEAST_BYTES, ASK_MOST_BYTES));
                donor->ask_rule = collection.rule;
                donor->ask_level = collection.level;
                found += donor->ask_bytes;
                (*n_asked)++;
        }
        return found;
}

/* What the urgent VMs of one rank lack, and what they would have to leave in the pool meanwhile. */
static uint64_t lacking_of(const RoundFindings *findings, RoundVm *vms, size_t n, unsigned rank,
                           uint64_t free_bytes, uint64_t *ret_kept) {
        uint64_t lacking = 0, kept = 0;

        for (size_t i = 0; i < n; i++) {
                RoundVm *vm = &vms[i];
                uint64_t lack = u64_sub(vm->target_bytes, vm->committed_bytes);
                PoolAsk ask;

                if (!is_urgent(vm) && is_promised(vm))
                        lack = least_bytes(vm) - vm->committed_bytes;
                if ((!is_urgent(vm) && !is_promised(vm)) || vm_class_rank(vm->vm_class) != rank || lack == 0)
                        continue;
                ask = round_pool_ask(findings, vm->vm_class, vm->urgency, is_over_share(vm), may_grow(vm));
                lacking = u64_add(lacking, lack);
                if (is_urgent(vm))
                        kept = u64_max(kept, pool_kept_bytes(&ask));
                vm->waits = u64_add(lacking, kept) > free_bytes;
        }
        *ret_kept = kept;
        return lacking;
}

/* What is to come for the pool alone. Under pressure what is free on paper is not there in truth. */
static uint64_t missing_bytes(const RoundHost *host, const RoundFindings *findings, uint64_t free_bytes,
                              uint64_t giving_bytes) {
        if (!host->pressed)
                return u64_sub(findings->pool_target_bytes, free_bytes);
        return u64_sub(u64_max(findings->pool_target_bytes, PRESSED_LEAST_BYTES), giving_bytes);
}

static void ask_donors(const RoundHost *host, RoundFindings *findings, RoundVm *vms, size_t n,
                       uint64_t free_bytes) {
        uint64_t kept, giving = 0, claimed = findings->claimed_bytes;
        unsigned n_asked = 0;

        for (size_t i = 0; i < n; i++)
                giving = u64_add(giving, vms[i].giving_bytes);
        free_bytes = u64_add(free_bytes, giving);
        for (unsigned rank = VM_CLASS_RANKS; rank > 0; rank--) {
                bool is_top = rank == VM_CLASS_RANKS;
                uint64_t within = is_top ? free_bytes : u64_sub(free_bytes, claimed),
                         lacking = lacking_of(findings, vms, n, rank - 1, within, &kept), found;
                Collection collection = {
                        .bytes = u64_sub(u64_add(lacking, kept), within),
                        .rank = rank - 1,
                        .level = findings->level > POOL_SHORT ? findings->level : POOL_SHORT,
                        .rule = RULE_SHRINK_DONOR,
                };

                if (lacking == 0)
                        continue;
                found = collect(collection, vms, n, findings->contended, &n_asked);
                free_bytes = u64_sub(u64_add(free_bytes, found), lacking);
                /* Who asks by now does not claim as well. */
                claimed = is_top ? u64_sub(claimed, lacking) : claimed;
        }
        (void) collect(
                (Collection){
                        .bytes = missing_bytes(host, findings, free_bytes, giving),
                        .rank = VM_CLASS_RANKS - 1,
                        .level = findings->level > POOL_LOW ? findings->level : POOL_LOW,
                        .rule = RULE_SHRINK_SCARCITY,
                },
                vms, n, false, &n_asked);
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
        ask_donors(host, &findings, vms, n, free_bytes);
        for (size_t i = 0; i < n; i++) {
                findings.n_waiting += vms[i].waits;
                findings.asked_bytes =
                        u64_add(findings.asked_bytes, u64_add(vms[i].ask_bytes, vms[i].giving_bytes));
        }
        return findings;
}
