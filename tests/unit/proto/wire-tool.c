/* SPDX-License-Identifier: Apache-2.0 */

/*
 * wire-tool print|recode guest|host: the C side's reading of a stream of frames, for tests in other
 * languages.
 *
 * print: one line per frame that the decoder delivers: the verdict, and for an accepted message its
 * fields as name=value with tabs between (a string has no tab); enums as number:word. Last, a line of
 * the decoder's counters. recode: every accepted message, encoded anew.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/vocabulary.h"
#include "proto/wire.h"

#define U(m, member)           printf("\t" #member "=%" PRIu64, (uint64_t) (m)->member)
#define S(m, member)           printf("\t" #member "=%" PRId64, (m)->member)
#define TEXT(m, member)        printf("\t" #member "=%s", (m)->member)
#define WORD(m, member, names) printf("\t" #member "=%u:%s", (unsigned) (m)->member, names((m)->member))

static void print_hello(const MessageHello *m) {
        U(m, major), U(m, minor), TEXT(m, agent_version), TEXT(m, kernel_release);
        printf("\tboot_id=");
        for (size_t i = 0; i < sizeof(m->boot_id); i++)
                printf("%02x", m->boot_id[i]);
        U(m, start_nonce), U(m, handshake_nonce), U(m, page_size_bytes), U(m, block_size_bytes);
        U(m, memory_total_bytes), U(m, capabilities), U(m, plug_budget_bytes), U(m, frames_void);
        printf("\tmissing=");
        for (size_t i = 0; i < m->n_missing; i++)
                printf("%s%u:%s:%u", i > 0 ? "," : "", (unsigned) m->missing[i].facility,
                       facility_to_string(m->missing[i].facility), m->missing[i].error);
}

static void print_report(const MessageReport *m) {
        U(m, memory_total_bytes), U(m, memory_available_bytes), U(m, memory_free_bytes);
        U(m, file_cache_bytes), U(m, swap_total_bytes), U(m, swap_free_bytes), U(m, balloon_bytes);
        U(m, usable_bytes), U(m, used_bytes), U(m, reserve_bytes), U(m, demand_bytes), S(m, need_bytes);
        U(m, floor_bytes), U(m, time_to_exhaustion_usec), U(m, fall_bytes_per_sec);
        WORD(m, urgency, urgency_to_string), WORD(m, cause, cause_to_string), U(m, kernel_zone);
        U(m, psi_some_usec), U(m, psi_full_usec), U(m, oom_kills), U(m, blocks_online);
        U(m, blocks_offline), U(m, plug_budget_bytes), U(m, interval_usec), U(m, frames_dropped),
                U(m, frames_void);
}

static void print_alarm(const MessageAlarm *m) {
        WORD(m, urgency, urgency_to_string), WORD(m, cause, cause_to_string), S(m, need_bytes);
        U(m, usable_bytes), U(m, memory_available_bytes), U(m, time_to_exhaustion_usec);
        U(m, fall_bytes_per_sec), U(m, kernel_zone), U(m, veto_id), U(m, plug_budget_bytes);
}

static void print_shrink_offer(const MessageShrinkOffer *m) {
        U(m, id), U(m, step), U(m, offered_bytes), WORD(m, reason, refusal_reason_to_string);
        U(m, acceptable_bytes), U(m, hold_usec), U(m, reclaimed_bytes);
}

static void print_resize_confirm(const MessageResizeConfirm *m) {
        U(m, id), U(m, step), S(m, delta_bytes), U(m, usable_bytes), U(m, blocks_online);
        U(m, blocks_offline), U(m, latency_usec), U(m, stall_usec);
}

static void print_block_event(const MessageBlockEvent *m) {
        U(m, block), WORD(m, action, block_action_to_string), WORD(m, kind, block_kind_to_string);
        WORD(m, zone, zone_to_string), U(m, bytes), U(m, error), U(m, latency_usec);
}

static void print_command_result(const MessageCommandResult *m) {
        U(m, id), WORD(m, outcome, command_outcome_to_string), WORD(m, reason, refusal_reason_to_string);
        U(m, error), U(m, bytes);
}

static void print_welcome(const MessageWelcome *m) {
        printf("\twelcome.session=%" PRIu32, m->session); /* the Envelope has one, too */
        U(m, minor), U(m, handshake_nonce), TEXT(m, bridge_version), U(m, report_interval_usec);
}

static void print_shrink_request(const MessageShrinkRequest *m) {
        U(m, id), U(m, step), U(m, deadline_usec), U(m, bytes), U(m, remaining_bytes);
        U(m, balloon), U(m, last);
}

static void print_body(const Message *m) {
        switch (m->type) {
        case MESSAGE_HELLO:
                return print_hello(&m->hello);
        case MESSAGE_REPORT:
                return print_report(&m->report);
        case MESSAGE_ALARM:
                return print_alarm(&m->alarm);
        case MESSAGE_SHRINK_OFFER:
                return print_shrink_offer(&m->shrink_offer);
        case MESSAGE_RESIZE_CONFIRM:
                return print_resize_confirm(&m->resize_confirm);
        case MESSAGE_BLOCK_EVENT:
                return print_block_event(&m->block_event);
        case MESSAGE_COMMAND_RESULT:
                return print_command_result(&m->command_result);
        case MESSAGE_WELCOME:
                return print_welcome(&m->welcome);
        case MESSAGE_SHRINK_REQUEST:
                return print_shrink_request(&m->shrink_request);
        case MESSAGE_GROW_NOTICE:
                U(&m->grow_notice, id), U(&m->grow_notice, deadline_usec);
                U(&m->grow_notice, bytes), U(&m->grow_notice, balloon);
                return;
        case MESSAGE_OFFLINE_RANGE:
        case MESSAGE_ONLINE_RANGE:
                U(&m->range, id), U(&m->range, deadline_usec), U(&m->range, address), U(&m->range, bytes);
                return;
        case MESSAGE_TUNING:
                U(&m->tuning, id), U(&m->tuning, deadline_usec);
                U(&m->tuning, report_interval_usec), U(&m->tuning, actuator_delay_usec);
                return;
        case MESSAGE_PING:
                U(&m->ping, id), U(&m->ping, deadline_usec);
                return;
        case MESSAGE_TYPE_MAX:
                return;
        }
}

static void show(const uint8_t *payload, size_t size, WireSender sender, bool recode) {
        uint8_t frame[FRAME_ENCODED_MAX];
        Message message;
        WireVerdict verdict = wire_decode(payload, size, sender, &message);

        if (recode) {
                if (verdict == WIRE_OK)
                        (void) fwrite(frame, 1, wire_encode(&message, frame), stdout);
                return;
        }

        printf("%s", wire_verdict_to_string(verdict));
        if (verdict == WIRE_OK) {
                printf("\ttype=%s", message_type_to_string(message.type));
                U(&message, session), U(&message, sequence), U(&message, monotonic_usec);
                print_body(&message);
        }
        printf("\n");
}

static int run(WireSender sender, bool recode) {
        static FrameDecoder decoder;
        uint8_t buffer[65536];
        ssize_t n;

        while ((n = read(STDIN_FILENO, buffer, sizeof(buffer))) > 0) {
                const uint8_t *at = buffer, *payload;
                size_t left = (size_t) n, size;

                while (frame_decoder_next(&decoder, &at, &left, &payload, &size))
                        show(payload, size, sender, recode);
        }

        if (!recode)
                printf("counters\tframes=%" PRIu64 "\tgarbled=%" PRIu64 "\toverlong=%" PRIu64 "\n",
                       decoder.counters.frames, decoder.counters.garbled, decoder.counters.overlong);
        return n < 0 || fflush(stdout) != 0 ? -errno : 0;
}

int main(int argc, char *argv[]) {
        if (argc != 3 || (strcmp(argv[1], "print") != 0 && strcmp(argv[1], "recode") != 0) ||
            (strcmp(argv[2], "guest") != 0 && strcmp(argv[2], "host") != 0)) {
                fprintf(stderr, "Usage: wire-tool print|recode guest|host\n");
                return 2;
        }

        return run(strcmp(argv[2], "guest") == 0 ? WIRE_FROM_GUEST : WIRE_FROM_HOST,
                   strcmp(argv[1], "recode") == 0) < 0;
}
