/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Validator and decoding. The input is a payload, from either sender. Whatever is accepted must be
 * accepted from one side only, must encode again, and from there on never change: what a Message says
 * is all that it was.
 */

#include "fuzz.h"

#include <string.h>

#include "proto/wire.h"

static WireVerdict decode_frame(const uint8_t *frame, size_t size, WireSender sender, Message *ret) {
        static FrameDecoder decoder;
        const uint8_t *payload;
        size_t payload_size;

        frame_decoder_reset(&decoder);
        FUZZ_CHECK(frame_decoder_next(&decoder, &frame, &size, &payload, &payload_size));
        FUZZ_CHECK(size == 0);
        return wire_decode(payload, payload_size, sender, ret);
}

static void check_accepted(const Message *message, WireSender sender) {
        static uint8_t first[FRAME_ENCODED_MAX], second[FRAME_ENCODED_MAX];
        size_t first_size, second_size;
        Message again;

        FUZZ_CHECK(message->type < MESSAGE_TYPE_MAX);
        FUZZ_CHECK(message->sequence != 0);

        first_size = wire_encode(message, first);
        FUZZ_CHECK(first_size > 0);
        FUZZ_CHECK(decode_frame(first, first_size, sender, &again) == WIRE_OK);
        second_size = wire_encode(&again, second);
        FUZZ_CHECK(first_size == second_size && memcmp(first, second, first_size) == 0);
        FUZZ_CHECK(memcmp(message, &again, sizeof(again)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        WireVerdict verdicts[2];
        Message message, untouched;

        memset(&untouched, 0xA5, sizeof(untouched));
        for (unsigned sender = WIRE_FROM_GUEST; sender <= WIRE_FROM_HOST; sender++) {
                memset(&message, 0xA5, sizeof(message));
                verdicts[sender] = wire_decode(data, size, (WireSender) sender, &message);
                if (verdicts[sender] == WIRE_OK)
                        check_accepted(&message, (WireSender) sender);
                else
                        FUZZ_CHECK(memcmp(&message, &untouched, sizeof(message)) == 0);
        }

        /* What a host claims is read wherever nothing but a value is wrong. */
        memset(&message, 0xA5, sizeof(message));
        FUZZ_CHECK((wire_decode_claim(data, size, WIRE_FROM_HOST, &message) == WIRE_OK) ==
                   (verdicts[1] == WIRE_OK || verdicts[1] == WIRE_OUT_OF_RANGE));

        if (verdicts[0] == WIRE_OK || verdicts[0] == WIRE_OUT_OF_RANGE)
                FUZZ_CHECK(verdicts[1] == WIRE_WRONG_SENDER);
        else if (verdicts[0] != WIRE_WRONG_SENDER)
                FUZZ_CHECK(verdicts[1] == verdicts[0]);
        return 0;
}
