/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The words that guest, wire, host, log and tests share, so that a decision has one name from signal
 * to confirmation. The numbers are those of memtide.proto (proto/wire-vocabulary.c asserts it); the names are
 * what people see in `memtidectl`, in the journal and in JSON. Values only: the pure cores use it.
 */

typedef enum Urgency {
        URGENCY_NONE,
        URGENCY_LOW,
        URGENCY_HIGH,
        URGENCY_CRITICAL,
        URGENCY_MAX,
} Urgency;

typedef enum Cause {
        CAUSE_NONE,
        CAUSE_DEMAND,
        CAUSE_PREDICT,
        CAUSE_LEVEL,
        CAUSE_STALL,
        CAUSE_SWAP,
        CAUSE_THRASH,
        CAUSE_OOM,
        CAUSE_KERNEL_ZONE,
        CAUSE_VETO,
        CAUSE_MAX,
} Cause;

typedef enum RefusalReason {
        REFUSAL_NONE,
        REFUSAL_MARGIN,
        REFUSAL_NOT_FREED,
        REFUSAL_PRESSURE,
        REFUSAL_UNSETTLED,
        REFUSAL_HELD,
        REFUSAL_FLOOR,
        REFUSAL_EXPIRED,
        REFUSAL_INVALID,
        REFUSAL_UNSUPPORTED,
        REFUSAL_REPEATED,
        REFUSAL_REASON_MAX,
} RefusalReason;

typedef enum Facility {
        FACILITY_UNSPECIFIED,
        FACILITY_PSI,
        FACILITY_PSI_TRIGGER,
        FACILITY_MEMINFO,
        FACILITY_VMSTAT,
        FACILITY_ZONEINFO,
        FACILITY_MEMORY_BLOCKS,
        FACILITY_UEVENTS,
        FACILITY_RECLAIM,
        FACILITY_BALLOON,
        FACILITY_LOCKED_MEMORY,
        FACILITY_CGROUPS,
        FACILITY_MAX,
} Facility;

typedef enum BlockAction {
        BLOCK_SEEN,
        BLOCK_ONLINED,
        BLOCK_OFFLINED,
        BLOCK_FAILED,
        BLOCK_REMOVED,
        BLOCK_ACTION_MAX,
} BlockAction;

typedef enum BlockKind {
        BLOCK_KIND_OTHER,
        BLOCK_KIND_DIMM,
        BLOCK_KIND_VIRTIO_MEM,
        BLOCK_KIND_MAX,
} BlockKind;

typedef enum Zone {
        ZONE_UNKNOWN,
        ZONE_KERNEL,
        ZONE_MOVABLE,
        ZONE_MAX,
} Zone;

typedef enum CommandOutcome {
        COMMAND_DONE,
        COMMAND_REFUSED,
        COMMAND_FAILED,
        COMMAND_OUTCOME_MAX,
} CommandOutcome;

/* Bits of Hello.capabilities. */
typedef enum Capability {
        CAPABILITY_PSI_TOTALS = 1 << 0,
        CAPABILITY_PSI_TRIGGERS = 1 << 1,
        CAPABILITY_RECLAIM = 1 << 2,
        CAPABILITY_BLOCKS = 1 << 3,
        CAPABILITY_BALLOON = 1 << 4,
        CAPABILITY_BALLOON_DEFLATE_ON_OOM = 1 << 5,
        CAPABILITY_BALLOON_REPORTING = 1 << 6,
        CAPABILITY_VIRTIO_MEM = 1 << 7,
        CAPABILITY_SWAP = 1 << 8,
        CAPABILITY_INIT_ON_ALLOC = 1 << 9,
        CAPABILITY_KERNEL_ONLINES = 1 << 10,
} Capability;

/* Names as people and JSON see them ("critical", "predict", "virtio-mem"); "unknown" out of range. */
const char *urgency_to_string(Urgency urgency);
const char *cause_to_string(Cause cause);
const char *refusal_reason_to_string(RefusalReason reason);
const char *facility_to_string(Facility facility);
const char *block_action_to_string(BlockAction action);
const char *block_kind_to_string(BlockKind kind);
const char *zone_to_string(Zone zone);
const char *command_outcome_to_string(CommandOutcome outcome);

/* Name of one CAPABILITY_ value (a mask with one bit set), or NULL for a bit that has none. */
const char *capability_to_string(unsigned bit);
