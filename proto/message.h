/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The messages of memtide.proto as plain values, already validated: what both daemons work with.
 * Units, ranges and meaning of each field stand in memtide.proto; wire.c holds every value to them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/vocabulary.h"

#define MESSAGE_STRING_MAX     64U /* bytes, without the NUL */
#define MESSAGE_BOOT_ID_SIZE   16U
#define MESSAGE_MISSING_MAX    16U
#define MESSAGE_PROTOCOL_MAJOR 0U
#define MESSAGE_PROTOCOL_MINOR 1U
#define MESSAGE_PORT_NAME      "org.memtide.agent.0"

typedef enum MessageType {
        /* guest to host */
        MESSAGE_HELLO,
        MESSAGE_REPORT,
        MESSAGE_ALARM,
        MESSAGE_SHRINK_OFFER,
        MESSAGE_RESIZE_CONFIRM,
        MESSAGE_BLOCK_EVENT,
        MESSAGE_COMMAND_RESULT,
        /* host to guest */
        MESSAGE_WELCOME,
        MESSAGE_GROW_NOTICE,
        MESSAGE_SHRINK_REQUEST,
        MESSAGE_OFFLINE_RANGE,
        MESSAGE_ONLINE_RANGE,
        MESSAGE_TUNING,
        MESSAGE_PING,
        MESSAGE_TYPE_MAX,
} MessageType;

typedef struct MessageMissing {
        Facility facility;
        unsigned error; /* errno, positive */
} MessageMissing;

typedef struct MessageHello {
        unsigned major, minor;
        char agent_version[MESSAGE_STRING_MAX + 1];
        char kernel_release[MESSAGE_STRING_MAX + 1];
        uint8_t boot_id[MESSAGE_BOOT_ID_SIZE];
        uint64_t start_nonce, handshake_nonce;
        uint64_t page_size_bytes, block_size_bytes, memory_total_bytes;
        uint64_t capabilities;
        uint64_t plug_budget_bytes;
        uint64_t frames_void;
        size_t n_missing;
        MessageMissing missing[MESSAGE_MISSING_MAX];
} MessageHello;

typedef struct MessageReport {
        uint64_t memory_total_bytes, memory_available_bytes, memory_free_bytes, file_cache_bytes;
        uint64_t swap_total_bytes, swap_free_bytes;
        uint64_t balloon_bytes, usable_bytes, used_bytes;
        uint64_t reserve_bytes, demand_bytes;
        int64_t need_bytes;
        uint64_t floor_bytes;
        uint64_t time_to_exhaustion_usec; /* 0: not falling */
        uint64_t fall_bytes_per_sec;
        Urgency urgency;
        Cause cause;
        bool kernel_zone;
        uint64_t psi_some_usec, psi_full_usec, oom_kills;
        unsigned blocks_online, blocks_offline;
        uint64_t plug_budget_bytes;
        uint64_t interval_usec;
        uint64_t frames_dropped, frames_void;
} MessageReport;

typedef struct MessageAlarm {
        Urgency urgency;
        Cause cause;
        int64_t need_bytes;
        uint64_t usable_bytes, memory_available_bytes;
        uint64_t time_to_exhaustion_usec, fall_bytes_per_sec;
        bool kernel_zone;
        uint64_t veto_id; /* 0: none */
        uint64_t plug_budget_bytes;
} MessageAlarm;

typedef struct MessageShrinkOffer {
        uint64_t id;
        unsigned step;
        uint64_t offered_bytes; /* 0: refused */
        RefusalReason reason;
        uint64_t acceptable_bytes, hold_usec, reclaimed_bytes;
} MessageShrinkOffer;

typedef struct MessageResizeConfirm {
        uint64_t id;
        unsigned step;
        int64_t delta_bytes;
        uint64_t usable_bytes;
        unsigned blocks_online, blocks_offline;
        uint64_t latency_usec, stall_usec;
} MessageResizeConfirm;

typedef struct MessageBlockEvent {
        uint64_t block;
        BlockAction action;
        BlockKind kind;
        Zone zone;
        uint64_t bytes;
        unsigned error;
        uint64_t latency_usec;
} MessageBlockEvent;

typedef struct MessageCommandResult {
        uint64_t id;
        CommandOutcome outcome;
        RefusalReason reason;
        unsigned error;
        uint64_t bytes;
} MessageCommandResult;

typedef struct MessageWelcome {
        uint32_t session;
        unsigned minor;
        uint64_t handshake_nonce;
        char bridge_version[MESSAGE_STRING_MAX + 1];
        uint64_t report_interval_usec;
} MessageWelcome;

typedef struct MessageGrowNotice {
        uint64_t id, deadline_usec, bytes;
        bool balloon;
} MessageGrowNotice;

typedef struct MessageShrinkRequest {
        uint64_t id;
        unsigned step;
        uint64_t deadline_usec, bytes, remaining_bytes;
        bool balloon, last;
} MessageShrinkRequest;

typedef struct MessageRange { /* OfflineRange and OnlineRange */
        uint64_t id, deadline_usec, address, bytes;
} MessageRange;

typedef struct MessageTuning {
        uint64_t id, deadline_usec, report_interval_usec, actuator_delay_usec;
} MessageTuning;

typedef struct MessagePing {
        uint64_t id, deadline_usec;
} MessagePing;

typedef struct Message {
        MessageType type;
        uint32_t session;
        uint64_t sequence;
        uint64_t monotonic_usec;
        union {
                MessageHello hello;
                MessageReport report;
                MessageAlarm alarm;
                MessageShrinkOffer shrink_offer;
                MessageResizeConfirm resize_confirm;
                MessageBlockEvent block_event;
                MessageCommandResult command_result;
                MessageWelcome welcome;
                MessageGrowNotice grow_notice;
                MessageShrinkRequest shrink_request;
                MessageRange range;
                MessageTuning tuning;
                MessagePing ping;
        };
} Message;

/* "Hello", "Report", ...; "unknown" out of range. */
const char *message_type_to_string(MessageType type);
