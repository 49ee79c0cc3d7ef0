/* SPDX-License-Identifier: Apache-2.0 */

/* Who puts memory online on which machine, and what the kernel is told for it. */

#include "agent/policy/onlining.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/macro.h"

#define DEBIAN_12  .has_auto_online = true, .now = AUTO_ONLINE_OFFLINE, .has_policy = true
#define DEBIAN_13  .has_auto_online = true, .now = AUTO_ONLINE_ONLINE, .has_policy = true
#define LINUX_5_10 .has_auto_online = true, .now = AUTO_ONLINE_OFFLINE

typedef struct Row {
        const char *name;
        Onliner onliner;
        ZonePolicy zone;
        OnliningFacts facts;
        OnliningPlan plan;
} Row;

#define KERNEL(word, policy, waves, reason)                                                                  \
        { true, AUTO_ONLINE_##word, policy, waves, ONLINING_##reason }
#define AGENT(reason)                                                                                        \
        { true, AUTO_ONLINE_OFFLINE, false, false, ONLINING_##reason }
#define LEFT(word)                                                                                           \
        { false, AUTO_ONLINE_##word, false, false, ONLINING_RESPECTED }

static const Row rows[] = {
        /* nobody has chosen */
        {"Debian 12", ONLINER_AUTO, ZONE_POLICY_AUTO, {DEBIAN_12}, KERNEL(ONLINE, true, true, AS_GOOD)},
        {"Debian 13", ONLINER_AUTO, ZONE_POLICY_AUTO, {DEBIAN_13}, KERNEL(ONLINE, true, true, AS_GOOD)},
        {"5.10", ONLINER_AUTO, ZONE_POLICY_AUTO, {LINUX_5_10}, AGENT(NO_POLICY)},
        {"5.10, movable",
         ONLINER_AUTO,
         ZONE_POLICY_MOVABLE,
         {LINUX_5_10},
         KERNEL(MOVABLE, false, false, AS_GOOD)},
        {"5.10, kernel",
         ONLINER_AUTO,
         ZONE_POLICY_KERNEL,
         {LINUX_5_10},
         KERNEL(KERNEL, false, false, AS_GOOD)},
        {"no file", ONLINER_AUTO, ZONE_POLICY_AUTO, {}, {.reason = ONLINING_NO_FILE}},
        {"no file, forced", ONLINER_KERNEL, ZONE_POLICY_AUTO, {}, {.reason = ONLINING_NO_FILE}},

        /* the policy is not to be changed any more */
        {"plugged at boot", ONLINER_AUTO, ZONE_POLICY_AUTO, {DEBIAN_13, .onlined = true}, AGENT(TOO_LATE)},
        {"plugged at boot, movable",
         ONLINER_AUTO,
         ZONE_POLICY_MOVABLE,
         {DEBIAN_13, .onlined = true},
         KERNEL(MOVABLE, false, false, AS_GOOD)},
        {"an agent before",
         ONLINER_AUTO,
         ZONE_POLICY_AUTO,
         {DEBIAN_13, .onlined = true, .is_auto_movable = true, .ours = true},
         KERNEL(ONLINE, true, true, AS_GOOD)},
        {"the policy is someone's",
         ONLINER_AUTO,
         ZONE_POLICY_AUTO,
         {DEBIAN_13, .policy_by_command_line = true},
         AGENT(NO_POLICY)},
        {"and it is the right one",
         ONLINER_AUTO,
         ZONE_POLICY_AUTO,
         {DEBIAN_13, .policy_by_command_line = true, .is_auto_movable = true},
         KERNEL(ONLINE, false, true, AS_GOOD)},

        /* an administrator has chosen */
        {"offline at boot",
         ONLINER_AUTO,
         ZONE_POLICY_AUTO,
         {DEBIAN_12, .by_command_line = true},
         LEFT(OFFLINE)},
        {"online at boot",
         ONLINER_AUTO,
         ZONE_POLICY_MOVABLE,
         {DEBIAN_13, .by_command_line = true},
         LEFT(ONLINE)},
        {"a zone",
         ONLINER_AUTO,
         ZONE_POLICY_AUTO,
         {.has_auto_online = true, .now = AUTO_ONLINE_MOVABLE, .has_policy = true},
         LEFT(MOVABLE)},
        {"a word of tomorrow's",
         ONLINER_AUTO,
         ZONE_POLICY_AUTO,
         {.has_auto_online = true, .now = AUTO_ONLINE_MAX, .has_policy = true},
         LEFT(MAX)},
        {"an agent died in a wave",
         ONLINER_AUTO,
         ZONE_POLICY_AUTO,
         {.has_auto_online = true,
          .now = AUTO_ONLINE_KERNEL,
          .has_policy = true,
          .is_auto_movable = true,
          .ours = true},
         KERNEL(ONLINE, true, true, AS_GOOD)},
        {"the agent all the same",
         ONLINER_AGENT,
         ZONE_POLICY_AUTO,
         {DEBIAN_13, .by_command_line = true},
         AGENT(CONFIGURED)},
        {"the kernel all the same",
         ONLINER_KERNEL,
         ZONE_POLICY_MOVABLE,
         {DEBIAN_12, .by_command_line = true},
         KERNEL(MOVABLE, false, false, CONFIGURED)},

        /* Onliner= */
        {"agent", ONLINER_AGENT, ZONE_POLICY_MOVABLE, {DEBIAN_12}, AGENT(CONFIGURED)},
        {"kernel", ONLINER_KERNEL, ZONE_POLICY_AUTO, {DEBIAN_12}, KERNEL(ONLINE, true, true, CONFIGURED)},
        {"kernel, without a ratio",
         ONLINER_KERNEL,
         ZONE_POLICY_AUTO,
         {LINUX_5_10},
         KERNEL(ONLINE, false, true, CONFIGURED)},
        {"kernel, too late",
         ONLINER_KERNEL,
         ZONE_POLICY_AUTO,
         {DEBIAN_13, .onlined = true},
         KERNEL(ONLINE, false, true, CONFIGURED)},
};

static void test_plans(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                OnliningPlan plan = onlining_plan(rows[i].onliner, rows[i].zone, &rows[i].facts);
                const OnliningPlan *want = &rows[i].plan;

                if (plan.take_over != want->take_over || plan.word != want->word ||
                    plan.set_policy != want->set_policy || plan.waves != want->waves ||
                    plan.reason != want->reason)
                        fail_msg("%s: %d %s %d %d, reason %d", rows[i].name, plan.take_over,
                                 auto_online_to_string(plan.word), plan.set_policy, plan.waves,
                                 (int) plan.reason);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_plans)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
