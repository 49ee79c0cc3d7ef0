/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Framing: vectors of RFC 3720 and of the COBS paper, the sizes around each limit, every truncation
 * and every single-bit error of a frame, and the same outcome for any split of a stream.
 */

#include "proto/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/macro.h"

/* What a stream decoded to, in a form that two decodings can be compared in. */
typedef struct Outcome {
        uint32_t digest; /* over sizes and payloads in order */
        size_t n_frames, last_size;
        FrameCounters counters;
} Outcome;

typedef struct Feed {
        FrameDecoder decoder;
        Outcome outcome;
} Feed;

static uint32_t next_random(uint32_t *state) {
        *state = *state * 1664525U + 1013904223U;
        return *state >> 8;
}

static void feed(Feed *f, const uint8_t *data, size_t size) {
        const uint8_t *payload;
        size_t payload_size;

        while (frame_decoder_next(&f->decoder, &data, &size, &payload, &payload_size)) {
                f->outcome.digest = (f->outcome.digest ^ frame_crc32c(payload, payload_size)) * 16777619U +
                                    (uint32_t) payload_size;
                f->outcome.n_frames++;
                f->outcome.last_size = payload_size;
        }

        assert_int_equal(size, 0);
        f->outcome.counters = f->decoder.counters;
}

static Outcome decode_whole(const uint8_t *data, size_t size) {
        Feed f = {};

        feed(&f, data, size);
        return f.outcome;
}

static void assert_outcome_equal(const Outcome *a, const Outcome *b) {
        assert_int_equal(a->digest, b->digest);
        assert_int_equal(a->n_frames, b->n_frames);
        assert_memory_equal(&a->counters, &b->counters, sizeof(a->counters));
}

static void test_crc_vectors(void **state) {
        static const uint8_t read_pdu[48] = {
                0x01, 0xC0, [16] = 0x14, [22] = 0x04, [27] = 0x14, [31] = 0x18, [32] = 0x28, [40] = 0x02,
        };
        uint8_t ramp[32], fall[32], zeros[32] = {}, ones[32];

        for (unsigned i = 0; i < 32; i++) {
                ramp[i] = (uint8_t) i;
                fall[i] = (uint8_t) (31 - i);
                ones[i] = 0xFF;
        }

        /* RFC 3720 B.4 prints the bytes as they go over the wire, least significant first. */
        assert_int_equal(frame_crc32c(zeros, 32), 0x8A9136AAU);
        assert_int_equal(frame_crc32c(ones, 32), 0x62A8AB43U);
        assert_int_equal(frame_crc32c(ramp, 32), 0x46DD794EU);
        assert_int_equal(frame_crc32c(fall, 32), 0x113FDB5CU);
        assert_int_equal(frame_crc32c(read_pdu, 48), 0xD9963A56U);
        assert_int_equal(frame_crc32c((const uint8_t *) "123456789", 9), 0xE3069283U);
        assert_int_equal(frame_crc32c(NULL, 0), 0);
}

/* Each entry of the table, from the polynomial. */
static void test_crc_table(void **state) {
        for (unsigned n = 0; n < 256; n++) {
                uint32_t crc = UINT32_MAX ^ n;
                uint8_t byte = (uint8_t) n;

                for (unsigned bit = 0; bit < 8; bit++)
                        crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78U : 0);
                assert_int_equal(frame_crc32c_by_table(&byte, 1), (uint32_t) ~crc);
        }
}

/* The instruction, where this machine has it, against the table: any length, from any address. */
static void test_crc_ways(void **state) {
        uint8_t bytes[80];

        for (size_t i = 0; i < sizeof(bytes); i++)
                bytes[i] = (uint8_t) (i * 151 + 7);
        for (size_t at = 0; at < 16; at++)
                for (size_t size = 0; size <= sizeof(bytes) - at; size++)
                        assert_int_equal(frame_crc32c(bytes + at, size),
                                         frame_crc32c_by_table(bytes + at, size));
}

static void test_known_frames(void **state) {
        /* The CRC of nothing is 0: four zeros, hence five empty blocks. */
        static const uint8_t empty[] = {1, 1, 1, 1, 1, 0};
        /* CRC-32C of "123456789" is E3069283, least significant byte first. */
        static const uint8_t digits[] = {14,  '1', '2',  '3',  '4',  '5',  '6', '7',
                                         '8', '9', 0x83, 0x92, 0x06, 0xE3, 0};
        uint8_t out[FRAME_ENCODED_MAX];

        assert_int_equal(frame_encode(NULL, 0, out), sizeof(empty));
        assert_memory_equal(out, empty, sizeof(empty));
        assert_int_equal(frame_encode((const uint8_t *) "123456789", 9, out), sizeof(digits));
        assert_memory_equal(out, digits, sizeof(digits));
}

typedef enum Pattern {
        PATTERN_ZEROS, /* the most COBS blocks */
        PATTERN_ONES,  /* the fewest */
        PATTERN_RANDOM,
        PATTERN_FULL_BLOCKS, /* a zero after each 254 bytes */
        PATTERN_MAX,
} Pattern;

static uint8_t pattern_byte(Pattern pattern, size_t i, uint32_t *random) {
        switch (pattern) {
        case PATTERN_ZEROS:
                return 0;
        case PATTERN_ONES:
                return 0xFF;
        case PATTERN_RANDOM:
                return (uint8_t) next_random(random);
        case PATTERN_FULL_BLOCKS:
                return i % 255 != 254;
        case PATTERN_MAX:
                break;
        }

        fail();
        return 0;
}

static void test_round_trip_sizes(void **state) {
        uint8_t payload[FRAME_PAYLOAD_MAX], frame[FRAME_ENCODED_MAX];
        uint32_t random = 1;

        for (unsigned pattern = 0; pattern < PATTERN_MAX; pattern++)
                for (size_t size = 0; size <= sizeof(payload); size += size < 1100 || size > 3900 ? 1 : 97) {
                        const uint8_t *at = frame, *ret_payload;
                        FrameDecoder decoder = {};
                        size_t left, ret_size;

                        for (size_t i = 0; i < size; i++)
                                payload[i] = pattern_byte((Pattern) pattern, i, &random);

                        left = frame_encode(payload, size, frame);
                        assert_in_range(left, size + FRAME_CRC_SIZE + 2, FRAME_ENCODED_MAX);
                        assert_int_equal(strnlen((const char *) frame, left), left - 1);

                        assert_true(frame_decoder_next(&decoder, &at, &left, &ret_payload, &ret_size));
                        assert_int_equal(left, 0);
                        assert_int_equal(ret_size, size);
                        assert_memory_equal(ret_payload, payload, size);
                }
}

static void test_limits(void **state) {
        uint8_t payload[FRAME_PAYLOAD_MAX + 1], frame[FRAME_ENCODED_MAX], stream[3 * FRAME_ENCODED_MAX];
        size_t size, n = 0;
        Outcome outcome;

        memset(payload, 0x55, sizeof(payload));
        assert_int_equal(frame_encode(payload, sizeof(payload), frame), 0);
        assert_int_equal(frame_encode(payload, sizeof(payload) - 1, frame), FRAME_ENCODED_MAX);

        /* One byte beyond: dropped and counted once, and the frame behind it is found. */
        memset(stream, 0x55, FRAME_ENCODED_MAX);
        stream[FRAME_ENCODED_MAX] = 0;
        n = FRAME_ENCODED_MAX + 1;
        size = frame_encode(payload, 3, stream + n);
        outcome = decode_whole(stream, n + size);
        assert_int_equal(outcome.n_frames, 1);
        assert_int_equal(outcome.last_size, 3);
        assert_int_equal(outcome.counters.overlong, 1);
        assert_int_equal(outcome.counters.garbled, 0);

        /* Exactly full, and not a frame: garbled, not overlong. */
        stream[FRAME_ENCODED_MAX - 1] = 0;
        outcome = decode_whole(stream, FRAME_ENCODED_MAX);
        assert_int_equal(outcome.counters.overlong, 0);
        assert_int_equal(outcome.counters.garbled, 1);
}

typedef struct StreamCase {
        const char *name;
        const char *bytes;
        size_t size;
        uint64_t frames, garbled;
} StreamCase;

#define BYTES(literal) literal, sizeof(literal) - 1
#define DIGITS                                                                                               \
        "\x0E"                                                                                               \
        "123456789\x83\x92\x06\xE3\0"

static void test_streams(void **state) {
        static const StreamCase cases[] = {
                {"nothing", BYTES(""), 0, 0},
                {"lone zeros are openings", BYTES("\0\0\0"), 0, 0},
                {"a frame", BYTES(DIGITS), 1, 0},
                {"opening and frame", BYTES("\0" DIGITS), 1, 0},
                {"two glued", BYTES(DIGITS DIGITS), 2, 0},
                {"no closing zero",
                 BYTES("\x0E"
                       "123456789\x83\x92\x06\xE3"),
                 0, 0},
                {"frame after garbage", BYTES("what is this?\0" DIGITS), 1, 1},
                {"garbage joins the frame without a zero", BYTES("garbage" DIGITS DIGITS), 1, 1},
                {"frame within a frame",
                 BYTES("\x0E"
                       "1234" DIGITS "56789\x83\x92\x06\xE3\0"),
                 0, 2},
                {"shorter than its CRC",
                 BYTES("\x04"
                       "abc\0"),
                 0, 1},
                {"one empty block", BYTES("\x01\0"), 0, 1},
                {"code leads beyond the end",
                 BYTES("\xFF"
                       "abcdef\0"),
                 0, 1},
                {"wrong CRC",
                 BYTES("\x0E"
                       "123456780\x83\x92\x06\xE3\0"),
                 0, 1},
                {"CRC in the wrong order",
                 BYTES("\x0E"
                       "123456789\xE3\x06\x92\x83\0"),
                 0, 1},
                {"the empty payload", BYTES("\x01\x01\x01\x01\x01\0"), 1, 0},
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Outcome outcome = decode_whole((const uint8_t *) cases[i].bytes, cases[i].size);

                if (outcome.counters.frames != cases[i].frames ||
                    outcome.counters.garbled != cases[i].garbled)
                        fail_msg("%s: %zu frames, %zu garbled", cases[i].name, outcome.n_frames,
                                 (size_t) outcome.counters.garbled);
                assert_int_equal(outcome.n_frames, cases[i].frames);
                assert_int_equal(outcome.counters.overlong, 0);
        }
}

/* A frame cut anywhere, or with any one bit turned, is never delivered; the next one always is. */
static void test_damage(void **state) {
        uint8_t stream[FRAME_ENCODED_MAX], good[] = {0, 8, 15, 0x80, 0, 0, 42, 255, 0};
        size_t size = frame_encode(good, sizeof(good), stream);

        for (size_t cut = 0; cut < size - 1; cut++) {
                Feed f = {};

                feed(&f, stream, cut);
                feed(&f, (const uint8_t *) "", 1);
                assert_int_equal(f.outcome.n_frames, 0);
                feed(&f, stream, size);
                assert_int_equal(f.outcome.n_frames, 1);
        }

        for (size_t bit = 0; bit < 8 * (size - 1); bit++) {
                Outcome outcome;
                uint8_t damaged[64], original;

                original = stream[bit / 8];
                stream[bit / 8] ^= (uint8_t) (1U << bit % 8);
                memcpy(damaged, stream, size);
                stream[bit / 8] = original;
                memcpy(damaged + size, stream, size);

                outcome = decode_whole(damaged, 2 * size);
                assert_int_equal(outcome.n_frames, 1);
                assert_true(outcome.counters.garbled >= 1);
        }
}

/* Good frames, garbage, an overlong run and a cut frame, in about 10 KB. */
static size_t build_mixed_stream(uint8_t *stream) {
        uint8_t payload[FRAME_PAYLOAD_MAX];
        uint32_t random = 7;
        size_t n = 0;

        for (unsigned round = 0; round < 12; round++) {
                size_t size = round == 5 ? FRAME_PAYLOAD_MAX : next_random(&random) % 300;

                for (size_t i = 0; i < size; i++)
                        payload[i] = (uint8_t) (next_random(&random) % 5 ? next_random(&random) : 0);
                n += frame_encode(payload, size, stream + n);
                if (round == 3)
                        n -= 2;
                if (round == 7)
                        stream[n - 5] ^= 4;
                if (round == 9) {
                        memset(stream + n, 'x', FRAME_ENCODED_MAX + 9);
                        n += FRAME_ENCODED_MAX + 9;
                        stream[n++] = 0;
                }
        }

        return n;
}

static void test_any_split(void **state) {
        static uint8_t stream[8 * FRAME_ENCODED_MAX];
        size_t size = build_mixed_stream(stream);
        Outcome whole = decode_whole(stream, size);
        uint32_t random = 99;
        Feed bytewise = {};

        assert_int_equal(whole.n_frames, 9);
        assert_int_equal(whole.counters.overlong, 1);
        assert_int_equal(whole.counters.garbled, 2);

        for (size_t i = 0; i < size; i++)
                feed(&bytewise, stream + i, 1);
        assert_outcome_equal(&bytewise.outcome, &whole);

        for (size_t at = 0; at <= size; at++) {
                Feed f = {};

                feed(&f, stream, at);
                feed(&f, stream + at, size - at);
                assert_outcome_equal(&f.outcome, &whole);
        }

        for (unsigned round = 0; round < 300; round++) {
                Feed f = {};

                for (size_t at = 0, chunk; at < size; at += chunk) {
                        chunk = MIN_OF(size - at, (size_t) next_random(&random) % (round % 2 ? 9 : 5000));
                        feed(&f, stream + at, chunk);
                }
                assert_outcome_equal(&f.outcome, &whole);
        }
}

static void test_reset(void **state) {
        static const uint8_t frame[] = DIGITS;
        uint8_t run[FRAME_ENCODED_MAX + 1];
        Feed f = {};

        /* Half a frame from the connection before must not spoil the first of this one. */
        feed(&f, frame, 6);
        frame_decoder_reset(&f.decoder);
        feed(&f, frame, sizeof(frame) - 1);
        assert_int_equal(f.outcome.counters.frames, 1);

        memset(run, 'x', sizeof(run));
        feed(&f, run, sizeof(run));
        frame_decoder_reset(&f.decoder);
        feed(&f, frame, sizeof(frame) - 1);
        assert_int_equal(f.outcome.counters.frames, 2);
        assert_int_equal(f.outcome.counters.overlong, 1);
        assert_int_equal(f.outcome.counters.garbled, 0);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_crc_vectors),      cmocka_unit_test(test_crc_table),
                cmocka_unit_test(test_crc_ways),         cmocka_unit_test(test_known_frames),
                cmocka_unit_test(test_round_trip_sizes), cmocka_unit_test(test_limits),
                cmocka_unit_test(test_streams),          cmocka_unit_test(test_damage),
                cmocka_unit_test(test_any_split),        cmocka_unit_test(test_reset),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
