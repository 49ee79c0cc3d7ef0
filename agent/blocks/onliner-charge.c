/* SPDX-License-Identifier: Apache-2.0 */

/* Who onlines: the facts for policy/onlining.h, and what follows. */

#include <assert.h>

#include "agent/blocks/onliner.h"
#include "agent/messages.h"
#include "common/log.h"

/* Highest first, where hot-plugged memory is. */
static bool any_onlined(BlockOnliner *onliner) {
        for (size_t i = onliner->table.n; i > 0; i--) {
                const BlockRecord *record = &onliner->table.records[i - 1];
                BlockKind kind;
                bool sure;

                if (record->state == BLOCK_STATE_ONLINE &&
                    block_survey_kind(&onliner->survey, record->number, &kind, &sure) >= 0 &&
                    kind != BLOCK_KIND_OTHER)
                        return true;
        }
        return false;
}

static void say(const OnliningPlan *plan, bool kernel_onlines) {
        static const char *const reasons[ONLINING_REASON_MAX] = {
                [ONLINING_AS_GOOD] = "its choice of zones is as good",
                [ONLINING_CONFIGURED] = "by Onliner=",
                [ONLINING_RESPECTED] = "an administrator has told it so",
                [ONLINING_NO_POLICY] = "the kernel has no ratio of zones",
                [ONLINING_TOO_LATE] = "memory is online already under another policy of the kernel's",
                [ONLINING_NO_FILE] = "the kernel cannot",
        };

        const LogField reason = {"REASON", reasons[plan->reason]};

        if (kernel_onlines)
                log_event(LOG_INFO, MESSAGE_ID_ONLINER,
                          LOG_FIELDS({"ONLINER", "kernel"}, {"WORD", auto_online_to_string(plan->word)},
                                     reason),
                          "The kernel puts hot-plugged memory online (%s): %s",
                          auto_online_to_string(plan->word), reasons[plan->reason]);
        else
                log_event(LOG_INFO, MESSAGE_ID_ONLINER, LOG_FIELDS({"ONLINER", "agent"}, reason),
                          "This agent puts hot-plugged memory online: %s", reasons[plan->reason]);
}

static OnliningPlan make_plan(BlockOnliner *onliner) {
        const BlockServiceConfig *config = &onliner->config;
        OnliningFacts facts = kernel_onliner_facts(onliner->root);

        facts.onlined = facts.has_policy && !facts.is_auto_movable && any_onlined(onliner);
        return onlining_plan(config->onliner, config->zone_policy, &facts);
}

void block_onliner_foresee(BlockOnliner *onliner) {
        OnliningPlan plan;

        assert(onliner);

        if (!onliner->config.online)
                return;
        plan = make_plan(onliner);
        if (plan.take_over)
                onliner->kernel_onlines = plan.word != AUTO_ONLINE_OFFLINE;
}

void block_onliner_take_charge(BlockOnliner *onliner) {
        const BlockServiceConfig *config;
        OnliningPlan plan;
        int r;

        assert(onliner);

        config = &onliner->config;
        if (!config->online) {
                kernel_onliner_end(&onliner->kernel);
                return;
        }
        plan = make_plan(onliner);
        r = kernel_onliner_begin(&onliner->kernel, onliner->root, &plan, config->zone_ratio_percent);
        if (r < 0)
                (void) log_warning_errno(r, "Cannot tell the kernel who puts memory online: %m");
        (void) block_kernel_onlines(onliner->root, &onliner->kernel_onlines);
        say(&plan, onliner->kernel_onlines);
}
