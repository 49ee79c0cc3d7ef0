/* SPDX-License-Identifier: Apache-2.0 */

/* How much one VM may have, row by row. Sizes in MiB, times in seconds. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/macro.h"
#include "host-bridge/policy/arbiter.h"

#define UNLIMITED UINT64_MAX
#define NOW       1000U /* s */
#define NEVER     UINT64_MAX

/* What differs from the common VM below; each row names what it is about. */
typedef struct Row {
        const char *name;
        Urgency urgency;
        int64_t need;
        struct {
                bool uncontrolled, stale, no_shrink, dimm_too_large;
                uint64_t min, max, size, pending, ceiling, usable_less, floor, block, take_block,
                        device_floor, peak;
                uint64_t budget, others;
                uint64_t calm_since, last_grow, last_refusal, last_failure;
                unsigned n_refusals, n_failures;
                uint64_t held_until;
                /* among all VMs; n_normal and n_critical: others that may grow */
                VmClass vm_class;
                uint64_t pool, promised, claimed, fair, target, spent, ask, last_shrink;
                PoolLevel level;
                unsigned n_normal, n_critical;
                bool host_pressed, pressed, quarantined, outside, served;
        } with;
        bool act;
        DecisionKind kind;
        DecisionRule rule;
        uint64_t bytes, wake;
} Row;

static uint64_t or (uint64_t value, uint64_t fallback) {
        return value > 0 ? value : fallback;
}

static uint64_t time_of(uint64_t seconds) {
        return seconds == NEVER ? USEC_INFINITY : seconds * USEC_PER_SEC;
}

/*
 * A VM of 1 GiB with 4 GiB of reach, in a bridge of 8 GiB of which the others hold 2; calm before
 * shrink 60 s, hold after grow 120 s, after refusal 120 s, dead band 64 MiB.
 */
static ArbiterVerdict judge(const Row *row) {
        const ArbiterConfig config = {
                .shrink_idle = !row->with.no_shrink && row->with.ask == 0,
                .shrink_scarcity = !row->with.no_shrink,
                .calm_before_shrink_usec = 60 * USEC_PER_SEC,
                .hold_after_grow_usec = 120 * USEC_PER_SEC,
                .hold_after_refusal_usec = 120 * USEC_PER_SEC,
                .dead_band_bytes = 64 * MIB,
        };
        uint64_t size = or (row->with.size, 1024);
        const ArbiterVm vm = {
                .controlled = !row->with.uncontrolled,
                .fresh = !row->with.stale,
                .min_bytes = or (row->with.min, 512) * MIB,
                .max_bytes = row->with.max == UNLIMITED ? UINT64_MAX : or (row->with.max, 4096) * MIB,
                .size_bytes = size * MIB,
                .committed_bytes = (size + row->with.pending) * MIB,
                .ceiling_bytes = or (row->with.ceiling, 4096) * MIB,
                .urgency = row->urgency,
                .need_bytes = row->need == INT64_MAX || row->need == INT64_MIN ? row->need
                                                                               : row->need * (int64_t) MIB,
                .usable_bytes = (size - row->with.usable_less) * MIB,
                .floor_bytes = row->with.floor * MIB,
                .calm_since_usec =
                        row->with.calm_since == NEVER ? 0 : or (row->with.calm_since, 100) * USEC_PER_SEC,
                .last_grow_usec = row->with.last_grow * USEC_PER_SEC,
                .last_refusal_usec = row->with.last_refusal * USEC_PER_SEC,
                .n_refusals = row->with.n_refusals,
                .held_until_usec = row->with.held_until * USEC_PER_SEC,
                .last_failure_usec = row->with.last_failure * USEC_PER_SEC,
                .n_failures = row->with.n_failures,
                .block_bytes = or (row->with.block, 2) * MIB,
                .take_block_bytes = row->with.take_block * MIB,
                .device_floor_bytes = row->with.device_floor * MIB,
                .dimm_too_large = row->with.dimm_too_large,
                .peak_bytes = row->with.peak * MIB,
                .last_shrink_usec = row->with.last_shrink * USEC_PER_SEC,
                .vm_class = row->with.vm_class,
                .limiter = {.spent_bytes = row->with.spent * MIB, .noted_usec = NOW * USEC_PER_SEC},
                .quarantined = row->with.quarantined,
                .pressed = row->with.pressed,
                .fair_bytes = row->with.fair * MIB,
                .target_bytes = row->with.target * MIB,
                .in_round = !row->with.outside,
                .served = row->with.served,
                .ask_bytes = row->with.ask * MIB,
                .ask_rule = RULE_SHRINK_SCARCITY,
                .ask_level = row->with.level,
        };
        const ArbiterHost host = {
                .budget_bytes =
                        row->with.budget == UNLIMITED ? UINT64_MAX : or (row->with.budget, 8192) * MIB,
                .committed_bytes = (size + row->with.pending + or (row->with.others, 2048)) * MIB,
                .round = {.pool_target_bytes = row->with.pool * MIB,
                          .level = row->with.level,
                          .promised_bytes = row->with.promised * MIB,
                          .claimed_bytes = row->with.claimed * MIB,
                          .n_growing = {1, 1 + row->with.n_normal, row->with.n_critical},
                          .contended = row->with.target > 0},
                .pressed = row->with.host_pressed,
        };

        return arbiter_judge(&config, &host, &vm, NOW * USEC_PER_SEC);
}

#define GROWS(r, b)  .act = true, .kind = DECISION_GROW, .rule = (r), .bytes = (b), .wake = NEVER
#define DENIES(r, b) .act = true, .kind = DECISION_DENY, .rule = (r), .bytes = (b), .wake = NEVER
#define SHRINKS(b)   .act = true, .kind = DECISION_SHRINK, .rule = RULE_SHRINK_IDLE, .bytes = (b), .wake = NEVER
#define ASKED(b)                                                                                             \
        .act = true, .kind = DECISION_SHRINK, .rule = RULE_SHRINK_SCARCITY, .bytes = (b), .wake = NEVER
#define RESTS    .wake = NEVER
#define WAITS(s) .wake = (s)

/* clang-format off */
static const Row rows[] = {
        /* growing */
        {"an alarm gets the whole need", URGENCY_CRITICAL, 700, {0}, GROWS(RULE_GROW_ALARM, 700)},
        {"high is an alarm too", URGENCY_HIGH, 700, {0}, GROWS(RULE_GROW_ALARM, 700)},
        {"a small need gets an online block", URGENCY_CRITICAL, 5, {0}, GROWS(RULE_GROW_ALARM, 128)},
        {"rounded up to the device's block",
         URGENCY_CRITICAL, 700, {.block = 512}, GROWS(RULE_GROW_ALARM, 1024)},
        {"an alarm that needs nothing gets nothing", URGENCY_CRITICAL, 0, {0}, RESTS},
        {"demand beyond the dead band", URGENCY_LOW, 65, {0}, GROWS(RULE_GROW_DEMAND, 128)},
        {"demand within the dead band", URGENCY_LOW, 64, {0}, RESTS},
        {"a need without urgency", URGENCY_NONE, 500, {0}, RESTS},
        {"up to max", URGENCY_CRITICAL, 9000, {.budget = UNLIMITED, .max = 2000}, GROWS(RULE_GROW_ALARM, 976)},
        {"up to the ceiling",
         URGENCY_CRITICAL, 9000, {.budget = UNLIMITED, .max = UNLIMITED, .ceiling = 2000}, GROWS(RULE_GROW_ALARM, 976)},
        {"up to the budget", URGENCY_CRITICAL, 3000, {.budget = 4096}, GROWS(RULE_GROW_ALARM, 1024)},
        {"the last of the budget, below a block of RAM",
         URGENCY_CRITICAL, 3000, {.budget = 3100}, GROWS(RULE_GROW_ALARM, 28)},
        {"aligned down at the budget's edge",
         URGENCY_CRITICAL, 3000, {.budget = 4096, .block = 768}, GROWS(RULE_GROW_ALARM, 768)},
        {"pending growth counts against max",
         URGENCY_CRITICAL, 3000, {.pending = 3000}, GROWS(RULE_GROW_ALARM, 72)},
        {"a liar gets its max and no more",
         URGENCY_CRITICAL, INT64_MAX, {.budget = UNLIMITED, .max = 1500}, GROWS(RULE_GROW_ALARM, 476)},
        {"the hold after a shrink does not hold growth",
         URGENCY_HIGH, 200, {.last_refusal = 999, .n_refusals = 9}, GROWS(RULE_GROW_ALARM, 200)},
        {"not calm, no matter", URGENCY_HIGH, 200, {.calm_since = NEVER}, GROWS(RULE_GROW_ALARM, 200)},
        {"right after a shrink", URGENCY_HIGH, 200, {.last_shrink = 1000}, GROWS(RULE_GROW_ALARM, 200)},
        {"without urgency not right after a shrink", URGENCY_LOW, 200, {.last_shrink = 950}, WAITS(1050)},
        {"but when that is over", URGENCY_LOW, 200, {.last_shrink = 900}, GROWS(RULE_GROW_DEMAND, 200)},
        {"out of what others gave", URGENCY_HIGH, 200, {.served = true}, GROWS(RULE_GROW_DONOR, 200)},
        {"no faster than the limiter lets it",
         URGENCY_CRITICAL, 9000, {.budget = UNLIMITED}, GROWS(RULE_GROW_ALARM, 1024)},
        {"nor for a host that runs low",
         URGENCY_CRITICAL, 9000, {.budget = UNLIMITED, .level = POOL_LOW}, GROWS(RULE_GROW_ALARM, 512)},
        {"right after a grow", URGENCY_HIGH, 200, {.last_grow = 1000}, GROWS(RULE_GROW_ALARM, 200)},
        {"min is a promise", URGENCY_NONE, -100, {.min = 2048}, GROWS(RULE_GROW_DEMAND, 1024)},
        {"min beyond the devices: what they have",
         URGENCY_NONE, -100, {.min = 9000, .max = 9000, .ceiling = 2048}, GROWS(RULE_GROW_DEMAND, 1024)},
        {"min beyond the devices, all of them used",
         URGENCY_NONE, 0, {.min = 9000, .max = 9000, .ceiling = 1024}, RESTS},
        {"min above max", URGENCY_NONE, 0, {.min = 4096, .max = 2048}, GROWS(RULE_GROW_DEMAND, 1024)},

        /* denying */
        {"observed", URGENCY_CRITICAL, 700, {.uncontrolled = true}, DENIES(RULE_DENY_OBSERVED, 700)},
        {"observed and content", URGENCY_NONE, -700, {.uncontrolled = true}, RESTS},
        {"observed, small", URGENCY_NONE, 0, {.uncontrolled = true, .min = 2048}, RESTS},
        {"at max", URGENCY_CRITICAL, 700, {.max = 1024}, DENIES(RULE_DENY_MAX, 700)},
        {"max below the size", URGENCY_CRITICAL, 700, {.max = 600}, DENIES(RULE_DENY_MAX, 700)},
        {"less than a block below max", URGENCY_CRITICAL, 700, {.max = 1025}, DENIES(RULE_DENY_MAX, 700)},
        {"by a DIMM that its guest can not take in",
         URGENCY_CRITICAL, 700, {.block = 256, .dimm_too_large = true}, DENIES(RULE_DENY_PLUG, 700)},
        {"so large, and no room for one", URGENCY_CRITICAL, 700,
         {.block = 256, .dimm_too_large = true, .ceiling = 1024}, DENIES(RULE_DENY_CEILING, 700)},
        {"at the ceiling", URGENCY_CRITICAL, 700, {.ceiling = 1024}, DENIES(RULE_DENY_CEILING, 700)},
        {"the budget is used up", URGENCY_CRITICAL, 700, {.budget = 3072}, DENIES(RULE_DENY_BUDGET, 700)},
        {"the budget is exceeded", URGENCY_CRITICAL, 700, {.budget = 1000}, DENIES(RULE_DENY_BUDGET, 700)},
        {"the budget's rest is less than a block",
         URGENCY_CRITICAL, 700, {.budget = 3100, .block = 128}, DENIES(RULE_DENY_BUDGET, 700)},
        {"a liar that is denied",
         URGENCY_CRITICAL, INT64_MAX, {.budget = 3072}, DENIES(RULE_DENY_BUDGET, 4096)},

        /* among all VMs: 8192 - 3072 = 5120 are free, or as the row says */
        {"the pool is for the urgent",
         URGENCY_LOW, 700, {.pool = 1024, .budget = 4000}, DENIES(RULE_DENY_POOL, 700)},
        {"what is above the pool is for all", URGENCY_LOW, 700, {.pool = 1024, .budget = 4396}, GROWS(RULE_GROW_DEMAND, 300)},
        {"the urgent draw on it", URGENCY_HIGH, 700, {.pool = 1024, .budget = 4000}, GROWS(RULE_GROW_ALARM, 700)},
        {"but for the last of it, where a critical VM may need that",
         URGENCY_CRITICAL, 900, {.pool = 1024, .budget = 4000, .n_critical = 1}, GROWS(RULE_GROW_ALARM, 764)},
        {"nothing but that is left",
         URGENCY_CRITICAL, 900, {.pool = 1024, .budget = 3200, .n_critical = 1}, DENIES(RULE_DENY_POOL, 900)},
        {"the critical take it",
         URGENCY_CRITICAL, 900, {.pool = 1024, .budget = 3200, .n_critical = 1, .vm_class = VM_CLASS_CRITICAL}, GROWS(RULE_GROW_ALARM, 128)},
        {"though not before they are in critical need",
         URGENCY_HIGH, 900, {.pool = 1024, .budget = 3200, .n_critical = 2, .vm_class = VM_CLASS_CRITICAL}, DENIES(RULE_DENY_POOL, 900)},
        {"batch leaves it to the others",
         URGENCY_CRITICAL, 900, {.pool = 1024, .budget = 4000, .vm_class = VM_CLASS_BATCH}, DENIES(RULE_DENY_POOL, 900)},
        {"who has his share leaves it to the others",
         URGENCY_CRITICAL, 900, {.pool = 1024, .budget = 4000, .fair = 1000, .n_normal = 1}, DENIES(RULE_DENY_POOL, 900)},
        {"unless there is nobody to want it",
         URGENCY_CRITICAL, 900, {.pool = 1024, .budget = 4000, .fair = 1000}, GROWS(RULE_GROW_ALARM, 900)},
        {"what the critical are about to ask for is not free",
         URGENCY_CRITICAL, 900, {.claimed = 5000}, GROWS(RULE_GROW_ALARM, 120)},
        {"but for the critical",
         URGENCY_HIGH, 900, {.claimed = 5000, .vm_class = VM_CLASS_CRITICAL}, GROWS(RULE_GROW_ALARM, 900)},
        {"what is promised to others is not free",
         URGENCY_CRITICAL, 900, {.promised = 5000}, GROWS(RULE_GROW_ALARM, 120)},
        {"one's own promise is", URGENCY_NONE, 0, {.promised = 5000, .min = 1536}, GROWS(RULE_GROW_DEMAND, 512)},
        {"a promise is kept out of the pool",
         URGENCY_NONE, 0, {.pool = 1024, .budget = 4000, .min = 1536, .promised = 512}, GROWS(RULE_GROW_DEMAND, 512)},
        {"a promise is bound by the budget",
         URGENCY_NONE, 0, {.pool = 1024, .budget = 3172, .min = 1536, .promised = 512}, GROWS(RULE_GROW_DEMAND, 100)},
        {"up to its part where not all can have all",
         URGENCY_CRITICAL, 900, {.target = 1224}, GROWS(RULE_GROW_ALARM, 200)},
        {"it has its part", URGENCY_CRITICAL, 900, {.target = 1024}, DENIES(RULE_DENY_SHARE, 900)},
        {"then it is for a round to say", URGENCY_CRITICAL, 900, {.target = 1224, .outside = true}, RESTS},
        {"a critical VM in critical need does not wait for one",
         URGENCY_CRITICAL, 900, {.target = 1224, .outside = true, .vm_class = VM_CLASS_CRITICAL}, GROWS(RULE_GROW_ALARM, 900)},
        {"the bucket is empty: 128 MiB/s for a reach of 1280, and the least grant is that",
         URGENCY_CRITICAL, 900, {.spent = 1024, .max = 1280},
         .act = true, .kind = DECISION_DENY, .rule = RULE_DENY_RATE, .bytes = 900, .wake = 1001},
        {"the host stalls", URGENCY_CRITICAL, 900, {.host_pressed = true}, DENIES(RULE_DENY_HOST_PRESSURE, 900)},
        {"its cgroup does", URGENCY_CRITICAL, 900, {.pressed = true}, DENIES(RULE_DENY_HOST_PRESSURE, 900)},
        {"the critical in critical need are spared",
         URGENCY_CRITICAL, 900, {.host_pressed = true, .vm_class = VM_CLASS_CRITICAL}, GROWS(RULE_GROW_ALARM, 900)},
        {"the critical in lesser need are not",
         URGENCY_HIGH, 900, {.host_pressed = true, .vm_class = VM_CLASS_CRITICAL}, DENIES(RULE_DENY_HOST_PRESSURE, 900)},
        {"in quarantine up to its share",
         URGENCY_CRITICAL, 900, {.quarantined = true, .fair = 1200}, GROWS(RULE_GROW_ALARM, 176)},
        {"in quarantine with its share",
         URGENCY_CRITICAL, 900, {.quarantined = true, .fair = 1000}, DENIES(RULE_DENY_QUARANTINE, 900)},

        /* silence, failures */
        {"silence: no growth by an old word", URGENCY_CRITICAL, 700, {.stale = true}, RESTS},
        {"silence never shrinks", URGENCY_NONE, -500, {.stale = true}, RESTS},
        {"after a failure: 1 s",
         URGENCY_CRITICAL, 700, {.last_failure = 1000, .n_failures = 1}, WAITS(1001)},
        {"then again",
         URGENCY_CRITICAL, 700, {.last_failure = 999, .n_failures = 1}, GROWS(RULE_GROW_ALARM, 700)},
        {"doubling", URGENCY_CRITICAL, 700, {.last_failure = 1000, .n_failures = 4}, WAITS(1008)},
        {"not for ever", URGENCY_CRITICAL, 700, {.last_failure = 1000, .n_failures = 4000}, WAITS(1064)},

        /* shrinking */
        {"asked for a part", URGENCY_NONE, -300, {.ask = 200}, ASKED(200)},
        {"asked for more than it can spare", URGENCY_NONE, -300, {.ask = 900}, ASKED(300)},
        {"asked, but switched off", URGENCY_NONE, -300, {.ask = 200, .no_shrink = true}, RESTS},
        {"asked, but calm for 15 s only", URGENCY_NONE, -300, {.ask = 200, .level = POOL_LOW, .calm_since = 985}, RESTS},
        {"calm for 15 s does where the pool is short",
         URGENCY_NONE, -300, {.ask = 200, .level = POOL_SHORT, .calm_since = 985}, ASKED(200)},
        {"asked, but just grown", URGENCY_NONE, -300, {.ask = 200, .level = POOL_LAST, .last_grow = 900}, RESTS},
        {"asked, but it has just refused",
         URGENCY_NONE, -300, {.ask = 200, .level = POOL_LAST, .last_refusal = 900, .n_refusals = 1}, RESTS},
        {"asked, but in need", URGENCY_LOW, 0, {.ask = 200, .level = POOL_LAST}, RESTS},
        {"what it needed a while ago stays with it", URGENCY_NONE, -900, {.ask = 900, .peak = 800, .level = POOL_LOW}, ASKED(224)},
        {"unless the pool is short", URGENCY_NONE, -500, {.ask = 900, .peak = 800, .level = POOL_SHORT}, ASKED(500)},
        {"its wish stays with it until then", URGENCY_NONE, -300, {.ask = 900, .level = POOL_SHORT}, ASKED(300)},
        {"down to its floor where memory is scarce",
         URGENCY_NONE, -300, {.ask = 900, .level = POOL_SCARCE, .floor = 600}, ASKED(424)},
        {"a critical VM only what it can spare",
         URGENCY_NONE, -300, {.ask = 900, .level = POOL_LAST, .vm_class = VM_CLASS_CRITICAL}, ASKED(300)},
        {"never below min", URGENCY_NONE, -300, {.ask = 900, .level = POOL_LAST, .min = 900}, ASKED(124)},
        {"in quarantine nothing is taken", URGENCY_NONE, -300, {.ask = 200, .quarantined = true}, RESTS},
        {"in quarantine nothing is taken of the idle", URGENCY_NONE, -300, {.quarantined = true}, RESTS},
        {"idle: the surplus", URGENCY_NONE, -300, {0}, SHRINKS(300)},
        {"in whole pieces", URGENCY_NONE, -300, {.take_block = 256}, SHRINKS(256)},
        {"not a part of a piece", URGENCY_NONE, -300, {.take_block = 512}, RESTS},
        {"a piece larger than what is taken at most",
         URGENCY_NONE, -2100, {.size = 3000, .take_block = 2048}, SHRINKS(2048)},
        {"idle: within the dead band", URGENCY_NONE, -64, {0}, RESTS},
        {"idle: switched off", URGENCY_NONE, -300, {.no_shrink = true}, RESTS},
        {"not while urgent", URGENCY_LOW, -300, {0}, RESTS},
        {"not while the calm has not begun", URGENCY_NONE, -300, {.calm_since = NEVER}, RESTS},
        {"not before the calm has lasted", URGENCY_NONE, -300, {.calm_since = 941}, WAITS(1001)},
        {"just when it has", URGENCY_NONE, -300, {.calm_since = 940}, SHRINKS(300)},
        {"held after a grow", URGENCY_NONE, -300, {.last_grow = 900}, WAITS(1020)},
        {"held no longer", URGENCY_NONE, -300, {.last_grow = 880}, SHRINKS(300)},
        {"held after a refusal", URGENCY_NONE, -300, {.last_refusal = 900, .n_refusals = 1}, WAITS(1020)},
        {"doubling", URGENCY_NONE, -300, {.last_refusal = 900, .n_refusals = 3}, WAITS(900 + 480)},
        {"held by the guest for longer",
         URGENCY_NONE, -300, {.last_refusal = 900, .n_refusals = 1, .held_until = 1200}, WAITS(1200)},
        {"up to 16 times", URGENCY_NONE, -300, {.last_refusal = 900, .n_refusals = 77}, WAITS(900 + 1920)},
        {"the last of several holds counts",
         URGENCY_NONE, -300, {.calm_since = 999, .last_grow = 990, .last_refusal = 900, .n_refusals = 1}, WAITS(1110)},
        {"not below min", URGENCY_NONE, -900, {.min = 700}, SHRINKS(324)},
        {"at min", URGENCY_NONE, -900, {.min = 1024}, RESTS},
        {"not below the guest's floor", URGENCY_NONE, -900, {.floor = 800}, SHRINKS(224)},
        {"the floor is of usable memory",
         URGENCY_NONE, -900, {.floor = 800, .usable_less = 60}, SHRINKS(164)},
        {"a floor beyond all bounds", URGENCY_NONE, -900, {.floor = 900000}, RESTS},
        {"not below what devices cannot give", URGENCY_NONE, -900, {.device_floor = 900}, SHRINKS(124)},
        {"no device to shrink by", URGENCY_NONE, -900, {.device_floor = 1024}, RESTS},
        {"not below what it needed a while ago", URGENCY_NONE, -900, {.peak = 800}, SHRINKS(224)},
        {"it needed all of it a while ago", URGENCY_NONE, -900, {.peak = 990}, RESTS},
        {"it needed more than it has a while ago", URGENCY_NONE, -900, {.peak = 4000}, RESTS},
        {"a quarter or 1 GiB at once", URGENCY_NONE, -9000, {.size = 3072}, SHRINKS(1024)},
        {"a quarter of a large one",
         URGENCY_NONE, -9000, {.size = 16384, .max = 20000, .ceiling = 20000}, SHRINKS(4096)},
        {"aligned down", URGENCY_NONE, -301, {.block = 128}, SHRINKS(256)},
        {"what is left is within the dead band", URGENCY_NONE, -900, {.min = 970}, RESTS},
        {"max below the size: no force", URGENCY_NONE, -30, {.max = 600}, RESTS},
        {"max below the size: by surplus as ever", URGENCY_NONE, -300, {.max = 600}, SHRINKS(300)},
        {"a liar that needs less than nothing", URGENCY_NONE, INT64_MIN, {0}, SHRINKS(512)},
        {"a budget that is exceeded does not force", URGENCY_NONE, -30, {.budget = 100}, RESTS},
};
/* clang-format on */

static void test_verdicts(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const Row *row = &rows[i];
                ArbiterVerdict verdict = judge(row);

                print_message("%s\n", row->name);
                assert_int_equal(verdict.act, row->act);
                assert_int_equal(verdict.wake_usec / USEC_PER_MSEC, time_of(row->wake) / USEC_PER_MSEC);
                if (!row->act)
                        continue;
                assert_int_equal(verdict.kind, row->kind);
                assert_int_equal(verdict.rule, row->rule);
                assert_int_equal(verdict.bytes, row->bytes * MIB);
        }
}

static void test_peak(void **state) {
        const uint64_t window = 70; /* slots of 10 */
        ArbiterPeak peak = {};

        assert_int_equal(arbiter_peak_bytes(&peak, window, 1000), 0);
        arbiter_peak_note(&peak, window, 500, 1000);
        assert_int_equal(arbiter_peak_bytes(&peak, window, 1000), 500);
        arbiter_peak_note(&peak, window, 900, 1005);
        arbiter_peak_note(&peak, window, 200, 1010);
        assert_int_equal(arbiter_peak_bytes(&peak, window, 1010), 900 + 700 / 4);
        assert_int_equal(arbiter_peak_bytes(&peak, window, 1005 + window),
                         900 + 700 / 4); /* the whole window */
        assert_int_equal(arbiter_peak_bytes(&peak, window, 1080), 200);
        assert_int_equal(arbiter_peak_bytes(&peak, window, 1090), 0);
        arbiter_peak_note(&peak, window, 300, 999999);
        assert_int_equal(arbiter_peak_bytes(&peak, window, 999999), 300);
        arbiter_peak_note(&peak, window, 700, 5); /* a clock that runs back is now */
        assert_int_equal(arbiter_peak_bytes(&peak, window, 999999), 700 + 400 / 4);
        arbiter_peak_note(&peak, 0, 800, UINT64_MAX); /* no window: the latest alone */
        assert_int_equal(arbiter_peak_bytes(&peak, 0, UINT64_MAX), 800);
}

static uint64_t draw(uint64_t *seed) {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        return *seed;
}

/* Any size from a byte to all bits set. */
static uint64_t draw_bytes(uint64_t *seed) {
        return draw(seed) >> (draw(seed) % 64);
}

static ArbiterConfig draw_config(uint64_t *seed) {
        return (ArbiterConfig){
                .shrink_idle = draw(seed) % 2,
                .shrink_scarcity = draw(seed) % 2,
                .calm_before_shrink_usec = draw_bytes(seed),
                .hold_after_grow_usec = draw_bytes(seed),
                .hold_after_refusal_usec = draw_bytes(seed),
                .dead_band_bytes = draw_bytes(seed),
        };
}

static ArbiterHost draw_host(uint64_t *seed) {
        return (ArbiterHost){
                .budget_bytes = draw_bytes(seed),
                .round = {.pool_target_bytes = draw_bytes(seed),
                          .level = (PoolLevel) (draw(seed) % POOL_LEVEL_MAX),
                          .promised_bytes = draw_bytes(seed),
                          .claimed_bytes = draw_bytes(seed),
                          .n_growing = {draw(seed) % 3, draw(seed) % 3, draw(seed) % 3},
                          .contended = draw(seed) % 2},
                .pressed = draw(seed) % 4 == 0,
        };
}

static ArbiterVm draw_vm(uint64_t *seed) {
        return (ArbiterVm){
                .controlled = draw(seed) % 8 > 0,
                .fresh = draw(seed) % 8 > 0,
                .min_bytes = draw_bytes(seed),
                .max_bytes = draw_bytes(seed),
                .size_bytes = draw_bytes(seed) % MEMORY_BYTES_MAX,
                .ceiling_bytes = draw_bytes(seed),
                .urgency = (Urgency) (draw(seed) % URGENCY_MAX),
                .need_bytes = (int64_t) draw_bytes(seed) * (draw(seed) % 2 ? 1 : -1),
                .usable_bytes = draw_bytes(seed),
                .floor_bytes = draw_bytes(seed),
                .calm_since_usec = draw_bytes(seed),
                .last_grow_usec = draw_bytes(seed),
                .last_refusal_usec = draw_bytes(seed),
                .n_refusals = (unsigned) draw_bytes(seed),
                .last_failure_usec = draw_bytes(seed),
                .n_failures = (unsigned) draw_bytes(seed),
                .block_bytes = draw(seed) % 4 ? UINT64_C(1) << draw(seed) % 40 : 0,
                .device_floor_bytes = draw_bytes(seed),
                .peak_bytes = draw(seed) % 2 ? draw_bytes(seed) : 0,
                .last_shrink_usec = draw_bytes(seed),
                .vm_class = (VmClass) (draw(seed) % VM_CLASS_MAX),
                .limiter = {draw_bytes(seed), draw_bytes(seed)},
                .quarantined = draw(seed) % 8 == 0,
                .pressed = draw(seed) % 8 == 0,
                .fair_bytes = draw_bytes(seed),
                .target_bytes = draw_bytes(seed),
                .in_round = draw(seed) % 2,
                .ask_bytes = draw(seed) % 2 ? draw_bytes(seed) : 0,
                .ask_rule = RULE_SHRINK_DONOR,
                .ask_level = (PoolLevel) (draw(seed) % POOL_LEVEL_MAX),
        };
}

/* Whatever is said: no grant beyond max, ceiling or budget, no shrink below min or for a stale VM. */
static void test_bounds(void **state) {
        uint64_t seed = 88172645463325252U;

        for (unsigned i = 0; i < 200000; i++) {
                ArbiterConfig config = draw_config(&seed);
                ArbiterHost host = draw_host(&seed);
                ArbiterVm vm = draw_vm(&seed);
                uint64_t now = draw_bytes(&seed);
                ArbiterVerdict verdict;

                vm.committed_bytes = u64_add(vm.size_bytes, draw(&seed) % 2 ? draw_bytes(&seed) % GIB : 0);
                host.committed_bytes = u64_add(vm.committed_bytes, draw_bytes(&seed));
                verdict = arbiter_judge(&config, &host, &vm, now);
                if (!verdict.act) {
                        assert_true(verdict.wake_usec > now);
                        continue;
                }
                assert_true(vm.fresh);
                assert_true(vm.controlled || verdict.kind == DECISION_DENY);
                assert_true(verdict.bytes > 0);
                if (verdict.kind == DECISION_GROW) {
                        assert_true(u64_add(vm.size_bytes, verdict.bytes) <= vm.max_bytes);
                        assert_true(u64_add(vm.size_bytes, verdict.bytes) <= vm.ceiling_bytes);
                        assert_true(host.budget_bytes == UINT64_MAX ||
                                    u64_add(host.committed_bytes, verdict.bytes) <= host.budget_bytes);
                } else if (verdict.kind == DECISION_SHRINK) {
                        assert_true(config.shrink_idle || config.shrink_scarcity);
                        assert_false(vm.quarantined);
                        assert_true(vm.urgency == URGENCY_NONE);
                        assert_true(verdict.bytes <= vm.size_bytes);
                        assert_true(vm.size_bytes - verdict.bytes >= vm.min_bytes);
                        assert_true(vm.size_bytes - verdict.bytes >= vm.floor_bytes);
                }
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_verdicts),
                cmocka_unit_test(test_peak),
                cmocka_unit_test(test_bounds),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
