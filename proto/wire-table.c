/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One row for each scalar field of each message. The kind comes from the C type of the value, and a
 * row whose two sides differ in size does not compile; what is left to err on is the range, which
 * memtide.proto states beside the field. Not here: Hello.boot_id and Hello.missing (wire.c), and what
 * relates one field to another (wire-check.c).
 */

#include "proto/wire-table.h"

#include <assert.h>

#include "common/macro.h"
#include "proto/memtide.pb-c.h"
#include "proto/wire-limits.h"

#define KIND_OF(value)                                                                                       \
        _Generic((value),                                                                                    \
                uint64_t: WIRE_U64,                                                                          \
                int64_t: WIRE_S64,                                                                           \
                unsigned: WIRE_U32,                                                                          \
                bool: WIRE_BOOL,                                                                             \
                char *: WIRE_STRING)

#define VALUE(member)      (((Message *) 0)->member)
#define WIRE(type, member) (((Memtide__##type *) 0)->member)

/* A size, or a compile error if the two sides do not fit together. */
#define FITS(type, body, member)                                                                             \
        (0 * sizeof(char[sizeof(WIRE(type, member)) == sizeof(VALUE(body.member)) ||                         \
                                         _Generic(VALUE(body.member), bool : 1, char * : 1, default : 0)     \
                                 ? 1                                                                         \
                                 : -1]))

#define ROW(kind_, type, body, member, min_, max_)                                                           \
        {                                                                                                    \
                .kind = (kind_),                                                                             \
                .wire_offset = offsetof(Memtide__##type, member) + FITS(type, body, member),                 \
                .value_offset = offsetof(Message, body.member), .min = (min_), .max = (max_),                \
        }

#define FIELD(type, body, member, min, max) ROW(KIND_OF(VALUE(body.member)), type, body, member, min, max)
#define SIZE(type, body, member)            FIELD(type, body, member, 0, WIRE_BYTES_MAX)
#define TIME(type, body, member)            FIELD(type, body, member, 0, WIRE_TIME_MAX)
#define COUNT(type, body, member)           FIELD(type, body, member, 0, WIRE_COUNT_MAX)
#define ID(type, body)                      FIELD(type, body, id, 1, UINT64_MAX)
#define ANY(type, body, member)             FIELD(type, body, member, 0, UINT64_MAX)
#define ANY_U32(type, body, member)         FIELD(type, body, member, 0, UINT32_MAX)
#define BOOLEAN(type, body, member)         FIELD(type, body, member, 0, 1)
#define STRING(type, body, member)          FIELD(type, body, member, 0, MESSAGE_STRING_MAX)
#define BLOCKS(type, body, member)          FIELD(type, body, member, 0, WIRE_BLOCKS_MAX)
#define ERRNO(type, body)                   FIELD(type, body, error, 0, WIRE_ERRNO_MAX)
#define ENUM(type, body, member, n)         ROW(WIRE_ENUM, type, body, member, 0, (n) -1)
#define OPEN_ENUM(type, body, member, n)    ROW(WIRE_OPEN_ENUM, type, body, member, 0, (n) -1)

static const WireField hello_fields[] = {
        FIELD(Hello, hello, major, MESSAGE_PROTOCOL_MAJOR, MESSAGE_PROTOCOL_MAJOR),
        FIELD(Hello, hello, minor, 0, WIRE_MINOR_MAX),
        STRING(Hello, hello, agent_version),
        STRING(Hello, hello, kernel_release),
        ANY(Hello, hello, start_nonce),
        ANY(Hello, hello, handshake_nonce),
        FIELD(Hello, hello, page_size_bytes, WIRE_PAGE_MIN, WIRE_PAGE_MAX),
        SIZE(Hello, hello, block_size_bytes),
        FIELD(Hello, hello, memory_total_bytes, 1, WIRE_BYTES_MAX),
        ANY(Hello, hello, capabilities), /* a newer minor may add bits */
        SIZE(Hello, hello, plug_budget_bytes),
        COUNT(Hello, hello, frames_void),
};

static const WireField report_fields[] = {
        FIELD(Report, report, memory_total_bytes, 1, WIRE_BYTES_MAX),
        SIZE(Report, report, memory_available_bytes),
        SIZE(Report, report, memory_free_bytes),
        SIZE(Report, report, file_cache_bytes),
        SIZE(Report, report, swap_total_bytes),
        SIZE(Report, report, swap_free_bytes),
        SIZE(Report, report, balloon_bytes),
        SIZE(Report, report, usable_bytes),
        SIZE(Report, report, used_bytes),
        SIZE(Report, report, reserve_bytes),
        SIZE(Report, report, demand_bytes),
        SIZE(Report, report, need_bytes),
        SIZE(Report, report, floor_bytes),
        TIME(Report, report, time_to_exhaustion_usec),
        SIZE(Report, report, fall_bytes_per_sec),
        ENUM(Report, report, urgency, URGENCY_MAX),
        OPEN_ENUM(Report, report, cause, CAUSE_MAX),
        BOOLEAN(Report, report, kernel_zone),
        TIME(Report, report, psi_some_usec),
        TIME(Report, report, psi_full_usec),
        COUNT(Report, report, oom_kills),
        BLOCKS(Report, report, blocks_online),
        BLOCKS(Report, report, blocks_offline),
        SIZE(Report, report, plug_budget_bytes),
        FIELD(Report, report, interval_usec, WIRE_REPORT_MIN, WIRE_REPORT_MAX),
        COUNT(Report, report, frames_dropped),
        COUNT(Report, report, frames_void),
};

static const WireField alarm_fields[] = {
        ENUM(Alarm, alarm, urgency, URGENCY_MAX),
        OPEN_ENUM(Alarm, alarm, cause, CAUSE_MAX),
        SIZE(Alarm, alarm, need_bytes),
        SIZE(Alarm, alarm, usable_bytes),
        SIZE(Alarm, alarm, memory_available_bytes),
        TIME(Alarm, alarm, time_to_exhaustion_usec),
        SIZE(Alarm, alarm, fall_bytes_per_sec),
        BOOLEAN(Alarm, alarm, kernel_zone),
        ANY(Alarm, alarm, veto_id),
        SIZE(Alarm, alarm, plug_budget_bytes),
};

static const WireField shrink_offer_fields[] = {
        ID(ShrinkOffer, shrink_offer),
        FIELD(ShrinkOffer, shrink_offer, step, 1, UINT32_MAX),
        SIZE(ShrinkOffer, shrink_offer, offered_bytes),
        ENUM(ShrinkOffer, shrink_offer, reason, REFUSAL_REASON_MAX),
        SIZE(ShrinkOffer, shrink_offer, acceptable_bytes),
        TIME(ShrinkOffer, shrink_offer, hold_usec),
        SIZE(ShrinkOffer, shrink_offer, reclaimed_bytes),
};

static const WireField resize_confirm_fields[] = {
        ID(ResizeConfirm, resize_confirm),
        ANY_U32(ResizeConfirm, resize_confirm, step),
        SIZE(ResizeConfirm, resize_confirm, delta_bytes),
        SIZE(ResizeConfirm, resize_confirm, usable_bytes),
        BLOCKS(ResizeConfirm, resize_confirm, blocks_online),
        BLOCKS(ResizeConfirm, resize_confirm, blocks_offline),
        TIME(ResizeConfirm, resize_confirm, latency_usec),
        TIME(ResizeConfirm, resize_confirm, stall_usec),
};

static const WireField block_event_fields[] = {
        FIELD(BlockEvent, block_event, block, 0, WIRE_BLOCK_NUMBERS - 1),
        ENUM(BlockEvent, block_event, action, BLOCK_ACTION_MAX),
        ENUM(BlockEvent, block_event, kind, BLOCK_KIND_MAX),
        ENUM(BlockEvent, block_event, zone, ZONE_MAX),
        SIZE(BlockEvent, block_event, bytes),
        ERRNO(BlockEvent, block_event),
        TIME(BlockEvent, block_event, latency_usec),
};

static const WireField command_result_fields[] = {
        ANY(CommandResult, command_result, id),
        ENUM(CommandResult, command_result, outcome, COMMAND_OUTCOME_MAX),
        ENUM(CommandResult, command_result, reason, REFUSAL_REASON_MAX),
        ERRNO(CommandResult, command_result),
        SIZE(CommandResult, command_result, bytes),
};

static const WireField welcome_fields[] = {
        FIELD(Welcome, welcome, session, 1, UINT32_MAX),
        FIELD(Welcome, welcome, minor, 0, WIRE_MINOR_MAX),
        ANY(Welcome, welcome, handshake_nonce),
        STRING(Welcome, welcome, bridge_version),
        FIELD(Welcome, welcome, report_interval_usec, WIRE_CADENCE_MIN, WIRE_CADENCE_MAX),
};

static const WireField grow_notice_fields[] = {
        ID(GrowNotice, grow_notice),
        TIME(GrowNotice, grow_notice, deadline_usec),
        FIELD(GrowNotice, grow_notice, bytes, 1, WIRE_BYTES_MAX),
        BOOLEAN(GrowNotice, grow_notice, balloon),
};

static const WireField shrink_request_fields[] = {
        ID(ShrinkRequest, shrink_request),
        FIELD(ShrinkRequest, shrink_request, step, 1, UINT32_MAX),
        TIME(ShrinkRequest, shrink_request, deadline_usec),
        FIELD(ShrinkRequest, shrink_request, bytes, 1, WIRE_BYTES_MAX),
        FIELD(ShrinkRequest, shrink_request, remaining_bytes, 1, WIRE_BYTES_MAX),
        BOOLEAN(ShrinkRequest, shrink_request, balloon),
        BOOLEAN(ShrinkRequest, shrink_request, last),
};

static const WireField offline_range_fields[] = {
        ID(OfflineRange, range),
        TIME(OfflineRange, range, deadline_usec),
        FIELD(OfflineRange, range, address, 0, WIRE_ADDRESS_MAX),
        FIELD(OfflineRange, range, bytes, WIRE_BLOCK_MIN, WIRE_BYTES_MAX),
};

static const WireField online_range_fields[] = {
        ID(OnlineRange, range),
        TIME(OnlineRange, range, deadline_usec),
        FIELD(OnlineRange, range, address, 0, WIRE_ADDRESS_MAX),
        FIELD(OnlineRange, range, bytes, WIRE_BLOCK_MIN, WIRE_BYTES_MAX),
};

static const WireField tuning_fields[] = {
        ID(Tuning, tuning),
        TIME(Tuning, tuning, deadline_usec),
        FIELD(Tuning, tuning, report_interval_usec, 0, WIRE_CADENCE_MAX),
        FIELD(Tuning, tuning, actuator_delay_usec, 0, WIRE_DELAY_MAX),
};

static const WireField ping_fields[] = {
        ANY(Ping, ping, id),
        TIME(Ping, ping, deadline_usec),
};

#define SHAPE(lower, UPPER, from, session_)                                                                  \
        [MESSAGE_##UPPER] = {                                                                                \
                .descriptor = &memtide__##lower##__descriptor,                                               \
                .body_case = MEMTIDE__ENVELOPE__BODY_##UPPER,                                                \
                .sender = (from),                                                                            \
                .session = (session_),                                                                       \
                .fields = lower##_fields,                                                                    \
                .n_fields = ELEMENTSOF(lower##_fields),                                                      \
        }

static const WireShape shapes[MESSAGE_TYPE_MAX] = {
        SHAPE(hello, HELLO, WIRE_FROM_GUEST, WIRE_SESSION_NONE),
        SHAPE(report, REPORT, WIRE_FROM_GUEST, WIRE_SESSION_OPEN),
        SHAPE(alarm, ALARM, WIRE_FROM_GUEST, WIRE_SESSION_OPEN),
        SHAPE(shrink_offer, SHRINK_OFFER, WIRE_FROM_GUEST, WIRE_SESSION_OPEN),
        SHAPE(resize_confirm, RESIZE_CONFIRM, WIRE_FROM_GUEST, WIRE_SESSION_OPEN),
        SHAPE(block_event, BLOCK_EVENT, WIRE_FROM_GUEST, WIRE_SESSION_OPEN),
        SHAPE(command_result, COMMAND_RESULT, WIRE_FROM_GUEST, WIRE_SESSION_OPEN),
        SHAPE(welcome, WELCOME, WIRE_FROM_HOST, WIRE_SESSION_NONE),
        SHAPE(grow_notice, GROW_NOTICE, WIRE_FROM_HOST, WIRE_SESSION_OPEN),
        SHAPE(shrink_request, SHRINK_REQUEST, WIRE_FROM_HOST, WIRE_SESSION_OPEN),
        SHAPE(offline_range, OFFLINE_RANGE, WIRE_FROM_HOST, WIRE_SESSION_OPEN),
        SHAPE(online_range, ONLINE_RANGE, WIRE_FROM_HOST, WIRE_SESSION_OPEN),
        SHAPE(tuning, TUNING, WIRE_FROM_HOST, WIRE_SESSION_OPEN),
        SHAPE(ping, PING, WIRE_FROM_HOST, WIRE_SESSION_EITHER),
};

const WireShape *wire_shape(MessageType type) {
        assert((unsigned) type < MESSAGE_TYPE_MAX);

        return &shapes[type];
}

MessageType wire_type_of_body(int body_case) {
        for (unsigned type = 0; type < MESSAGE_TYPE_MAX; type++)
                if (shapes[type].body_case == body_case)
                        return (MessageType) type;
        return MESSAGE_TYPE_MAX;
}
