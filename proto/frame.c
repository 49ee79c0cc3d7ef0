/* SPDX-License-Identifier: Apache-2.0 */

/*
 * COBS framing with CRC-32C.
 *
 * The decoder's state is a plain prefix of the frame that is arriving: bytes are only gathered until
 * the closing zero, and judged there, in one place. That makes "the same frames for any split" true
 * by construction, and the longest work per byte is one copy. Decoding COBS byte by byte as it
 * arrives would need less buffer, but three more state variables, each a chance to differ by split.
 *
 * Rejected: a length prefix. One flipped bit in a length desynchronises both sides until somebody
 * notices, and a length is a number that a hostile peer chooses.
 */

#include "proto/frame.h"

#include <assert.h>
#include <string.h>

#include "common/macro.h"

#define COBS_BLOCK_MAX 0xFFU /* this code is followed by 254 bytes, and no zero is implied */

void frame_decoder_reset(FrameDecoder *decoder) {
        assert(decoder);

        decoder->fill = 0;
        decoder->overlong = false;
}

/* COBS-decodes in place: the output never overtakes the input. Returns false if a code leads beyond the end. */
static bool cobs_decode(uint8_t *bytes, size_t size, size_t *ret_size) {
        size_t in = 0, out = 0;

        while (in < size) {
                uint8_t code = bytes[in++];

                /* A zero can not be here: it would have closed the frame. */
                if ((size_t) code - 1 > size - in)
                        return false;
                memmove(bytes + out, bytes + in, code - 1U);
                in += code - 1U;
                out += code - 1U;
                if (code != COBS_BLOCK_MAX && in < size)
                        bytes[out++] = 0;
        }

        *ret_size = out;
        return true;
}

/* A run without zeroes at a time, in blocks. */
static size_t cobs_encode(const uint8_t *bytes, size_t size, uint8_t *out) {
        size_t at = 0;

        for (;;) {
                const uint8_t *zero = size > 0 ? memchr(bytes, 0, size) : NULL;
                size_t run = zero ? (size_t) (zero - bytes) : size;

                for (; run >= COBS_BLOCK_MAX - 1; run -= COBS_BLOCK_MAX - 1) {
                        out[at++] = COBS_BLOCK_MAX;
                        memcpy(out + at, bytes, COBS_BLOCK_MAX - 1);
                        at += COBS_BLOCK_MAX - 1;
                        bytes += COBS_BLOCK_MAX - 1;
                        size -= COBS_BLOCK_MAX - 1;
                        /* A full block at the very end implies no zero, so nothing needs to follow it. */
                        if (size == 0)
                                return at;
                }
                out[at++] = (uint8_t) (run + 1);
                memcpy(out + at, bytes, run);
                at += run;
                if (!zero)
                        return at;
                bytes += run + 1;
                size -= run + 1;
        }
}

static uint32_t read_le32(const uint8_t *bytes) {
        return (uint32_t) bytes[0] | (uint32_t) bytes[1] << 8 | (uint32_t) bytes[2] << 16 |
               (uint32_t) bytes[3] << 24;
}

static void write_le32(uint8_t *bytes, uint32_t value) {
        for (unsigned i = 0; i < 4; i++)
                bytes[i] = (uint8_t) (value >> (8 * i));
}

/* Judges the gathered bytes of one frame, decoded in place. Returns true if it is to be delivered. */
static bool frame_close(FrameDecoder *decoder, size_t *ret_size) {
        size_t size;

        if (!cobs_decode(decoder->buffer, decoder->fill, &size) || size < FRAME_CRC_SIZE ||
            frame_crc32c(decoder->buffer, size - FRAME_CRC_SIZE) !=
                    read_le32(decoder->buffer + size - FRAME_CRC_SIZE)) {
                decoder->counters.garbled++;
                return false;
        }

        decoder->counters.frames++;
        *ret_size = size - FRAME_CRC_SIZE;
        return true;
}

/* Keeps bytes of a frame that is not closed yet. What can not become a frame any more is not kept. */
static void frame_gather(FrameDecoder *decoder, const uint8_t *bytes, size_t size) {
        if (decoder->overlong || size == 0)
                return;

        if (size > FRAME_ENCODED_MAX - 1 - decoder->fill) {
                decoder->overlong = true;
                decoder->counters.overlong++;
                return;
        }

        memcpy(decoder->buffer + decoder->fill, bytes, size);
        decoder->fill += size;
}

bool frame_decoder_next(FrameDecoder *decoder, const uint8_t **data, size_t *size,
                        const uint8_t **ret_payload, size_t *ret_size) {
        assert(decoder && data && size && ret_payload && ret_size);

        while (*size > 0) {
                const uint8_t *zero = memchr(*data, 0, *size);
                size_t gathered = zero ? (size_t) (zero - *data) : *size, payload_size = 0;
                bool deliver;

                frame_gather(decoder, *data, gathered);
                *data += gathered;
                *size -= gathered;
                if (!zero)
                        return false;

                (*data)++;
                (*size)--;
                deliver = !decoder->overlong && decoder->fill > 0 && frame_close(decoder, &payload_size);
                frame_decoder_reset(decoder);
                if (deliver) {
                        *ret_payload = decoder->buffer;
                        *ret_size = payload_size;
                        return true;
                }
        }

        return false;
}

size_t frame_encode(const uint8_t *payload, size_t size, uint8_t out[static FRAME_ENCODED_MAX]) {
        uint8_t plain[FRAME_PAYLOAD_MAX + FRAME_CRC_SIZE];
        size_t encoded;

        assert(payload || size == 0);
        assert(out);

        if (size > FRAME_PAYLOAD_MAX)
                return 0;

        if (size > 0)
                memcpy(plain, payload, size);
        write_le32(plain + size, frame_crc32c(payload, size));
        encoded = cobs_encode(plain, size + FRAME_CRC_SIZE, out);
        out[encoded++] = 0;
        return encoded;
}
