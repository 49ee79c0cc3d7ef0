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
                bool uncontrolled, stale, no_shrink;
                uint64_t min, max, size, pending, ceiling, usable_less, floor, block, take_block,
                        device_floor, peak;
                uint64_t budget, others;
                uint64_t calm_since, last_grow, last_refusal, last_failure;
                unsigned n_refusals, n_failures;
                uint64_t held_until;
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
                .budget_bytes =
                        row->with.budget == UNLIMITED ? UINT64_MAX : or (row->with.budget, 8192) * MIB,
                .shrink_idle = !row->with.no_shrink,
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
                .peak_bytes = row->with.peak * MIB,
        };
        uint64_t committed = (size + row->with.pending + or (row->with.others, 2048)) * MIB;

        return arbiter_judge(&config, &vm, committed, NOW * USEC_PER_SEC);
}

#define GROWS(r, b)  .act = true, .kind = DECISION_GROW, .rule = (r), .bytes = (b), .wake = NEVER
#define DENIES(r, b) .act = true, .kind = DECISION_DENY, .rule = (r), .bytes = (b), .wake = NEVER
#define SHRINKS(b)   .act = true, .kind = DECISION_SHRINK, .rule = RULE_SHRINK_IDLE, .bytes = (b), .wake = NEVER
#define RESTS        .wake = NEVER
#define WAITS(s)     .wake = (s)

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
        {"up to max", URGENCY_CRITICAL, 9000, {.budget = UNLIMITED}, GROWS(RULE_GROW_ALARM, 3072)},
        {"up to the ceiling",
         URGENCY_CRITICAL, 9000, {.budget = UNLIMITED, .max = UNLIMITED}, GROWS(RULE_GROW_ALARM, 3072)},
        {"up to the budget", URGENCY_CRITICAL, 3000, {.budget = 4096}, GROWS(RULE_GROW_ALARM, 1024)},
        {"the last of the budget, below a block of RAM",
         URGENCY_CRITICAL, 3000, {.budget = 3100}, GROWS(RULE_GROW_ALARM, 28)},
        {"aligned down at the budget's edge",
         URGENCY_CRITICAL, 3000, {.budget = 4096, .block = 768}, GROWS(RULE_GROW_ALARM, 768)},
        {"pending growth counts against max",
         URGENCY_CRITICAL, 3000, {.pending = 3000}, GROWS(RULE_GROW_ALARM, 72)},
        {"a liar gets its max and no more",
         URGENCY_CRITICAL, INT64_MAX, {.budget = UNLIMITED}, GROWS(RULE_GROW_ALARM, 3072)},
        {"the hold after a shrink does not hold growth",
         URGENCY_HIGH, 200, {.last_refusal = 999, .n_refusals = 9}, GROWS(RULE_GROW_ALARM, 200)},
        {"not calm, no matter", URGENCY_HIGH, 200, {.calm_since = NEVER}, GROWS(RULE_GROW_ALARM, 200)},
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
        {"at the ceiling", URGENCY_CRITICAL, 700, {.ceiling = 1024}, DENIES(RULE_DENY_CEILING, 700)},
        {"the budget is used up", URGENCY_CRITICAL, 700, {.budget = 3072}, DENIES(RULE_DENY_BUDGET, 700)},
        {"the budget is exceeded", URGENCY_CRITICAL, 700, {.budget = 1000}, DENIES(RULE_DENY_BUDGET, 700)},
        {"the budget's rest is less than a block",
         URGENCY_CRITICAL, 700, {.budget = 3100, .block = 128}, DENIES(RULE_DENY_BUDGET, 700)},
        {"a liar that is denied",
         URGENCY_CRITICAL, INT64_MAX, {.budget = 3072}, DENIES(RULE_DENY_BUDGET, 4096)},

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
                assert_int_equal(verdict.wake_usec, time_of(row->wake));
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

/* Whatever is said: no grant beyond max, ceiling or budget, no shrink below min or for a stale VM. */
static void test_bounds(void **state) {
        uint64_t seed = 88172645463325252U;

        for (unsigned i = 0; i < 200000; i++) {
                ArbiterConfig config = {
                        .budget_bytes = draw_bytes(&seed),
                        .shrink_idle = true,
                        .calm_before_shrink_usec = draw_bytes(&seed),
                        .hold_after_grow_usec = draw_bytes(&seed),
                        .hold_after_refusal_usec = draw_bytes(&seed),
                        .dead_band_bytes = draw_bytes(&seed),
                };
                ArbiterVm vm = {
                        .controlled = draw(&seed) % 8 > 0,
                        .fresh = draw(&seed) % 8 > 0,
                        .min_bytes = draw_bytes(&seed),
                        .max_bytes = draw_bytes(&seed),
                        .size_bytes = draw_bytes(&seed) % MEMORY_BYTES_MAX,
                        .ceiling_bytes = draw_bytes(&seed),
                        .urgency = (Urgency) (draw(&seed) % URGENCY_MAX),
                        .need_bytes = (int64_t) draw_bytes(&seed) * (draw(&seed) % 2 ? 1 : -1),
                        .usable_bytes = draw_bytes(&seed),
                        .floor_bytes = draw_bytes(&seed),
                        .calm_since_usec = draw_bytes(&seed),
                        .last_grow_usec = draw_bytes(&seed),
                        .last_refusal_usec = draw_bytes(&seed),
                        .n_refusals = (unsigned) draw_bytes(&seed),
                        .last_failure_usec = draw_bytes(&seed),
                        .n_failures = (unsigned) draw_bytes(&seed),
                        .block_bytes = draw(&seed) % 4 ? UINT64_C(1) << draw(&seed) % 40 : 0,
                        .device_floor_bytes = draw_bytes(&seed),
                        .peak_bytes = draw(&seed) % 2 ? draw_bytes(&seed) : 0,
                };
                uint64_t committed, now = draw_bytes(&seed);
                ArbiterVerdict verdict;

                vm.committed_bytes = u64_add(vm.size_bytes, draw(&seed) % 2 ? draw_bytes(&seed) % GIB : 0);
                committed = u64_add(vm.committed_bytes, draw_bytes(&seed));
                verdict = arbiter_judge(&config, &vm, committed, now);
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
                        assert_true(config.budget_bytes == UINT64_MAX ||
                                    u64_add(committed, verdict.bytes) <= config.budget_bytes);
                } else if (verdict.kind == DECISION_SHRINK) {
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
