/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One pass over the bytes of a payload, driven by the descriptors that protoc-c generates, so that
 * memtide.proto stays the only statement of the schema.
 *
 * Why not leave it to protobuf-c 1.4.1: it takes 44 bytes of heap for each hostile byte, recurses as
 * deep as the input says, cuts 64-bit varints to 32 bits in silence, lets the last of 500 duplicates
 * win, and shifts into the sign bit on a tag of five bytes (protobuf-c#506). What passes here does
 * none of that: it has one reading, and protobuf-c's cost for it is bounded.
 *
 * Stricter than protobuf on purpose: varints and tags in their shortest form, tags of at most four
 * bytes (field numbers below 2^25), no group, no field twice, strings of printable ASCII alone. Every
 * encoder that we know writes so.
 */

#include "proto/wire-validate.h"

#include <assert.h>

#include "common/macro.h"

#define VARINT_SIZE_MAX 10U
#define TAG_SIZE_MAX    4U
#define FIELDS_MAX      64U /* of one message in the schema */

/* The bytes that are left of one message. */
typedef struct Span {
        const uint8_t *at;
        size_t left;
} Span;

/* What has been seen of one message. */
typedef struct Tally {
        uint8_t counts[FIELDS_MAX]; /* by index of the field in its descriptor */
        bool oneof;
} Tally;

/* Unknown fields are counted over the whole payload: each costs protobuf-c an allocation. */
typedef struct Budget {
        unsigned depth;
        unsigned unknown;
} Budget;

static bool take_varint(Span *span, unsigned size_max, uint64_t *ret) {
        uint64_t value = 0;

        for (unsigned i = 0; i < size_max && i < span->left; i++) {
                uint8_t byte = span->at[i];

                value |= (uint64_t) (byte & 0x7F) << (7 * i);
                if (byte & 0x80)
                        continue;
                if (byte == 0 && i > 0)
                        return false; /* not the shortest form */
                if (i == VARINT_SIZE_MAX - 1 && byte > 1)
                        return false; /* more than 64 bits */

                span->at += i + 1;
                span->left -= i + 1;
                *ret = value;
                return true;
        }

        return false;
}

static bool take_span(Span *span, uint64_t size, Span *ret) {
        if (size > span->left)
                return false;

        *ret = (Span){.at = span->at, .left = (size_t) size};
        span->at += size;
        span->left -= size;
        return true;
}

static bool take_length_prefixed(Span *span, Span *ret) {
        uint64_t size;

        return take_varint(span, VARINT_SIZE_MAX, &size) && take_span(span, size, ret);
}

/* Zero is no field number. */
static bool take_tag(Span *span, uint32_t *ret_number, ProtobufCWireType *ret_type) {
        uint64_t tag;

        if (!take_varint(span, TAG_SIZE_MAX, &tag) || tag >> 3 == 0)
                return false;

        *ret_number = (uint32_t) (tag >> 3);
        *ret_type = (ProtobufCWireType) (tag & 7);
        return true;
}

static bool skip_unknown(Span *span, ProtobufCWireType type) {
        uint64_t value;
        Span bytes;

        switch (type) {
        case PROTOBUF_C_WIRE_TYPE_VARINT:
                return take_varint(span, VARINT_SIZE_MAX, &value);
        case PROTOBUF_C_WIRE_TYPE_64BIT:
                return take_span(span, 8, &bytes);
        case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
                return take_length_prefixed(span, &bytes);
        case PROTOBUF_C_WIRE_TYPE_32BIT:
                return take_span(span, 4, &bytes);
        }

        return false; /* 3 and 4, the groups, are void; 6 and 7 never were */
}

/* The largest varint that survives its C type; 0 for a type that is no varint. */
static uint64_t varint_max(ProtobufCType type) {
        switch (type) {
        case PROTOBUF_C_TYPE_BOOL:
                return 1;
        case PROTOBUF_C_TYPE_ENUM:
                return INT32_MAX; /* memtide.proto has no negative enum value */
        case PROTOBUF_C_TYPE_UINT32:
        case PROTOBUF_C_TYPE_SINT32:
                return UINT32_MAX;
        case PROTOBUF_C_TYPE_UINT64:
        case PROTOBUF_C_TYPE_SINT64:
        case PROTOBUF_C_TYPE_INT64:
                return UINT64_MAX;
        case PROTOBUF_C_TYPE_INT32: /* negative ones are sign-extended; not used, hence refused */
        case PROTOBUF_C_TYPE_FIXED32:
        case PROTOBUF_C_TYPE_SFIXED32:
        case PROTOBUF_C_TYPE_FLOAT:
        case PROTOBUF_C_TYPE_FIXED64:
        case PROTOBUF_C_TYPE_SFIXED64:
        case PROTOBUF_C_TYPE_DOUBLE:
        case PROTOBUF_C_TYPE_STRING:
        case PROTOBUF_C_TYPE_BYTES:
        case PROTOBUF_C_TYPE_MESSAGE:
                return 0;
        }

        return 0;
}

static bool is_printable(Span text) {
        for (size_t i = 0; i < text.left; i++)
                if (text.at[i] < 0x20 || text.at[i] > 0x7E)
                        return false;
        return true;
}

static bool validate_message(const ProtobufCMessageDescriptor *descriptor, Span span, Budget *budget);

static bool validate_submessage(const ProtobufCFieldDescriptor *field, Span span, Budget *budget) {
        bool valid;

        if (budget->depth == WIRE_DEPTH_MAX)
                return false;

        budget->depth++;
        valid = validate_message(field->descriptor, span, budget);
        budget->depth--;
        return valid;
}

static bool validate_length_prefixed(const ProtobufCFieldDescriptor *field, Span *span, Budget *budget) {
        Span inner;

        if (!take_length_prefixed(span, &inner))
                return false;

        if (field->type == PROTOBUF_C_TYPE_MESSAGE)
                return validate_submessage(field, inner, budget);
        if (field->type == PROTOBUF_C_TYPE_STRING)
                return inner.left <= WIRE_LENGTH_MAX && is_printable(inner);
        /* Else bytes, or packed scalars, which are refused: the schema has none. */
        return field->type == PROTOBUF_C_TYPE_BYTES && inner.left <= WIRE_LENGTH_MAX;
}

static bool validate_value(const ProtobufCFieldDescriptor *field, ProtobufCWireType type, Span *span,
                           Budget *budget) {
        uint64_t value, max = varint_max(field->type);
        Span bytes;

        switch (type) {
        case PROTOBUF_C_WIRE_TYPE_VARINT:
                return max > 0 && take_varint(span, VARINT_SIZE_MAX, &value) && value <= max;
        case PROTOBUF_C_WIRE_TYPE_64BIT:
                return field->type == PROTOBUF_C_TYPE_FIXED64 && take_span(span, 8, &bytes);
        case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
                return validate_length_prefixed(field, span, budget);
        case PROTOBUF_C_WIRE_TYPE_32BIT:
                return field->type == PROTOBUF_C_TYPE_FIXED32 && take_span(span, 4, &bytes);
        }

        return false;
}

/* Counts the field. Returns false if it has come too often, or beside another member of its oneof. */
static bool tally_add(Tally *tally, const ProtobufCMessageDescriptor *descriptor,
                      const ProtobufCFieldDescriptor *field) {
        size_t index = (size_t) (field - descriptor->fields);
        unsigned max = field->label == PROTOBUF_C_LABEL_REPEATED ? WIRE_REPEATED_MAX : 1;

        assert(index < FIELDS_MAX);

        if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
                if (tally->oneof)
                        return false;
                tally->oneof = true; /* the schema has one oneof per message at most */
        }

        return tally->counts[index]++ < max;
}

static bool validate_message(const ProtobufCMessageDescriptor *descriptor, Span span, Budget *budget) {
        Tally tally = {};

        while (span.left > 0) {
                const ProtobufCFieldDescriptor *field;
                ProtobufCWireType type;
                uint32_t number;

                if (!take_tag(&span, &number, &type))
                        return false;

                field = protobuf_c_message_descriptor_get_field(descriptor, number);
                if (!field) {
                        if (budget->unknown++ == WIRE_UNKNOWN_MAX || !skip_unknown(&span, type))
                                return false;
                } else if (!tally_add(&tally, descriptor, field) ||
                           !validate_value(field, type, &span, budget))
                        return false;
        }

        return true;
}

bool wire_validate(const ProtobufCMessageDescriptor *descriptor, const uint8_t *data, size_t size) {
        Budget budget = {};

        assert(descriptor);
        assert(data || size == 0);

        return validate_message(descriptor, (Span){.at = data, .left = size}, &budget);
}
