/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One table of names per enum. The tables are sized by their last entry, so that a new value without
 * a name stops the build; a hole in the middle is caught by the unit test. Generating the names from
 * the enum with X-macros was rejected: the header is read more often than it is changed.
 */

#include "common/vocabulary.h"

#include <assert.h>
#include <stddef.h>

#include "common/macro.h"

static const char *const urgency_names[] = {
        [URGENCY_NONE] = "none",
        [URGENCY_LOW] = "low",
        [URGENCY_HIGH] = "high",
        [URGENCY_CRITICAL] = "critical",
};
static_assert(ELEMENTSOF(urgency_names) == URGENCY_MAX, "every urgency has a name");

static const char *const cause_names[] = {
        [CAUSE_NONE] = "none",     [CAUSE_DEMAND] = "demand", [CAUSE_PREDICT] = "predict",
        [CAUSE_LEVEL] = "level",   [CAUSE_STALL] = "stall",   [CAUSE_SWAP] = "swap",
        [CAUSE_THRASH] = "thrash", [CAUSE_OOM] = "oom",       [CAUSE_KERNEL_ZONE] = "kernel-zone",
        [CAUSE_VETO] = "veto",
};
static_assert(ELEMENTSOF(cause_names) == CAUSE_MAX, "every cause has a name");

static const char *const refusal_reason_names[] = {
        [REFUSAL_NONE] = "none",           [REFUSAL_MARGIN] = "margin",
        [REFUSAL_NOT_FREED] = "not-freed", [REFUSAL_PRESSURE] = "pressure",
        [REFUSAL_UNSETTLED] = "unsettled", [REFUSAL_HELD] = "held",
        [REFUSAL_FLOOR] = "floor",         [REFUSAL_EXPIRED] = "expired",
        [REFUSAL_INVALID] = "invalid",     [REFUSAL_UNSUPPORTED] = "unsupported",
        [REFUSAL_REPEATED] = "repeated",
};
static_assert(ELEMENTSOF(refusal_reason_names) == REFUSAL_REASON_MAX, "every refusal has a name");

static const char *const facility_names[] = {
        [FACILITY_UNSPECIFIED] = "unspecified",
        [FACILITY_PSI] = "psi",
        [FACILITY_PSI_TRIGGER] = "psi-trigger",
        [FACILITY_MEMINFO] = "meminfo",
        [FACILITY_VMSTAT] = "vmstat",
        [FACILITY_ZONEINFO] = "zoneinfo",
        [FACILITY_MEMORY_BLOCKS] = "memory-blocks",
        [FACILITY_UEVENTS] = "uevents",
        [FACILITY_RECLAIM] = "reclaim",
        [FACILITY_BALLOON] = "balloon",
        [FACILITY_LOCKED_MEMORY] = "locked-memory",
        [FACILITY_CGROUPS] = "cgroups",
};
static_assert(ELEMENTSOF(facility_names) == FACILITY_MAX, "every facility has a name");

static const char *const block_action_names[] = {
        [BLOCK_SEEN] = "seen",     [BLOCK_ONLINED] = "onlined", [BLOCK_OFFLINED] = "offlined",
        [BLOCK_FAILED] = "failed", [BLOCK_REMOVED] = "removed",
};
static_assert(ELEMENTSOF(block_action_names) == BLOCK_ACTION_MAX, "every block action has a name");

static const char *const block_kind_names[] = {
        [BLOCK_KIND_OTHER] = "other",
        [BLOCK_KIND_DIMM] = "dimm",
        [BLOCK_KIND_VIRTIO_MEM] = "virtio-mem",
};
static_assert(ELEMENTSOF(block_kind_names) == BLOCK_KIND_MAX, "every block kind has a name");

static const char *const zone_names[] = {
        [ZONE_UNKNOWN] = "unknown",
        [ZONE_KERNEL] = "kernel",
        [ZONE_MOVABLE] = "movable",
};
static_assert(ELEMENTSOF(zone_names) == ZONE_MAX, "every zone has a name");

static const char *const command_outcome_names[] = {
        [COMMAND_DONE] = "done",
        [COMMAND_REFUSED] = "refused",
        [COMMAND_FAILED] = "failed",
};
static_assert(ELEMENTSOF(command_outcome_names) == COMMAND_OUTCOME_MAX, "every outcome has a name");

/* The value may come from a cast, so it is looked at as the number that it is. */
static const char *name_of(const char *const *names, size_t n_names, unsigned value) {
        return value < n_names && names[value] ? names[value] : "unknown";
}

const char *urgency_to_string(Urgency urgency) {
        return name_of(urgency_names, ELEMENTSOF(urgency_names), urgency);
}

const char *cause_to_string(Cause cause) {
        return name_of(cause_names, ELEMENTSOF(cause_names), cause);
}

const char *refusal_reason_to_string(RefusalReason reason) {
        return name_of(refusal_reason_names, ELEMENTSOF(refusal_reason_names), reason);
}

const char *facility_to_string(Facility facility) {
        return name_of(facility_names, ELEMENTSOF(facility_names), facility);
}

const char *block_action_to_string(BlockAction action) {
        return name_of(block_action_names, ELEMENTSOF(block_action_names), action);
}

const char *block_kind_to_string(BlockKind kind) {
        return name_of(block_kind_names, ELEMENTSOF(block_kind_names), kind);
}

const char *zone_to_string(Zone zone) {
        return name_of(zone_names, ELEMENTSOF(zone_names), zone);
}

const char *command_outcome_to_string(CommandOutcome outcome) {
        return name_of(command_outcome_names, ELEMENTSOF(command_outcome_names), outcome);
}

const char *capability_to_string(unsigned bit) {
        /* The cast makes -Wswitch-enum demand a name for each new bit; anything else falls out. */
        switch ((Capability) bit) {
        case CAPABILITY_PSI_TOTALS:
                return "psi-totals";
        case CAPABILITY_PSI_TRIGGERS:
                return "psi-triggers";
        case CAPABILITY_RECLAIM:
                return "reclaim";
        case CAPABILITY_BLOCKS:
                return "blocks";
        case CAPABILITY_BALLOON:
                return "balloon";
        case CAPABILITY_BALLOON_DEFLATE_ON_OOM:
                return "balloon-deflate-on-oom";
        case CAPABILITY_BALLOON_REPORTING:
                return "balloon-reporting";
        case CAPABILITY_VIRTIO_MEM:
                return "virtio-mem";
        case CAPABILITY_SWAP:
                return "swap";
        case CAPABILITY_INIT_ON_ALLOC:
                return "init-on-alloc";
        case CAPABILITY_KERNEL_ONLINES:
                return "kernel-onlines";
        }
        return NULL;
}
