/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Values to bytes and back: each message round trip, who may send what, in which session, and the
 * rules between fields. Ranges of single fields are tested by test_golden.py, which states them anew.
 */

#include "proto/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/macro.h"
#include "common/units.h"
#include "samples.h"

/* Encodes, takes the frame apart, decodes. */
static WireVerdict pass(const Message *message, WireSender sender, Message *ret) {
        uint8_t frame[FRAME_ENCODED_MAX];
        const uint8_t *at = frame, *payload;
        FrameDecoder decoder = {};
        size_t size, payload_size;

        size = wire_encode(message, frame);
        if (size == 0)
                return WIRE_OUT_OF_RANGE;

        assert_true(frame_decoder_next(&decoder, &at, &size, &payload, &payload_size));
        assert_int_equal(size, 0);
        return wire_decode(payload, payload_size, sender, ret);
}

static void test_round_trip(void **state) {
        for (unsigned type = 0; type < MESSAGE_TYPE_MAX; type++) {
                Message samples[] = {sample_full((MessageType) type), sample_minimal((MessageType) type)};

                for (size_t i = 0; i < ELEMENTSOF(samples); i++) {
                        Message decoded;

                        memset(&decoded, 0xAA, sizeof(decoded));
                        if (pass(&samples[i], sample_sender((MessageType) type), &decoded) != WIRE_OK)
                                fail_msg("%s %zu", message_type_to_string((MessageType) type), i);
                        assert_memory_equal(&decoded, &samples[i], sizeof(decoded));
                }
        }
}

static void test_wrong_sender(void **state) {
        for (unsigned type = 0; type < MESSAGE_TYPE_MAX; type++) {
                Message message = sample_full((MessageType) type), untouched, decoded;
                WireSender other = sample_sender((MessageType) type) == WIRE_FROM_GUEST ? WIRE_FROM_HOST
                                                                                        : WIRE_FROM_GUEST;

                memset(&decoded, 0xAA, sizeof(decoded));
                memset(&untouched, 0xAA, sizeof(untouched));
                assert_int_equal(pass(&message, other, &decoded), WIRE_WRONG_SENDER);
                assert_memory_equal(&decoded, &untouched, sizeof(decoded));
        }
}

/* Every message, in session 0 and in another. */
static void test_session_rule(void **state) {
        for (unsigned type = 0; type < MESSAGE_TYPE_MAX; type++) {
                Message message = sample_minimal((MessageType) type), decoded;
                WireVerdict without, with;

                message.session = 0;
                without = pass(&message, sample_sender((MessageType) type), &decoded);
                message.session = 1;
                with = pass(&message, sample_sender((MessageType) type), &decoded);

                if (type == MESSAGE_HELLO || type == MESSAGE_WELCOME || type == MESSAGE_PING)
                        assert_int_equal(without, WIRE_OK);
                else
                        assert_int_equal(without, WIRE_OUT_OF_RANGE);
                if (type == MESSAGE_HELLO || type == MESSAGE_WELCOME)
                        assert_int_equal(with, WIRE_OUT_OF_RANGE);
                else
                        assert_int_equal(with, WIRE_OK);
        }
}

static void test_envelope_range(void **state) {
        Message message = sample_full(MESSAGE_PING), decoded;

        message.sequence = 0;
        assert_int_equal(pass(&message, WIRE_FROM_HOST, &decoded), WIRE_OUT_OF_RANGE);
        message.sequence = 1;
        message.monotonic_usec = UINT64_C(1) << 62;
        assert_int_equal(pass(&message, WIRE_FROM_HOST, &decoded), WIRE_OUT_OF_RANGE);
        message.monotonic_usec--;
        assert_int_equal(pass(&message, WIRE_FROM_HOST, &decoded), WIRE_OK);
}

/* A change to a full sample, and whether the result is still allowed. */
typedef struct Change {
        const char *name;
        MessageType type;
        size_t offset;
        uint64_t value;
        bool allowed;
} Change;

#define REPORT(field)  MESSAGE_REPORT, offsetof(Message, report.field)
#define HELLO(field)   MESSAGE_HELLO, offsetof(Message, hello.field)
#define REQUEST(field) MESSAGE_SHRINK_REQUEST, offsetof(Message, shrink_request.field)
#define OFFLINE(field) MESSAGE_OFFLINE_RANGE, offsetof(Message, range.field)
#define ONLINE(field)  MESSAGE_ONLINE_RANGE, offsetof(Message, range.field)
#define TUNING(field)  MESSAGE_TUNING, offsetof(Message, tuning.field)

static const Change changes[] = {
        {"available = total", REPORT(memory_available_bytes), 2048 * MIB, true},
        {"available > total", REPORT(memory_available_bytes), 2048 * MIB + 1, false},
        {"free = total", REPORT(memory_free_bytes), 2048 * MIB, true},
        {"free > total", REPORT(memory_free_bytes), 2048 * MIB + 1, false},
        {"usable = total", REPORT(usable_bytes), 2048 * MIB, true},
        {"usable > total", REPORT(usable_bytes), 2048 * MIB + 1, false},
        {"used = usable", REPORT(used_bytes), 1792 * MIB, true},
        {"used > usable", REPORT(used_bytes), 1792 * MIB + 1, false},
        {"total 0", REPORT(memory_total_bytes), 0, false},
        {"swap free = total", REPORT(swap_free_bytes), GIB, true},
        {"swap free > total", REPORT(swap_free_bytes), GIB + 1, false},
        {"swap total 0, free not", REPORT(swap_total_bytes), 0, false},
        {"full just within some", REPORT(psi_full_usec), 123456789 + USEC_PER_SEC, true},
        {"full beyond some", REPORT(psi_full_usec), 123456789 + USEC_PER_SEC + 1, false},
        {"page 4 KiB", HELLO(page_size_bytes), 4 * KIB, true},
        {"page 1 MiB", HELLO(page_size_bytes), MIB, true},
        {"page 2 KiB", HELLO(page_size_bytes), 2 * KIB, false},
        {"page 2 MiB", HELLO(page_size_bytes), 2 * MIB, false},
        {"page 12 KiB", HELLO(page_size_bytes), 12 * KIB, false},
        {"block 0", HELLO(block_size_bytes), 0, true},
        {"block 16 MiB", HELLO(block_size_bytes), 16 * MIB, true},
        {"block 64 TiB", HELLO(block_size_bytes), 64 * TIB, true},
        {"block 8 MiB", HELLO(block_size_bytes), 8 * MIB, false},
        {"block 48 MiB", HELLO(block_size_bytes), 48 * MIB, false},
        {"unknown capabilities", HELLO(capabilities), UINT64_MAX, true},
        {"major 1", HELLO(major), 1, false},
        {"too many missing", HELLO(n_missing), MESSAGE_MISSING_MAX + 1, false},
        {"remaining = bytes", REQUEST(remaining_bytes), 64 * MIB, true},
        {"remaining < bytes", REQUEST(remaining_bytes), 64 * MIB - 1, false},
        {"odd address", OFFLINE(address), 4 * GIB + MIB, false},
        {"odd bytes", OFFLINE(bytes), 520 * MIB, false},
        {"address 0", OFFLINE(address), 0, true},
        {"last address", ONLINE(address), (UINT64_C(1) << 52) - 64 * TIB + 16 * MIB, false},
        {"interval unchanged", TUNING(report_interval_usec), 0, true},
        {"interval 99 ms", TUNING(report_interval_usec), 99 * USEC_PER_MSEC, false},
        {"interval 10 s", TUNING(report_interval_usec), 10 * USEC_PER_SEC, true},
        {"interval above 10 s", TUNING(report_interval_usec), 10 * USEC_PER_SEC + 1, false},
        {"delay unchanged", TUNING(actuator_delay_usec), 0, true},
        {"delay 999 us", TUNING(actuator_delay_usec), 999, false},
        {"delay 10 s", TUNING(actuator_delay_usec), 10 * USEC_PER_SEC, true},
        {"delay above 10 s", TUNING(actuator_delay_usec), 10 * USEC_PER_SEC + 1, false},
};

static void test_relations(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(changes); i++) {
                const Change *change = &changes[i];
                Message message = sample_full(change->type), decoded;
                size_t width = change->offset == offsetof(Message, hello.major) ? 4 : 8;
                WireVerdict verdict;

                memcpy((char *) &message + change->offset, &change->value, width);
                verdict = pass(&message, sample_sender(change->type), &decoded);
                if (verdict != (change->allowed ? WIRE_OK : WIRE_OUT_OF_RANGE))
                        fail_msg("%s: %s", change->name, wire_verdict_to_string(verdict));
        }
}

/* Without a session the host does not know the guest's clock. */
static void test_ping_deadline(void **state) {
        Message message = sample_full(MESSAGE_PING), decoded;

        message.session = 0;
        assert_int_equal(pass(&message, WIRE_FROM_HOST, &decoded), WIRE_OUT_OF_RANGE);
        message.ping.deadline_usec = 0;
        assert_int_equal(pass(&message, WIRE_FROM_HOST, &decoded), WIRE_OK);
}

/* What is sent is held to the same rules: strings without an end, escapes, words out of range. */
static void test_encode_refuses(void **state) {
        uint8_t frame[FRAME_ENCODED_MAX];
        Message message = sample_full(MESSAGE_HELLO);

        memset(message.hello.agent_version, 'x', sizeof(message.hello.agent_version));
        assert_int_equal(wire_encode(&message, frame), 0);

        message = sample_full(MESSAGE_HELLO);
        strcpy(message.hello.kernel_release, "6.1\033[2J");
        assert_int_equal(wire_encode(&message, frame), 0);

        message = sample_full(MESSAGE_HELLO);
        message.hello.missing[2].facility = FACILITY_MAX;
        assert_int_equal(wire_encode(&message, frame), 0);
        message.hello.missing[2].facility = FACILITY_PSI;
        message.hello.missing[2].error = 4096;
        assert_int_equal(wire_encode(&message, frame), 0);

        message = sample_full(MESSAGE_REPORT);
        message.report.cause = CAUSE_MAX;
        assert_int_equal(wire_encode(&message, frame), 0);
        message.report.cause = CAUSE_NONE;
        message.report.need_bytes = INT64_MIN;
        assert_int_equal(wire_encode(&message, frame), 0);
}

static void test_names(void **state) {
        assert_string_equal(message_type_to_string(MESSAGE_HELLO), "Hello");
        assert_string_equal(message_type_to_string(MESSAGE_PING), "Ping");
        assert_string_equal(message_type_to_string(MESSAGE_TYPE_MAX), "unknown");
        assert_string_equal(message_type_to_string((MessageType) -1), "unknown");
        assert_string_equal(wire_verdict_to_string(WIRE_OUT_OF_RANGE), "out-of-range");
        assert_string_equal(wire_verdict_to_string(WIRE_VERDICT_MAX), "unknown");
        for (unsigned type = 0; type < MESSAGE_TYPE_MAX; type++)
                assert_non_null(message_type_to_string((MessageType) type));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_wrong_sender),
                cmocka_unit_test(test_session_rule),   cmocka_unit_test(test_envelope_range),
                cmocka_unit_test(test_relations),      cmocka_unit_test(test_ping_deadline),
                cmocka_unit_test(test_encode_refuses), cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
