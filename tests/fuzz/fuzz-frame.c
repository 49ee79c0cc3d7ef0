/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Framing. The input is a stream: read whole, byte by byte, and in chunks whose sizes are drawn from
 * it, the same frames and counts must come out. Then it is a payload, which must survive a round trip.
 */

#include "fuzz.h"

#include <string.h>

#include "common/macro.h"
#include "proto/frame.h"

typedef struct Outcome {
        FrameCounters counters;
        uint64_t digest;
} Outcome;

static void feed(FrameDecoder *decoder, const uint8_t *data, size_t size, Outcome *outcome) {
        const uint8_t *payload;
        size_t payload_size;

        while (frame_decoder_next(decoder, &data, &size, &payload, &payload_size)) {
                FUZZ_CHECK(payload_size <= FRAME_PAYLOAD_MAX);
                outcome->digest = outcome->digest * UINT64_C(1099511628211) +
                                  frame_crc32c(payload, payload_size) * UINT64_C(4096) + payload_size;
        }

        FUZZ_CHECK(size == 0);
        outcome->counters = decoder->counters;
}

static void check_splits(const uint8_t *data, size_t size) {
        static FrameDecoder whole, bytewise, chunked;
        Outcome a = {}, b = {}, c = {};
        uint32_t random = frame_crc32c(data, size);

        whole = bytewise = chunked = (FrameDecoder){};

        feed(&whole, data, size, &a);
        for (size_t i = 0; i < size; i++)
                feed(&bytewise, data + i, 1, &b);
        for (size_t at = 0, n; at < size; at += n) {
                random = random * 1664525U + 1013904223U;
                n = MIN_OF(size - at, (size_t) (random >> 8) % 67);
                feed(&chunked, data + at, n, &c);
        }

        FUZZ_CHECK(memcmp(&a, &b, sizeof(a)) == 0);
        FUZZ_CHECK(memcmp(&a, &c, sizeof(a)) == 0);
}

static void check_round_trip(const uint8_t *data, size_t size) {
        static uint8_t frame[FRAME_ENCODED_MAX];
        const uint8_t *at = frame, *payload;
        FrameDecoder decoder = {};
        size_t left, payload_size;

        left = frame_encode(data, size, frame);
        FUZZ_CHECK((left == 0) == (size > FRAME_PAYLOAD_MAX));
        if (left == 0)
                return;

        FUZZ_CHECK(memchr(frame, 0, left) == frame + left - 1);
        FUZZ_CHECK(frame_decoder_next(&decoder, &at, &left, &payload, &payload_size));
        FUZZ_CHECK(left == 0 && payload_size == size);
        FUZZ_CHECK(size == 0 || memcmp(payload, data, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        check_splits(data, size);
        check_round_trip(data, size);
        return 0;
}
