/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One VM at a time, judged whenever something about it changed: growth out of the free budget, at once and whole,
 * shrinking only after a long calm. A round over all VMs (round.c) says what is kept for others, what a VM may have
 * where not all can have what they want, and what it is asked to give. Judging in rounds alone was rejected: as long as
 * there is enough, first come, first served needs no clock on the path that keeps a guest alive. Whatever a round
 * said, no grant exceeds what is free at this moment.
 *
 * Why it does not hunt (pressure-control.md c): growing needs need > 0 with an urgency, shrinking needs a
 * surplus beyond the dead band with none, for a long time; a shrink to the guest's demand lands between the
 * two, and a failed one holds the next off, twice as long each time.
 */

#include "host-bridge/policy/arbiter.h"

/* Taken in one resize at most, or a quarter of the VM: a veto gives all of it back, and soon. */
#define SHRINK_MAX_BYTES GIB

/* Calm that is enough where the pool runs out, as a part of the usual one: 10 s of 60. */
#define HURRY 6U

/* After a shrink a need without urgency waits, as far as nothing is taken after a grow: no swing within minutes. */
#define CALM_BLOCK_USEC (100 * USEC_PER_SEC)

#define REFUSAL_DOUBLINGS_MAX 4U /* x16 */
#define FAILURE_HOLD_USEC     USEC_PER_SEC
#define FAILURE_DOUBLINGS_MAX 6U /* 64 s */

static const ArbiterVerdict look_when_something_comes = {.wake_usec = USEC_INFINITY};

static ArbiterVerdict verdict(DecisionKind kind, DecisionRule rule, uint64_t bytes) {
        return (ArbiterVerdict){
                .act = true,
                .kind = kind,
                .rule = rule,
                .bytes = bytes,
                .wake_usec = USEC_INFINITY,
        };
}

static ArbiterVerdict wait_until(uint64_t wake_usec) {
        return (ArbiterVerdict){.wake_usec = wake_usec};
}

/* hold, doubled with each occurrence after the first. */
static uint64_t doubled(uint64_t hold_usec, unsigned n, unsigned doublings_max) {
        unsigned doublings = n > 1 ? n - 1 : 0;

        if (doublings > doublings_max)
                doublings = doublings_max;
        return u64_mul(hold_usec, UINT64_C(1) << doublings);
}

/* The end of a hold that began at since_usec; 0 if it never began. */
static uint64_t held_until(uint64_t since_usec, uint64_t hold_usec) {
        return since_usec == 0 ? 0 : u64_add(since_usec, hold_usec);
}

/* As far as the VM may grow by policy and by its devices. */
static uint64_t reach_bytes(const ArbiterVm *vm) {
        return u64_min(vm->max_bytes, vm->ceiling_bytes);
}

static uint64_t dead_band_bytes(const ArbiterConfig *config, const ArbiterVm *vm) {
        return u64_max(config->dead_band_bytes, vm->size_bytes / 100);
}

/* Min= is a promise and not only a floor. */
static uint64_t promised_bytes(const ArbiterVm *vm) {
        return vm->controlled ? u64_sub(u64_min(vm->min_bytes, reach_bytes(vm)), vm->size_bytes) : 0;
}

/* What the guest lacks, 0 if it may go without. Guest figures again held to what is possible. */
static uint64_t lacking_bytes(const ArbiterConfig *config, const ArbiterVm *vm) {
        uint64_t lacking = 0;

        if (vm->need_bytes > 0 &&
            (vm->urgency >= URGENCY_HIGH ||
             (vm->urgency == URGENCY_LOW && (uint64_t) vm->need_bytes > dead_band_bytes(config, vm))))
                lacking = u64_min((uint64_t) vm->need_bytes, vm->ceiling_bytes);
        return u64_max(lacking, promised_bytes(vm));
}

/* What bounds a grant, and which rule it is that does. */
typedef struct Bound {
        uint64_t bytes;
        DecisionRule rule;
} Bound;

static void bound(Bound *least, uint64_t bytes, DecisionRule rule) {
        if (bytes < least->bytes)
                *least = (Bound){.bytes = bytes, .rule = rule};
}

static LimiterBounds limiter_bounds(const ArbiterHost *host, const ArbiterVm *vm) {
        return (LimiterBounds){
                .size_bytes = vm->size_bytes,
                .reach_bytes = reach_bytes(vm),
                .tight = host->round.level > POOL_FULL,
        };
}

/* Free, less what the pool keeps for others, and less what was promised to them. */
static uint64_t for_this_bytes(const ArbiterHost *host, const ArbiterVm *vm) {
        uint64_t free = host->budget_bytes == UINT64_MAX ? UINT64_MAX
                                                         : u64_sub(host->budget_bytes, host->committed_bytes);
        bool over_share = vm->fair_bytes > 0 && vm->committed_bytes >= vm->fair_bytes;
        PoolAsk ask = round_pool_ask(&host->round, vm->vm_class, vm->urgency, over_share,
                                     reach_bytes(vm) > vm->committed_bytes);

        free = u64_sub(free, u64_sub(host->round.promised_bytes, promised_bytes(vm)));
        if (vm->vm_class != VM_CLASS_CRITICAL)
                free = u64_sub(free, host->round.claimed_bytes);
        return u64_sub(free, pool_kept_bytes(&ask));
}

/* Whom no brake stops while there is a byte. */
static bool is_spared(const ArbiterVm *vm) {
        return vm->vm_class == VM_CLASS_CRITICAL && vm->urgency == URGENCY_CRITICAL;
}

/* What others and the host's state leave to this VM. An operator's promise stands above all of it but the budget. */
static Bound bound_by_others(const ArbiterHost *host, const ArbiterVm *vm, uint64_t now_usec) {
        LimiterBounds bounds = limiter_bounds(host, vm);
        Bound least = {.bytes = UINT64_MAX};

        if ((host->pressed || vm->pressed) && !is_spared(vm))
                bound(&least, 0, RULE_DENY_HOST_PRESSURE);
        if (vm->quarantined && vm->fair_bytes > 0)
                bound(&least, u64_sub(vm->fair_bytes, vm->committed_bytes), RULE_DENY_QUARANTINE);
        bound(&least, for_this_bytes(host, vm), RULE_DENY_POOL);
        if (host->round.contended && vm->in_round)
                bound(&least, u64_sub(vm->target_bytes, vm->committed_bytes), RULE_DENY_SHARE);
        if (!is_spared(vm))
                bound(&least, limiter_left_bytes(&vm->limiter, &bounds, now_usec), RULE_DENY_RATE);
        least.bytes = u64_max(least.bytes, promised_bytes(vm));
        return least;
}

/* What the VM may be granted now at most, in bytes that are not aligned yet. */
static Bound bound_of(const ArbiterHost *host, const ArbiterVm *vm, uint64_t now_usec) {
        /* From what is promised to it already, not from its size: a late arrival counts. */
        uint64_t room = u64_sub(reach_bytes(vm), u64_max(vm->size_bytes, vm->committed_bytes));
        uint64_t free = host->budget_bytes == UINT64_MAX ? UINT64_MAX
                                                         : u64_sub(host->budget_bytes, host->committed_bytes);
        uint64_t block = u64_max(vm->block_bytes, 1);
        Bound others = bound_by_others(host, vm, now_usec);
        Bound least = {
                .bytes = room,
                .rule = vm->max_bytes < vm->ceiling_bytes ? RULE_DENY_MAX : RULE_DENY_CEILING,
        };

        if (room < block)
                return least;
        if (vm->dimm_too_large)
                return (Bound){.rule = RULE_DENY_PLUG};
        bound(&least, free, RULE_DENY_BUDGET);
        if (free >= block)
                bound(&least, others.bytes, others.rule);
        return least;
}

/* Waiting may help: others give, or the next round shares out anew. */
static bool is_for_a_round(DecisionRule rule) {
        return rule == RULE_DENY_BUDGET || rule == RULE_DENY_POOL || rule == RULE_DENY_SHARE;
}

static ArbiterVerdict deny(const ArbiterHost *host, const ArbiterVm *vm, const Bound *least, uint64_t lacking,
                           uint64_t now_usec) {
        LimiterBounds bounds = limiter_bounds(host, vm);
        ArbiterVerdict denied = verdict(DECISION_DENY, least->rule, lacking);

        denied.round = is_for_a_round(least->rule);
        if (least->rule == RULE_DENY_RATE)
                denied.wake_usec = limiter_ready_usec(&vm->limiter, &bounds, GRANT_LEAST_BYTES, now_usec);
        return denied;
}

/*
 * Not all can have what they want, or a critical VM may be about to ask: only a round knows whose turn it is. It follows
 * within the same dispatch of the loop, or 50 ms after the last.
 */
static bool is_turn_unknown(const ArbiterHost *host, const ArbiterVm *vm) {
        bool others_first = vm->vm_class != VM_CLASS_CRITICAL && host->round.n_growing[2] > 0 &&
                            host->budget_bytes != UINT64_MAX;

        return !vm->in_round && (host->round.contended || others_first) && !is_spared(vm) &&
               promised_bytes(vm) == 0;
}

static DecisionRule grow_rule(const ArbiterVm *vm) {
        if (vm->urgency < URGENCY_HIGH)
                return RULE_GROW_DEMAND;
        return vm->served ? RULE_GROW_DONOR : RULE_GROW_ALARM;
}

static ArbiterVerdict judge_grow(const ArbiterHost *host, const ArbiterVm *vm, uint64_t lacking,
                                 uint64_t now_usec) {
        uint64_t block = u64_max(vm->block_bytes, 1);
        uint64_t want = u64_align_up(u64_max(lacking, GRANT_LEAST_BYTES), block), grant;
        ArbiterVerdict granted;
        Bound least;

        if (!vm->controlled)
                return verdict(DECISION_DENY, RULE_DENY_OBSERVED, lacking);
        least = bound_of(host, vm, now_usec);
        if (is_turn_unknown(host, vm))
                return (ArbiterVerdict){.wake_usec = USEC_INFINITY, .round = true};
        grant = u64_min(want, u64_align_down(least.bytes, block));
        if (grant == 0)
                return deny(host, vm, &least, lacking, now_usec);
        granted = verdict(DECISION_GROW, grow_rule(vm), grant);
        granted.round = grant < want && is_for_a_round(least.rule);
        return granted;
}

/* The smallest size that leaves the guest its floor, the operator's minimum and what devices cannot give. */
uint64_t arbiter_lowest_bytes(const ArbiterVm *vm) {
        /* The guest counts usable memory; what its kernel keeps lies between that and the VM's size. */
        uint64_t kept = u64_sub(vm->size_bytes, vm->usable_bytes);
        uint64_t floor = u64_add(vm->floor_bytes, kept);

        return u64_max(floor, u64_max(vm->min_bytes, vm->device_floor_bytes));
}

static uint64_t take_block_bytes(const ArbiterVm *vm) {
        return u64_max(vm->take_block_bytes > 0 ? vm->take_block_bytes : vm->block_bytes, 1);
}

static uint64_t surplus_bytes(const ArbiterConfig *config, const ArbiterVm *vm, PoolLevel level) {
        uint64_t surplus = vm->need_bytes < 0 ? UINT64_C(0) - (uint64_t) vm->need_bytes : 0;
        uint64_t spare = u64_sub(vm->size_bytes, arbiter_lowest_bytes(vm));
        uint64_t block = take_block_bytes(vm);
        uint64_t most = u64_max(u64_max(SHRINK_MAX_BYTES, vm->size_bytes / 4), block);

        if (level < POOL_SHORT)
                spare = u64_min(spare, u64_sub(vm->usable_bytes, vm->peak_bytes));
        /* Critical VMs never give what they would like to keep; the others down to the floor that they name. */
        if (level < POOL_SCARCE || vm->vm_class == VM_CLASS_CRITICAL)
                spare = u64_min(spare, surplus);
        spare = u64_align_down(u64_min(spare, most), block);
        return spare > dead_band_bytes(config, vm) ? spare : 0;
}

/* From when on the VM may be asked for something; USEC_INFINITY: not as things are. */
static uint64_t shrink_due_usec(const ArbiterConfig *config, const ArbiterVm *vm, PoolLevel level) {
        uint64_t calm_usec = config->calm_before_shrink_usec / (level < POOL_SHORT ? 1 : HURRY), due_usec;

        if (!vm->controlled || vm->quarantined || vm->urgency != URGENCY_NONE || vm->calm_since_usec == 0)
                return USEC_INFINITY;
        due_usec = u64_add(vm->calm_since_usec, calm_usec);
        due_usec = u64_max(due_usec, held_until(vm->last_grow_usec, config->hold_after_grow_usec));
        due_usec = u64_max(due_usec,
                           held_until(vm->last_refusal_usec, doubled(config->hold_after_refusal_usec,
                                                                     vm->n_refusals, REFUSAL_DOUBLINGS_MAX)));
        /* To ask before the guest will answer otherwise would only make our own hold longer. */
        return u64_max(due_usec, vm->held_until_usec);
}

uint64_t arbiter_spare_bytes(const ArbiterConfig *config, const ArbiterVm *vm, PoolLevel level,
                             uint64_t now_usec) {
        if (!config->shrink_scarcity || !vm->fresh || shrink_due_usec(config, vm, level) > now_usec)
                return 0;
        return surplus_bytes(config, vm, level);
}

static ArbiterVerdict judge_shrink(const ArbiterConfig *config, const ArbiterVm *vm, uint64_t now_usec) {
        uint64_t asked = u64_min(vm->ask_bytes, arbiter_spare_bytes(config, vm, vm->ask_level, now_usec));
        uint64_t take = surplus_bytes(config, vm, POOL_FULL), due_usec;

        asked = u64_align_down(asked, take_block_bytes(vm));
        if (asked > 0)
                return verdict(DECISION_SHRINK, vm->ask_rule, asked);
        due_usec = shrink_due_usec(config, vm, POOL_FULL);
        if (!config->shrink_idle || take == 0 || due_usec == USEC_INFINITY)
                return look_when_something_comes;
        if (now_usec < due_usec)
                return wait_until(due_usec);
        return verdict(DECISION_SHRINK, RULE_SHRINK_IDLE, take);
}

/* From when on the VM may be given something. */
static uint64_t grow_due_usec(const ArbiterConfig *config, const ArbiterVm *vm) {
        uint64_t due_usec = held_until(vm->last_failure_usec,
                                       doubled(FAILURE_HOLD_USEC, vm->n_failures, FAILURE_DOUBLINGS_MAX));

        if (vm->urgency < URGENCY_HIGH && promised_bytes(vm) == 0)
                due_usec =
                        u64_max(due_usec, held_until(vm->last_shrink_usec,
                                                     u64_min(CALM_BLOCK_USEC, config->hold_after_grow_usec)));
        return due_usec;
}

ArbiterVerdict arbiter_judge(const ArbiterConfig *config, const ArbiterHost *host, const ArbiterVm *vm,
                             uint64_t now_usec) {
        uint64_t lacking = lacking_bytes(config, vm), due_usec;

        /* Silence holds the size, up and down: its last word may be an alarm that has long been answered. */
        if (!vm->fresh)
                return look_when_something_comes;
        if (lacking == 0)
                return judge_shrink(config, vm, now_usec);

        due_usec = grow_due_usec(config, vm);
        if (now_usec < due_usec)
                return wait_until(due_usec);
        return judge_grow(host, vm, lacking, now_usec);
}
