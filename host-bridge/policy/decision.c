/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Names of what was decided, for people, JSON and metrics: one table per enum, whose size the compiler
 * checks; the unit test finds a hole in the middle. They are labels of metrics: a change breaks dashboards.
 */

#include "host-bridge/policy/decision.h"

#define N_NAMES(names) (sizeof(names) / sizeof((names)[0]))

static const char *const kind_names[] = {
        [DECISION_GROW] = "grow",
        [DECISION_SHRINK] = "shrink",
        [DECISION_DENY] = "deny",
};
_Static_assert(N_NAMES(kind_names) == DECISION_KIND_MAX, "every kind has a name");

static const char *const rule_names[] = {
        [RULE_NONE] = "none",
        [RULE_GROW_ALARM] = "grow-alarm",
        [RULE_GROW_DEMAND] = "grow-demand",
        [RULE_SHRINK_IDLE] = "shrink-idle",
        [RULE_DENY_MAX] = "deny-max",
        [RULE_DENY_BUDGET] = "deny-budget",
        [RULE_DENY_OBSERVED] = "deny-observed",
        [RULE_DENY_CEILING] = "deny-ceiling",
        [RULE_OPERATOR] = "operator",
        [RULE_DENY_MIN] = "deny-min",
        [RULE_DENY_FLOOR] = "deny-floor",
        [RULE_DENY_SILENT] = "deny-silent",
        [RULE_GROW_DONOR] = "grow-donor",
        [RULE_SHRINK_SCARCITY] = "shrink-scarcity",
        [RULE_SHRINK_DONOR] = "shrink-donor",
        [RULE_DENY_POOL] = "deny-pool",
        [RULE_DENY_SHARE] = "deny-share",
        [RULE_DENY_RATE] = "deny-rate",
        [RULE_DENY_QUARANTINE] = "deny-quarantine",
        [RULE_DENY_HOST_PRESSURE] = "deny-host-pressure",
        [RULE_DENY_PLUG] = "deny-plug",
};
_Static_assert(N_NAMES(rule_names) == DECISION_RULE_MAX, "every rule has a name");

static const char *const result_names[] = {
        [RESULT_PENDING] = "pending", [RESULT_DONE] = "done",       [RESULT_PARTIAL] = "partial",
        [RESULT_TIMEOUT] = "timeout", [RESULT_REFUSED] = "refused", [RESULT_VETOED] = "vetoed",
        [RESULT_SILENT] = "silent",   [RESULT_FAILED] = "failed",   [RESULT_LOST] = "lost",
        [RESULT_DENIED] = "denied",   [RESULT_SHADOW] = "shadow",
};
_Static_assert(N_NAMES(result_names) == DECISION_RESULT_MAX, "every result has a name");

const char *decision_kind_to_string(DecisionKind kind) {
        return (unsigned) kind < DECISION_KIND_MAX ? kind_names[kind] : "unknown";
}

const char *decision_rule_to_string(DecisionRule rule) {
        return (unsigned) rule < DECISION_RULE_MAX ? rule_names[rule] : "unknown";
}

const char *decision_result_to_string(DecisionResult result) {
        return (unsigned) result < DECISION_RESULT_MAX ? result_names[result] : "unknown";
}
