/* SPDX-License-Identifier: Apache-2.0 */

/* Whatever the kernel and the estimator say, the wire takes the message that is made of it. */

#include "agent/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/macro.h"
#include "common/units.h"
#include "proto/wire.h"

#define HUGE UINT64_MAX

static const struct {
        const char *name;
        Snapshot snapshot;
        Demand demand;
        uint64_t interval_usec;
} inputs[] = {
        {"nothing", {}, {}, 0},
        {"ordinary",
         {.total_bytes = GIB, .available_bytes = 512 * MIB, .free_bytes = 256 * MIB},
         {.urgency = URGENCY_HIGH, .cause = CAUSE_LEVEL, .need_bytes = -5, .demand_bytes = GIB},
         USEC_PER_SEC},
        {"contradictory",
         {.total_bytes = GIB,
          .available_bytes = 2 * GIB,
          .free_bytes = 3 * GIB,
          .swap_free_bytes = 7,
          .psi_full_usec = 1ULL << 40},
         {.need_bytes = 1},
         USEC_PER_SEC},
        {"balloon larger than all",
         {.total_bytes = GIB, .balloon_bytes = 2 * GIB, .balloon_in_total = true},
         {},
         1},
        {"huge",
         {.now_usec = HUGE / 4,
          .total_bytes = HUGE,
          .available_bytes = HUGE,
          .free_bytes = HUGE,
          .active_file_bytes = HUGE,
          .inactive_file_bytes = HUGE,
          .swap_total_bytes = HUGE,
          .swap_free_bytes = HUGE,
          .balloon_bytes = HUGE,
          .psi_some_usec = HUGE,
          .psi_full_usec = HUGE},
         {.urgency = URGENCY_CRITICAL,
          .cause = CAUSE_OOM,
          .reserve_bytes = HUGE,
          .demand_bytes = HUGE,
          .need_bytes = INT64_MAX,
          .floor_bytes = HUGE,
          .time_to_exhaustion_usec = HUGE,
          .fall_bytes_per_sec = HUGE},
         HUGE},
        {"most negative", {.total_bytes = GIB}, {.need_bytes = INT64_MIN}, USEC_PER_SEC},
};

/* Encodes, decodes, and compares: what came out is what went in. */
static void assert_travels(const char *name, Message *message) {
        uint8_t frame[FRAME_ENCODED_MAX];
        const uint8_t *data = frame, *payload;
        FrameDecoder decoder = {};
        size_t size, payload_size;
        Message back;

        message->session = message->type == MESSAGE_HELLO ? 0 : 1;
        message->sequence = 1;
        size = wire_encode(message, frame);
        if (size == 0)
                fail_msg("%s: a %s does not encode", name, message_type_to_string(message->type));
        assert_true(frame_decoder_next(&decoder, &data, &size, &payload, &payload_size));
        if (wire_decode(payload, payload_size, WIRE_FROM_GUEST, &back) != WIRE_OK)
                fail_msg("%s: a %s is refused", name, message_type_to_string(message->type));
        assert_int_equal(back.type, message->type);
}

static void test_always_travels(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(inputs); i++) {
                ReportInput input = {
                        .snapshot = &inputs[i].snapshot,
                        .demand = &inputs[i].demand,
                        .interval_usec = inputs[i].interval_usec,
                        .plug_budget_bytes = HUGE,
                };
                Message report = report_make(&input), alarm = report_alarm(&input, 0),
                        veto = report_alarm(&input, 9);

                assert_travels(inputs[i].name, &report);
                assert_travels(inputs[i].name, &alarm);
                assert_travels(inputs[i].name, &veto);
        }
}

static void test_figures(void **state) {
        Snapshot s = {.now_usec = 77,
                      .has = SNAPSHOT_HAS_MEMINFO,
                      .total_bytes = GIB,
                      .available_bytes = 300 * MIB,
                      .free_bytes = 100 * MIB,
                      .active_file_bytes = 3 * MIB,
                      .inactive_file_bytes = 4 * MIB,
                      .balloon_bytes = 64 * MIB,
                      .balloon_in_total = true,
                      .psi_some_usec = 5,
                      .oom_kill = 2};
        Demand d = {.urgency = URGENCY_LOW,
                    .cause = CAUSE_DEMAND,
                    .need_bytes = -3,
                    .time_to_exhaustion_usec = 9};
        ReportInput input = {.snapshot = &s,
                             .demand = &d,
                             .blocks_online = 8,
                             .blocks_offline = 1,
                             .interval_usec = USEC_PER_SEC,
                             .frames_dropped = 4};
        Message message = report_make(&input);

        assert_int_equal(message.monotonic_usec, 77);
        assert_int_equal(message.report.usable_bytes, GIB - 64 * MIB);
        assert_int_equal(message.report.used_bytes, GIB - 64 * MIB - 300 * MIB);
        assert_int_equal(message.report.file_cache_bytes, 7 * MIB);
        assert_int_equal(message.report.need_bytes, -3);
        assert_int_equal(message.report.urgency, URGENCY_LOW);
        assert_int_equal(message.report.oom_kills, 2);
        assert_int_equal(message.report.blocks_online, 8);
        assert_int_equal(message.report.frames_dropped, 4);

        message = report_alarm(&input, 12);
        assert_int_equal(message.alarm.veto_id, 12);
        assert_int_equal(message.alarm.cause, CAUSE_VETO);
        assert_int_equal(message.alarm.urgency, URGENCY_HIGH);
        message = report_alarm(&input, 0);
        assert_int_equal(message.alarm.cause, CAUSE_DEMAND);
        assert_int_equal(message.alarm.urgency, URGENCY_LOW);
}

static void test_hello(void **state) {
        Identity identity = {.page_size_bytes = 4096, .kernel_release = "6.1.0"};
        Snapshot snapshot = {.total_bytes = GIB};
        Message message = {.type = MESSAGE_HELLO, .hello = {.start_nonce = 1, .handshake_nonce = 2}};

        assert_true(identity_miss(&identity, FACILITY_PSI, 95));
        assert_false(identity_miss(&identity, FACILITY_PSI, 2)); /* once, with the first reason */
        for (unsigned i = 0; i < 2 * MESSAGE_MISSING_MAX; i++)
                (void) identity_miss(&identity, (Facility) (i % FACILITY_MAX), -1);
        report_hello(&identity, &snapshot, CAPABILITY_SWAP, 128 * MIB, &message.hello);
        assert_travels("hello", &message);
        assert_int_equal(message.hello.missing[0].error, 95);
        assert_int_equal(message.hello.block_size_bytes, 128 * MIB);
        assert_int_equal(message.hello.plug_budget_bytes, demand_plug_budget_bytes(&snapshot));
        assert_string_equal(message.hello.agent_version, MEMTIDE_VERSION);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_always_travels),
                cmocka_unit_test(test_figures),
                cmocka_unit_test(test_hello),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
