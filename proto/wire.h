/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Bytes to validated values and back: the only place that sees protobuf. A strict check of the
 * encoding runs before protobuf-c, protobuf-c works in a bounded arena, and every value is held to
 * its range before a caller sees it. Nothing here touches the heap.
 */

#include <stddef.h>
#include <stdint.h>

#include "proto/frame.h"
#include "proto/message.h"

typedef enum WireSender {
        WIRE_FROM_GUEST,
        WIRE_FROM_HOST,
} WireSender;

/* Why a payload was refused. 0 is success. */
typedef enum WireVerdict {
        WIRE_OK,
        WIRE_MALFORMED,    /* not protobuf as memtide writes it: wire types, lengths, repeats, depth */
        WIRE_UNKNOWN,      /* a well-formed Envelope whose body this minor does not know */
        WIRE_WRONG_SENDER, /* a host message from a guest, or the reverse */
        WIRE_OUT_OF_RANGE, /* a value beyond what memtide.proto allows */
        WIRE_VERDICT_MAX,
} WireVerdict;

const char *wire_verdict_to_string(WireVerdict verdict);

/*
 * Decodes a frame's payload that is expected from sender.
 * Returns WIRE_OK with *ret filled whole (unused union bytes are zero), else the reason with *ret untouched.
 */
WireVerdict wire_decode(const uint8_t *payload, size_t size, WireSender sender, Message *ret);

/*
 * Reads a payload as its sender claims it, without one value being held to its range: to say no to it by its name and
 * id, and for nothing else. Returns WIRE_OK for what wire_decode() finds WIRE_OUT_OF_RANGE too, else as it does.
 */
WireVerdict wire_decode_claim(const uint8_t *payload, size_t size, WireSender sender, Message *ret);

/*
 * Encodes message into a whole frame. Asserts on a message type out of range; every message that
 * wire_decode() would accept fits.
 * Returns the frame's size, or 0 if a value is out of range.
 */
size_t wire_encode(const Message *message, uint8_t out[static FRAME_ENCODED_MAX]);
