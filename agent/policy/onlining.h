/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Who puts hot-plugged memory online, the kernel or the agent, and what the kernel is told for it. Pure. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/policy/zone.h"

typedef enum Onliner {
        ONLINER_AUTO, /* the kernel where it is as good and an administrator has not chosen, else the agent */
        ONLINER_KERNEL,
        ONLINER_AGENT,
        ONLINER_MAX,
} Onliner;

/* The words of auto_online_blocks. */
typedef enum AutoOnline {
        AUTO_ONLINE_OFFLINE,
        AUTO_ONLINE_ONLINE, /* zone by online_policy */
        AUTO_ONLINE_KERNEL,
        AUTO_ONLINE_MOVABLE,
        AUTO_ONLINE_MAX,
} AutoOnline;

/* "offline", "online", "online_kernel", "online_movable"; never NULL. */
const char *auto_online_to_string(AutoOnline word);

typedef struct OnliningFacts {
        bool has_auto_online; /* auto_online_blocks is there (Linux 4.7) */
        AutoOnline now;       /* what it says; AUTO_ONLINE_MAX: something else */
        bool ours;            /* an agent of this boot has set it */
        bool by_command_line; /* memhp_default_state= */
        bool has_policy;      /* online_policy is there (Linux 5.16) */
        bool is_auto_movable; /* and says auto-movable */
        bool policy_by_command_line;
        bool onlined; /* hot-plugged memory is online already */
} OnliningFacts;

/* Why it is done so, for the log and doctor. */
typedef enum OnliningReason {
        ONLINING_AS_GOOD,    /* the kernel's choice of zone is as good as ours */
        ONLINING_CONFIGURED, /* Onliner= says so */
        ONLINING_RESPECTED,  /* an administrator has told the kernel what to do */
        ONLINING_NO_POLICY,  /* the kernel knows no auto-movable, or was told not to use it */
        ONLINING_TOO_LATE,   /* memory was onlined under another policy */
        ONLINING_NO_FILE,    /* the kernel cannot online */
        ONLINING_REASON_MAX,
} OnliningReason;

typedef struct OnliningPlan {
        bool take_over; /* word is to be written now, and a safe one at the end */
        AutoOnline word;
        bool set_policy; /* auto-movable, with the ratio of the configuration, before that */
        bool waves;      /* while memory is wanted for the kernel's zones, AUTO_ONLINE_KERNEL instead */
        OnliningReason reason;
} OnliningPlan;

OnliningPlan onlining_plan(Onliner onliner, ZonePolicy zone, const OnliningFacts *facts);

/* What is left behind: a guest without an agent must not be stuck at 1 GiB of offline virtio-mem. */
#define AUTO_ONLINE_SAFE AUTO_ONLINE_ONLINE
