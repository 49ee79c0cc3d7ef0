/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Who waits for memory that is not free, and who is asked for it: batch before normal, idle before busy, never a VM of a
 * higher class than the one that waits, and each only for what it can spare by its own figures. Who needs something itself
 * is not asked: the guest would refuse, and be right.
 *
 * Rejected: taking from everybody in proportion. Each ask costs a guest some reclaim and may be refused; few donors with
 * much to give are asked at once, and the next round sees what came.
 */

#include "host-bridge/policy/round-internal.h"

/* Asked in one round at most: each is a conversation, and the next round sees what came of these. */
#define DONORS_MAX 64U

/* A conversation costs the same for a page and for this: half a memory block of x86. */
#define ASK_LEAST_BYTES (64 * MIB)

/* What a shrink takes is free for others when all of it is over, so that a veto can have it back. */
#define ASK_MOST_BYTES (256 * MIB)

/* What a host in pressure takes at a time where its pool has no target. */
#define PRESSED_LEAST_BYTES (128 * MIB)

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

/* The first `most` to be asked, in that order; of equal ones who stands first. Returns how many there are. */
static size_t choose(const Collection *collection, RoundVm *vms, size_t n, bool contended, size_t most,
                     RoundVm **ret) {
        size_t chosen = 0;

        for (size_t i = 0; i < n; i++) {
                size_t place;

                if (spare_for(&vms[i], collection, contended) == 0 ||
                    (chosen == most && (most == 0 || !gives_before(&vms[i], ret[most - 1]))))
                        continue;
                place = chosen < most ? chosen++ : most - 1;
                for (; place > 0 && gives_before(&vms[i], ret[place - 1]); place--)
                        ret[place] = ret[place - 1];
                ret[place] = &vms[i];
        }
        return chosen;
}

/* Asks donors until enough is found. Returns what was. */
static uint64_t collect(Collection collection, RoundVm *vms, size_t n, bool contended, unsigned *n_asked) {
        RoundVm *donors[DONORS_MAX];
        size_t chosen;
        uint64_t found = 0;

        if (collection.bytes == 0)
                return 0;
        chosen = choose(&collection, vms, n, contended, DONORS_MAX - *n_asked, donors);
        for (size_t i = 0; i < chosen && found < collection.bytes; i++) {
                donors[i]->ask_bytes =
                        u64_min(spare_for(donors[i], &collection, contended),
                                u64_clamp(collection.bytes - found, ASK_LEAST_BYTES, ASK_MOST_BYTES));
                donors[i]->ask_rule = collection.rule;
                donors[i]->ask_level = collection.level;
                found += donors[i]->ask_bytes;
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

void round_ask_donors(const RoundHost *host, const RoundFindings *findings, RoundVm *vms, size_t n,
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
