/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One VM at a time, judged whenever something about it changed: growth out of the free budget, at once
 * and whole, shrinking only after a long calm. A round over all VMs with water-filling was put off: first
 * come, first served needs no clock on the path that keeps a guest alive, and the budget check alone keeps
 * the promise that no lie harms a neighbour. (Donors and weights belong in a round beside this file.)
 *
 * Why it does not hunt (pressure-control.md c): growing needs need > 0 with an urgency, shrinking needs a
 * surplus beyond the dead band with none, for a long time; a shrink to the guest's demand lands between the
 * two, and a failed one holds the next off, twice as long each time.
 */

#include "host-bridge/policy/arbiter.h"

/* Never less than one online block of x86: small grants come too often. */
#define GRANT_MIN_BYTES (128 * MIB)

/* Taken in one resize at most, or a quarter of the VM: a veto gives all of it back, and soon. */
#define SHRINK_MAX_BYTES GIB

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

/* What the guest lacks, 0 if it may go without. Guest figures again held to what is possible. */
static uint64_t lacking_bytes(const ArbiterConfig *config, const ArbiterVm *vm) {
        uint64_t least = u64_min(vm->min_bytes, reach_bytes(vm));
        uint64_t lacking = 0;

        if (vm->need_bytes > 0 &&
            (vm->urgency >= URGENCY_HIGH ||
             (vm->urgency == URGENCY_LOW && (uint64_t) vm->need_bytes > config->dead_band_bytes)))
                lacking = u64_min((uint64_t) vm->need_bytes, vm->ceiling_bytes);
        /* Min= is a promise and not only a floor. */
        if (vm->controlled)
                lacking = u64_max(lacking, u64_sub(least, vm->size_bytes));
        return lacking;
}

static ArbiterVerdict judge_grow(const ArbiterConfig *config, const ArbiterVm *vm, uint64_t lacking,
                                 uint64_t committed_bytes) {
        uint64_t block = u64_max(vm->block_bytes, 1);
        uint64_t want = u64_align_up(u64_max(lacking, GRANT_MIN_BYTES), block);
        /* From what is promised to it already, not from its size: a late arrival counts. */
        uint64_t room = u64_sub(reach_bytes(vm), u64_max(vm->size_bytes, vm->committed_bytes));
        uint64_t unreserved = config->budget_bytes == UINT64_MAX
                                      ? UINT64_MAX
                                      : u64_sub(config->budget_bytes, committed_bytes);
        uint64_t grant = u64_min(want, u64_align_down(u64_min(room, unreserved), block));

        if (!vm->controlled)
                return verdict(DECISION_DENY, RULE_DENY_OBSERVED, lacking);
        if (grant > 0)
                return verdict(DECISION_GROW,
                               vm->urgency >= URGENCY_HIGH ? RULE_GROW_ALARM : RULE_GROW_DEMAND, grant);
        if (room >= block)
                return verdict(DECISION_DENY, RULE_DENY_BUDGET, lacking);
        return verdict(DECISION_DENY, vm->max_bytes < vm->ceiling_bytes ? RULE_DENY_MAX : RULE_DENY_CEILING,
                       lacking);
}

/* The smallest size that leaves the guest its floor, the operator's minimum and what devices cannot give. */
static uint64_t lowest_bytes(const ArbiterVm *vm) {
        /* The guest counts usable memory; what its kernel keeps lies between that and the VM's size. */
        uint64_t kept = u64_sub(vm->size_bytes, vm->usable_bytes);
        uint64_t floor = u64_add(vm->floor_bytes, kept);

        return u64_max(floor, u64_max(vm->min_bytes, vm->device_floor_bytes));
}

static uint64_t surplus_bytes(const ArbiterConfig *config, const ArbiterVm *vm) {
        uint64_t surplus = vm->need_bytes < 0 ? UINT64_C(0) - (uint64_t) vm->need_bytes : 0;
        uint64_t spare =
                u64_min(u64_sub(vm->size_bytes, lowest_bytes(vm)), u64_sub(vm->usable_bytes, vm->peak_bytes));
        uint64_t block = u64_max(vm->take_block_bytes > 0 ? vm->take_block_bytes : vm->block_bytes, 1);
        uint64_t most = u64_max(u64_max(SHRINK_MAX_BYTES, vm->size_bytes / 4), block);
        uint64_t take = u64_align_down(u64_min(u64_min(surplus, spare), most), block);

        return take > config->dead_band_bytes ? take : 0;
}

static ArbiterVerdict judge_shrink(const ArbiterConfig *config, const ArbiterVm *vm, uint64_t now_usec) {
        uint64_t take = surplus_bytes(config, vm), due_usec;

        if (!config->shrink_idle || !vm->controlled || vm->urgency != URGENCY_NONE ||
            vm->calm_since_usec == 0 || take == 0)
                return look_when_something_comes;

        due_usec = u64_add(vm->calm_since_usec, config->calm_before_shrink_usec);
        due_usec = u64_max(due_usec, held_until(vm->last_grow_usec, config->hold_after_grow_usec));
        due_usec = u64_max(due_usec,
                           held_until(vm->last_refusal_usec, doubled(config->hold_after_refusal_usec,
                                                                     vm->n_refusals, REFUSAL_DOUBLINGS_MAX)));
        /* To ask before the guest will answer otherwise would only make our own hold longer. */
        due_usec = u64_max(due_usec, vm->held_until_usec);
        if (now_usec < due_usec)
                return wait_until(due_usec);
        return verdict(DECISION_SHRINK, RULE_SHRINK_IDLE, take);
}

ArbiterVerdict arbiter_judge(const ArbiterConfig *config, const ArbiterVm *vm, uint64_t committed_bytes,
                             uint64_t now_usec) {
        uint64_t lacking = lacking_bytes(config, vm), retry_usec;

        /* Silence holds the size, up and down: its last word may be an alarm that has long been answered. */
        if (!vm->fresh)
                return look_when_something_comes;
        if (lacking == 0)
                return judge_shrink(config, vm, now_usec);

        retry_usec = held_until(vm->last_failure_usec,
                                doubled(FAILURE_HOLD_USEC, vm->n_failures, FAILURE_DOUBLINGS_MAX));
        if (now_usec < retry_usec)
                return wait_until(retry_usec);
        return judge_grow(config, vm, lacking, committed_bytes);
}

static uint64_t slot_usec(uint64_t window_usec) {
        return u64_max(window_usec / (ARBITER_PEAK_SLOTS - 1), 1);
}

/* Empties the slots that have passed since the newest. */
static void peak_advance(ArbiterPeak *peak, uint64_t slot) {
        for (uint64_t i = u64_min(u64_sub(slot, peak->newest), ARBITER_PEAK_SLOTS); i > 0; i--)
                peak->high_bytes[(slot - i + 1) % ARBITER_PEAK_SLOTS] = 0;
        peak->newest = u64_max(peak->newest, slot);
}

void arbiter_peak_note(ArbiterPeak *peak, uint64_t window_usec, uint64_t demand_bytes, uint64_t now_usec) {
        uint64_t i;

        peak_advance(peak, now_usec / slot_usec(window_usec));
        i = peak->newest % ARBITER_PEAK_SLOTS;
        peak->low_bytes[i] =
                peak->high_bytes[i] > 0 ? u64_min(peak->low_bytes[i], demand_bytes) : demand_bytes;
        peak->high_bytes[i] = u64_max(peak->high_bytes[i], demand_bytes);
}

uint64_t arbiter_peak_bytes(const ArbiterPeak *peak, uint64_t window_usec, uint64_t now_usec) {
        ArbiterPeak now = *peak;
        uint64_t high = 0, low = UINT64_MAX;

        peak_advance(&now, now_usec / slot_usec(window_usec));
        for (unsigned i = 0; i < ARBITER_PEAK_SLOTS; i++)
                if (now.high_bytes[i] > 0) {
                        high = u64_max(high, now.high_bytes[i]);
                        low = u64_min(low, now.low_bytes[i]);
                }
        return u64_add(high, u64_sub(high, low) / 4);
}
