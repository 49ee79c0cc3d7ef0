/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * COBS(payload + CRC-32C little-endian) 0x00: frames that any reader can find again at the next
 * zero. Pure and incremental: the same frames come out for any split of the bytes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_ENCODED_MAX 4096U /* with the closing zero */
#define FRAME_CRC_SIZE    4U
/* COBS adds one byte per 254 begun, and one zero ends the frame. */
#define FRAME_PAYLOAD_MAX (FRAME_ENCODED_MAX - 1U - (FRAME_ENCODED_MAX / 254U + 1U) - FRAME_CRC_SIZE)

typedef struct FrameCounters {
        uint64_t frames;   /* delivered */
        uint64_t overlong; /* beyond FRAME_ENCODED_MAX, dropped */
        uint64_t garbled;  /* not COBS, too short, or CRC mismatch */
} FrameCounters;

typedef struct FrameDecoder {
        uint8_t buffer[FRAME_ENCODED_MAX];
        size_t fill;
        bool overlong; /* dropping up to the next zero */
        FrameCounters counters;
} FrameDecoder;

/* Forgets a partial frame, keeps the counters. To be called for each new connection. */
void frame_decoder_reset(FrameDecoder *decoder);

/*
 * Consumes bytes from *data until a frame is whole or the bytes are used up; *data and *size are
 * advanced. Bad frames are counted and skipped.
 * Returns true with *ret_payload, *ret_size (borrowed until the next call), or false when more bytes
 * are needed. Empty frames (two zeros in a row) are silently skipped: they are the opening delimiter.
 */
bool frame_decoder_next(FrameDecoder *decoder, const uint8_t **data, size_t *size,
                        const uint8_t **ret_payload, size_t *ret_size);

/*
 * Encodes payload into out[FRAME_ENCODED_MAX], with the closing zero.
 * Returns the encoded size, or 0 if payload is longer than FRAME_PAYLOAD_MAX.
 */
size_t frame_encode(const uint8_t *payload, size_t size, uint8_t out[static FRAME_ENCODED_MAX]);

/* CRC-32C (Castagnoli, RFC 3720 appendix B.4) of data. */
uint32_t frame_crc32c(const uint8_t *data, size_t size);

/* The same on any CPU; for frame_crc32c() and its test. */
uint32_t frame_crc32c_by_table(const uint8_t *data, size_t size);
