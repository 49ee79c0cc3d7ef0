/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The kernel's own onlining needs no process to be woken, so it is the faster one (1.5 to 2.7 times, tests/bench/README.md)
 * and works when the agent does not. What it lacks is the choice of a zone: "online" alone puts a block where its
 * neighbours are (contig-zones), and only auto-movable, since Linux 5.16, fills Movable up to a ratio as zone_choose() does.
 * Where there is no auto-movable the agent writes the blocks itself.
 *
 * Documentation/admin-guide/mm/memory-hotplug.rst: once memory was onlined under a policy it should not be changed. So it is
 * changed only while no hot-plugged memory is online, and not changed back.
 *
 * An administrator's word goes first: memhp_default_state= on the kernel's command line, or a zone in auto_online_blocks,
 * which no distribution's kernel has by default. Plain "online" and "offline" are what distributions build in, and no
 * word of anybody's. Onliner= other than auto is the later word of the same administrator.
 *
 * Rejected: restoring what was found. Debian 12's kernel has "offline", and then a guest whose agent was removed loses
 * what is plugged later, and virtio-mem stops at 1 GiB for good.
 */

#include "agent/policy/onlining.h"

#include <assert.h>

const char *auto_online_to_string(AutoOnline word) {
        static const char *const names[AUTO_ONLINE_MAX] = {
                [AUTO_ONLINE_OFFLINE] = "offline",
                [AUTO_ONLINE_ONLINE] = "online",
                [AUTO_ONLINE_KERNEL] = "online_kernel",
                [AUTO_ONLINE_MOVABLE] = "online_movable",
        };

        return (unsigned) word < AUTO_ONLINE_MAX ? names[word] : "unknown";
}

static bool is_administrators(const OnliningFacts *facts) {
        return facts->by_command_line ||
               (!facts->ours && facts->now != AUTO_ONLINE_OFFLINE && facts->now != AUTO_ONLINE_ONLINE);
}

/* The zone is left to the kernel's policy: if that can be the right one. */
static OnliningPlan plan_for_ratio(Onliner onliner, const OnliningFacts *facts) {
        OnliningPlan plan = {
                .take_over = true,
                .word = AUTO_ONLINE_ONLINE,
                .waves = true,
                .reason = onliner == ONLINER_KERNEL ? ONLINING_CONFIGURED : ONLINING_AS_GOOD,
        };
        bool may_change = !facts->onlined && !facts->policy_by_command_line;

        if (facts->has_policy && (facts->is_auto_movable || may_change)) {
                plan.set_policy = !facts->policy_by_command_line;
                return plan;
        }
        if (onliner == ONLINER_KERNEL)
                return plan; /* where its neighbours are, then */
        return (OnliningPlan){
                .take_over = true,
                .word = AUTO_ONLINE_OFFLINE,
                .reason = facts->has_policy && !facts->policy_by_command_line ? ONLINING_TOO_LATE
                                                                              : ONLINING_NO_POLICY,
        };
}

OnliningPlan onlining_plan(Onliner onliner, ZonePolicy zone, const OnliningFacts *facts) {
        OnliningReason reason = onliner == ONLINER_AUTO ? ONLINING_AS_GOOD : ONLINING_CONFIGURED;

        assert(facts);

        if (!facts->has_auto_online)
                return (OnliningPlan){.reason = ONLINING_NO_FILE};
        if (onliner == ONLINER_AGENT)
                return (OnliningPlan){.take_over = true, .word = AUTO_ONLINE_OFFLINE, .reason = reason};
        if (onliner == ONLINER_AUTO && is_administrators(facts))
                return (OnliningPlan){.word = facts->now, .reason = ONLINING_RESPECTED};

        switch (zone) {
        case ZONE_POLICY_MOVABLE:
                return (OnliningPlan){.take_over = true, .word = AUTO_ONLINE_MOVABLE, .reason = reason};
        case ZONE_POLICY_KERNEL:
                return (OnliningPlan){.take_over = true, .word = AUTO_ONLINE_KERNEL, .reason = reason};
        case ZONE_POLICY_AUTO:
        case ZONE_POLICY_MAX:
                break;
        }
        return plan_for_ratio(onliner, facts);
}
