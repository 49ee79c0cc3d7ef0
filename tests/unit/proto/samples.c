/* SPDX-License-Identifier: Apache-2.0 */

/* One full and one minimal message of each type, for every test that needs a valid message to start from. */

#include "samples.h"

#include <string.h>

#include "common/units.h"

static const MessageHello full_hello = {
        .minor = 7,
        .agent_version = "0.1.0-5+deb12",
        .kernel_release = "6.1.0-49-cloud-amd64 ~!{}",
        .boot_id = {0, 1, 2, 3, 0xFF, 0xFE, 0x80, 0x7F, 8, 9, 10, 11, 12, 13, 14, 0},
        .start_nonce = 0x8123456789ABCDEF,
        .handshake_nonce = 0x00FEDCBA98765432,
        .page_size_bytes = 16 * KIB,
        .block_size_bytes = 128 * MIB,
        .memory_total_bytes = 503 * MIB,
        .capabilities = CAPABILITY_PSI_TOTALS | CAPABILITY_VIRTIO_MEM | CAPABILITY_KERNEL_ONLINES,
        .n_missing = 3,
        .missing = {{FACILITY_PSI_TRIGGER, 22}, {FACILITY_LOCKED_MEMORY, 4095}, {FACILITY_PSI, 2}},
};

static const MessageReport full_report = {
        .memory_total_bytes = 2048 * MIB,
        .memory_available_bytes = 700 * MIB,
        .memory_free_bytes = 300 * MIB,
        .file_cache_bytes = 400 * MIB,
        .swap_total_bytes = GIB,
        .swap_free_bytes = 900 * MIB,
        .balloon_bytes = 256 * MIB,
        .usable_bytes = 1792 * MIB,
        .used_bytes = 1092 * MIB,
        .reserve_bytes = 128 * MIB,
        .demand_bytes = 1220 * MIB,
        .need_bytes = -572 * (int64_t) MIB,
        .floor_bytes = 1200 * MIB,
        .time_to_exhaustion_usec = 7 * USEC_PER_SEC,
        .fall_bytes_per_sec = 100 * MIB,
        .urgency = URGENCY_CRITICAL,
        .cause = CAUSE_VETO,
        .kernel_zone = true,
        .psi_some_usec = 123456789,
        .psi_full_usec = 12345678,
        .oom_kills = 3,
        .blocks_online = 16,
        .blocks_offline = 2,
        .plug_budget_bytes = 8 * GIB,
        .interval_usec = 50 * USEC_PER_MSEC,
        .frames_dropped = 1,
};

static const MessageAlarm full_alarm = {
        .urgency = URGENCY_HIGH,
        .cause = CAUSE_PREDICT,
        .need_bytes = 512 * (int64_t) MIB,
        .usable_bytes = 500 * MIB,
        .memory_available_bytes = 90 * MIB,
        .time_to_exhaustion_usec = 900 * USEC_PER_MSEC,
        .fall_bytes_per_sec = 100 * MIB,
        .kernel_zone = true,
        .veto_id = 77,
        .plug_budget_bytes = GIB,
};

static const MessageShrinkOffer full_shrink_offer = {
        .id = 9,
        .step = 2,
        .offered_bytes = 64 * MIB,
        .reason = REFUSAL_NOT_FREED,
        .acceptable_bytes = 800 * MIB,
        .hold_usec = 30 * USEC_PER_SEC,
        .reclaimed_bytes = 60 * MIB,
};

static const MessageResizeConfirm full_resize_confirm = {
        .id = UINT64_MAX,
        .step = UINT32_MAX,
        .delta_bytes = -128 * (int64_t) MIB,
        .usable_bytes = 900 * MIB,
        .blocks_online = 7,
        .blocks_offline = 1,
        .latency_usec = 65 * USEC_PER_MSEC,
        .stall_usec = 12,
};

static const MessageBlockEvent full_block_event = {
        .block = 32,
        .action = BLOCK_REMOVED,
        .kind = BLOCK_KIND_VIRTIO_MEM,
        .zone = ZONE_MOVABLE,
        .bytes = 128 * MIB,
        .error = 16,
        .latency_usec = 700,
};

static const MessageCommandResult full_command_result = {
        .id = 3,
        .outcome = COMMAND_FAILED,
        .reason = REFUSAL_UNSUPPORTED,
        .error = 95,
        .bytes = 128 * MIB,
};

static const MessageWelcome full_welcome = {
        .session = 0xFFFFFFFF,
        .minor = 1000,
        .handshake_nonce = 0x00FEDCBA98765432,
        .bridge_version = "012345678901234567890123456789012345678"
                          "9012345678901234567890123",
        .report_interval_usec = USEC_PER_SEC,
};

static const MessageGrowNotice full_grow_notice = {
        .id = 5,
        .deadline_usec = (UINT64_C(1) << 62) - 1,
        .bytes = 256 * MIB,
        .balloon = true,
};

static const MessageShrinkRequest full_shrink_request = {
        .id = 6,
        .step = 4,
        .deadline_usec = 99 * USEC_PER_SEC,
        .bytes = 64 * MIB,
        .remaining_bytes = 192 * MIB,
        .balloon = true,
        .last = true,
};

static const MessageRange full_offline_range = {
        .id = 7,
        .deadline_usec = 1,
        .address = 4 * GIB,
        .bytes = 512 * MIB,
};

static const MessageRange full_online_range = {
        .id = 8,
        .deadline_usec = 2,
        .address = (UINT64_C(1) << 52) - 64 * TIB,
        .bytes = 64 * TIB,
};

static const MessageTuning full_tuning = {
        .id = 9,
        .deadline_usec = 3,
        .report_interval_usec = 100 * USEC_PER_MSEC,
        .actuator_delay_usec = USEC_PER_MSEC,
};

static const MessagePing full_ping = {
        .id = 10,
        .deadline_usec = 4,
};

WireSender sample_sender(MessageType type) {
        return type < MESSAGE_WELCOME ? WIRE_FROM_GUEST : WIRE_FROM_HOST;
}

/* Zeroed to the last byte of padding, so that tests may compare whole messages. */
static Message sample_envelope(MessageType type, uint64_t sequence, uint64_t monotonic_usec) {
        Message message;

        memset(&message, 0, sizeof(message));
        message.type = type;
        message.session = type == MESSAGE_HELLO || type == MESSAGE_WELCOME ? 0 : 0xDEADBEEF;
        message.sequence = sequence;
        message.monotonic_usec = monotonic_usec;
        return message;
}

Message sample_full(MessageType type) {
        Message message = sample_envelope(type, UINT64_MAX, (UINT64_C(1) << 62) - 1);

        switch (type) {
        case MESSAGE_HELLO:
                message.hello = full_hello;
                break;
        case MESSAGE_REPORT:
                message.report = full_report;
                break;
        case MESSAGE_ALARM:
                message.alarm = full_alarm;
                break;
        case MESSAGE_SHRINK_OFFER:
                message.shrink_offer = full_shrink_offer;
                break;
        case MESSAGE_RESIZE_CONFIRM:
                message.resize_confirm = full_resize_confirm;
                break;
        case MESSAGE_BLOCK_EVENT:
                message.block_event = full_block_event;
                break;
        case MESSAGE_COMMAND_RESULT:
                message.command_result = full_command_result;
                break;
        case MESSAGE_WELCOME:
                message.welcome = full_welcome;
                break;
        case MESSAGE_GROW_NOTICE:
                message.grow_notice = full_grow_notice;
                break;
        case MESSAGE_SHRINK_REQUEST:
                message.shrink_request = full_shrink_request;
                break;
        case MESSAGE_OFFLINE_RANGE:
                message.range = full_offline_range;
                break;
        case MESSAGE_ONLINE_RANGE:
                message.range = full_online_range;
                break;
        case MESSAGE_TUNING:
                message.tuning = full_tuning;
                break;
        case MESSAGE_PING:
                message.ping = full_ping;
                break;
        case MESSAGE_TYPE_MAX:
                break;
        }

        return message;
}

Message sample_minimal(MessageType type) {
        Message message = sample_envelope(type, 1, 0);

        switch (type) {
        case MESSAGE_HELLO:
                message.hello.page_size_bytes = 4 * KIB;
                message.hello.memory_total_bytes = 1;
                break;
        case MESSAGE_REPORT:
                message.report.memory_total_bytes = 1;
                message.report.interval_usec = 10 * USEC_PER_MSEC;
                break;
        case MESSAGE_SHRINK_OFFER:
                message.shrink_offer.id = message.shrink_offer.step = 1;
                break;
        case MESSAGE_RESIZE_CONFIRM:
                message.resize_confirm.id = 1;
                break;
        case MESSAGE_WELCOME:
                message.welcome.session = 1;
                message.welcome.report_interval_usec = 100 * USEC_PER_MSEC;
                break;
        case MESSAGE_GROW_NOTICE:
                message.grow_notice.id = message.grow_notice.bytes = 1;
                break;
        case MESSAGE_SHRINK_REQUEST:
                message.shrink_request.id = message.shrink_request.step = 1;
                message.shrink_request.bytes = message.shrink_request.remaining_bytes = 1;
                break;
        case MESSAGE_OFFLINE_RANGE:
        case MESSAGE_ONLINE_RANGE:
                message.range.id = 1;
                message.range.bytes = 16 * MIB;
                break;
        case MESSAGE_TUNING:
                message.tuning.id = 1;
                break;
        case MESSAGE_PING:
                message.session = 0;
                break;
        case MESSAGE_ALARM:
        case MESSAGE_BLOCK_EVENT:
        case MESSAGE_COMMAND_RESULT:
        case MESSAGE_TYPE_MAX:
                break;
        }

        return message;
}
