/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A decision with its inputs, rule, result and timings, as a value: what `memtidectl explain` shows, the journal
 * records and the tests check. Times are host CLOCK_MONOTONIC usec; 0 = has not happened.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/vocabulary.h"
#include "host-bridge/policy/memory-model.h"

#define DECISION_VM_NAME_MAX 64U

typedef enum DecisionKind {
        DECISION_GROW,
        DECISION_SHRINK,
        DECISION_DENY, /* asked for and not granted */
        DECISION_KIND_MAX,
} DecisionKind;

/* Why: the rule that decided. */
typedef enum DecisionRule {
        RULE_NONE,
        RULE_GROW_ALARM,         /* urgency high or critical: at once, from free budget */
        RULE_GROW_DEMAND,        /* urgency low: demand above size */
        RULE_SHRINK_IDLE,        /* calm long enough, and more than demand */
        RULE_DENY_MAX,           /* at Max= */
        RULE_DENY_BUDGET,        /* the host budget is used up */
        RULE_DENY_OBSERVED,      /* no Max=: observed only */
        RULE_DENY_CEILING,       /* the VM's devices reach no further */
        RULE_OPERATOR,           /* somebody asked for a size: operator.h */
        RULE_DENY_MIN,           /* at Min= */
        RULE_DENY_FLOOR,         /* the VM's devices give no more */
        RULE_DENY_SILENT,        /* the guest has not been heard lately */
        RULE_GROW_DONOR,         /* urgent, out of what others have given for it */
        RULE_SHRINK_SCARCITY,    /* calm, and the host's pool is below its target */
        RULE_SHRINK_DONOR,       /* calm, and another VM waits for memory */
        RULE_DENY_POOL,          /* what is free is kept for more urgent asks, or for VMs that have less */
        RULE_DENY_SHARE,         /* not everybody can have what he asks for, and it has its part */
        RULE_DENY_RATE,          /* it has grown too fast lately */
        RULE_DENY_QUARANTINE,    /* its figures contradict the hypervisor's, and it has its fair share */
        RULE_DENY_HOST_PRESSURE, /* the host itself, or this VM's cgroup on it, stalls on memory */
        RULE_DENY_PLUG,          /* only a DIMM is left, and the guest can not take in one of that size now */
        DECISION_RULE_MAX,
} DecisionRule;

typedef enum DecisionResult {
        RESULT_PENDING,
        RESULT_DONE,    /* the guest confirmed all of it */
        RESULT_PARTIAL, /* it confirmed a part; the rest was given up */
        RESULT_TIMEOUT, /* nothing was confirmed by the deadline */
        RESULT_REFUSED, /* the guest refused to give */
        RESULT_VETOED,  /* the guest stopped it; what was taken has been given back */
        RESULT_SILENT,  /* the guest fell silent in flight; given back */
        RESULT_FAILED,  /* the hypervisor refused */
        RESULT_LOST,    /* monitor or session were lost */
        RESULT_DENIED,  /* DECISION_DENY */
        RESULT_SHADOW,  /* would have been done: the VM's mode is shadow */
        DECISION_RESULT_MAX,
} DecisionResult;

/* What was known when it was decided. */
typedef struct DecisionInputs {
        Urgency urgency;
        Cause cause;
        uint64_t usable_bytes, available_bytes, used_bytes, demand_bytes,
                floor_bytes; /* the guest's report, clamped */
        int64_t need_bytes;
        uint64_t time_to_exhaustion_usec, fall_bytes_per_sec;
        uint64_t size_bytes, min_bytes, max_bytes; /* hypervisor and policy */
        uint64_t budget_bytes, budget_used_bytes;  /* host */
        uint64_t report_age_usec;
        uint64_t target_bytes; /* RULE_OPERATOR, and what denied it: the size asked for; else 0 */
        uint64_t harm_stalled_usec, harm_kills; /* to the VM so far: policy/harm.h */
} DecisionInputs;

typedef struct Decision {
        uint64_t id; /* the same on both sides, never 0 */
        char vm[DECISION_VM_NAME_MAX];
        uint64_t realtime_usec; /* for people */
        DecisionKind kind;
        DecisionRule rule;
        DecisionInputs inputs;
        Actuator actuator; /* of the last step */
        unsigned n_steps;
        uint64_t wanted_bytes;    /* decided */
        uint64_t requested_bytes; /* asked of the hypervisor so far */
        int64_t confirmed_bytes;  /* by the guest: usable now less usable before */
        DecisionResult result;
        RefusalReason refusal; /* of RESULT_REFUSED, or of what ended RESULT_PARTIAL */
        uint64_t alarm_usec, request_usec, accepted_usec, first_confirm_usec, closed_usec;
        uint64_t late_bytes;       /* of what is confirmed, what came after it was closed: late.h */
        uint64_t late_usec;        /* when the last of that came */
        uint64_t guest_stall_usec; /* growth of the guest's PSI some total meanwhile, by its confirmations */
} Decision;

/* "grow", "grow-alarm", "done": names for people, JSON and the journal; "unknown" out of range. */
const char *decision_kind_to_string(DecisionKind kind);
const char *decision_rule_to_string(DecisionRule rule);
const char *decision_result_to_string(DecisionResult result);
