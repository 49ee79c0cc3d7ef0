/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * memtide.proto once more, as data: which field of the generated structs is which field of the value
 * structs, and within what range. wire.c converts in both directions by these tables.
 */

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/message.h"
#include "proto/wire.h"

typedef enum WireKind {
        WIRE_U32,
        WIRE_U64,
        WIRE_S64,  /* -max..max */
        WIRE_BOOL, /* int in protobuf-c, bool in ours */
        WIRE_ENUM,
        WIRE_OPEN_ENUM, /* what a newer minor added reads as 0, the generic value */
        WIRE_STRING,
} WireKind;

typedef struct WireField {
        WireKind kind;
        size_t wire_offset;  /* in the generated struct */
        size_t value_offset; /* in Message */
        uint64_t min, max;
} WireField;

/* Which Envelope.session a message may carry. */
typedef enum WireSession {
        WIRE_SESSION_OPEN,   /* not 0 */
        WIRE_SESSION_NONE,   /* 0: the messages of the handshake */
        WIRE_SESSION_EITHER, /* Ping */
} WireSession;

typedef struct WireShape {
        const ProtobufCMessageDescriptor *descriptor;
        int body_case; /* of the Envelope */
        WireSender sender;
        WireSession session;
        const WireField *fields;
        size_t n_fields;
} WireShape;

const WireShape *wire_shape(MessageType type);

/* The message of this body case, or MESSAGE_TYPE_MAX for a case that this minor does not know. */
MessageType wire_type_of_body(int body_case);
