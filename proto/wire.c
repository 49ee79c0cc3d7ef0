/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Payload to Message and back.
 *
 * In:  wire_validate() over the bytes, which tells each value as it reads it; wire-table.c says where it goes, wire_check()
 *      holds the whole to its ranges.
 * Out: wire_check(), conversion, protobuf_c_message_pack() into the stack, frame_encode().
 *
 * Rejected: handing the generated structs to the daemons. They would carry an allocator's lifetime,
 * pointers and unchecked numbers into code that must not think about any of them. Rejected too: to have protobuf-c read the
 * bytes a second time behind the validator, as once was: it took 12 KiB of stack and a fifth of the time to find what had been
 * found. Another reading is worth having in tests, where it may disagree: test_golden.py has Python's, over the fuzzer's corpus.
 */

#include "proto/wire.h"

#include <assert.h>
#include <string.h>

#include "common/macro.h"
#include "proto/memtide.pb-c.h"
#include "proto/wire-check.h"
#include "proto/wire-table.h"
#include "proto/wire-validate.h"

/* What an Envelope of our own takes at most: a string, or less, for each field, tags and lengths included. */
#define FIELDS_MAX 40U
#define PACKED_MAX                                                                                           \
        (64U + FIELDS_MAX * (MESSAGE_STRING_MAX + 4U) + MESSAGE_BOOT_ID_SIZE + MESSAGE_MISSING_MAX * 27U)
_Static_assert(PACKED_MAX <= FRAME_PAYLOAD_MAX, "every message fits into a frame");
_Static_assert(MESSAGE_STRING_MAX >= WIRE_LENGTH_MAX && MESSAGE_MISSING_MAX >= WIRE_REPEATED_MAX,
               "what passes wire_validate() fits into a Message");

/* Every body that an Envelope may have, for its size and alignment. */
typedef union WireBody {
        ProtobufCMessage base;
        Memtide__Hello hello;
        Memtide__Report report;
        Memtide__Alarm alarm;
        Memtide__ShrinkOffer shrink_offer;
        Memtide__ResizeConfirm resize_confirm;
        Memtide__BlockEvent block_event;
        Memtide__CommandResult command_result;
        Memtide__Welcome welcome;
        Memtide__GrowNotice grow_notice;
        Memtide__ShrinkRequest shrink_request;
        Memtide__OfflineRange offline_range;
        Memtide__OnlineRange online_range;
        Memtide__Tuning tuning;
        Memtide__Ping ping;
} WireBody;

static const char *const wire_verdict_names[WIRE_VERDICT_MAX] = {
        [WIRE_OK] = "ok",
        [WIRE_MALFORMED] = "malformed",
        [WIRE_UNKNOWN] = "unknown",
        [WIRE_WRONG_SENDER] = "wrong-sender",
        [WIRE_OUT_OF_RANGE] = "out-of-range",
};

const char *wire_verdict_to_string(WireVerdict verdict) {
        return (unsigned) verdict < WIRE_VERDICT_MAX ? wire_verdict_names[verdict] : "unknown";
}

/* A payload on its way into a Message. */
typedef struct Decoding {
        Message message;
        const WireShape *shape; /* of the body; NULL before it */
        const WireField *next;  /* the row after the last */
        unsigned depth;         /* 0: the envelope, 1: its body, 2: an element of Hello.missing */
        bool has_unknown;
        size_t boot_id_size;
} Decoding;

static void put_number(const WireField *row, const ProtobufCFieldDescriptor *field, uint64_t number,
                       Message *message) {
        void *value = (char *) message + row->value_offset;

        switch (row->kind) {
        case WIRE_U32:
        case WIRE_ENUM:
                *(unsigned *) value = (unsigned) number;
                break;
        case WIRE_OPEN_ENUM:
                *(unsigned *) value = number <= row->max ? (unsigned) number : 0;
                break;
        case WIRE_U64:
                *(uint64_t *) value = number;
                break;
        case WIRE_S64:
                assert(field->type == PROTOBUF_C_TYPE_SINT64);
                *(int64_t *) value = (int64_t) (number >> 1 ^ -(number & 1));
                break;
        case WIRE_BOOL:
                *(bool *) value = number != 0;
                break;
        case WIRE_STRING:
                assert(false);
        }
}

/* Rows stand in the order of the schema, which is that of nearly all payloads. */
static const WireField *find_row(Decoding *decoding, const ProtobufCFieldDescriptor *field) {
        const WireField *rows = decoding->shape->fields, *end = rows + decoding->shape->n_fields;

        for (const WireField *row = decoding->next; row < end; row++)
                if (row->wire_offset == field->offset) {
                        decoding->next = row + 1;
                        return row;
                }
        for (const WireField *row = rows; row < decoding->next; row++)
                if (row->wire_offset == field->offset) {
                        decoding->next = row + 1;
                        return row;
                }
        return NULL;
}

static void envelope_number(Decoding *decoding, const ProtobufCFieldDescriptor *field, uint64_t number) {
        if (field->offset == offsetof(Memtide__Envelope, session))
                decoding->message.session = (uint32_t) number;
        else if (field->offset == offsetof(Memtide__Envelope, sequence))
                decoding->message.sequence = number;
        else if (field->offset == offsetof(Memtide__Envelope, monotonic_usec))
                decoding->message.monotonic_usec = number;
}

static void missing_number(MessageHello *hello, const ProtobufCFieldDescriptor *field, uint64_t number) {
        MessageMissing *missing = &hello->missing[hello->n_missing - 1];

        if (field->offset == offsetof(Memtide__Missing, error))
                missing->error = (unsigned) number;
        else /* a newer minor may know more facilities */
                missing->facility = number < FACILITY_MAX ? (Facility) number : FACILITY_UNSPECIFIED;
}

static void on_number(const ProtobufCFieldDescriptor *field, uint64_t number, void *userdata) {
        Decoding *decoding = userdata;
        const WireField *row;

        if (decoding->depth == 0)
                envelope_number(decoding, field, number);
        else if (decoding->depth == 1) {
                row = find_row(decoding, field);
                assert(row);
                put_number(row, field, number, &decoding->message);
        } else
                missing_number(&decoding->message.hello, field, number);
}

/* Of a message that begins as zeroes: the end of a string is there already. */
static void on_bytes(const ProtobufCFieldDescriptor *field, const uint8_t *bytes, size_t size,
                     void *userdata) {
        Decoding *decoding = userdata;
        const WireField *row;

        assert(decoding->depth == 1 && size <= MESSAGE_STRING_MAX);

        if (field->type == PROTOBUF_C_TYPE_STRING) {
                row = find_row(decoding, field);
                assert(row && row->kind == WIRE_STRING);
                memcpy((char *) &decoding->message + row->value_offset, bytes, size);
                return;
        }
        decoding->boot_id_size = size;
        if (size == MESSAGE_BOOT_ID_SIZE)
                memcpy(decoding->message.hello.boot_id, bytes, size);
}

static void on_enter(const ProtobufCFieldDescriptor *field, void *userdata) {
        Decoding *decoding = userdata;

        if (++decoding->depth == 1) {
                decoding->message.type = wire_type_of_body((int) field->id);
                assert(decoding->message.type < MESSAGE_TYPE_MAX);
                decoding->shape = wire_shape(decoding->message.type);
                decoding->next = decoding->shape->fields;
        } else
                decoding->message.hello.n_missing++;
}

static void on_leave(void *userdata) {
        ((Decoding *) userdata)->depth--;
}

static void on_unknown(void *userdata) {
        ((Decoding *) userdata)->has_unknown = true;
}

static const WireReader reader = {
        .enter = on_enter,
        .leave = on_leave,
        .number = on_number,
        .bytes = on_bytes,
        .unknown = on_unknown,
};

/* All but the ranges. What decoding holds on failure is nobody's business. */
static WireVerdict wire_read(const uint8_t *payload, size_t size, WireSender sender, Decoding *decoding) {
        assert(payload || size == 0);

        memset(decoding, 0, sizeof(*decoding));
        if (size > FRAME_PAYLOAD_MAX ||
            !wire_validate(&memtide__envelope__descriptor, payload, size, &reader, decoding))
                return WIRE_MALFORMED;
        if (!decoding->shape) /* a body of a newer minor is an unknown field; none at all is nothing */
                return decoding->has_unknown ? WIRE_UNKNOWN : WIRE_MALFORMED;
        if (decoding->shape->sender != sender)
                return WIRE_WRONG_SENDER;
        if (decoding->message.type == MESSAGE_HELLO && decoding->boot_id_size != MESSAGE_BOOT_ID_SIZE)
                return WIRE_OUT_OF_RANGE;
        return WIRE_OK;
}

WireVerdict wire_decode(const uint8_t *payload, size_t size, WireSender sender, Message *ret) {
        WireVerdict verdict;
        Decoding decoding;

        assert(ret);

        verdict = wire_read(payload, size, sender, &decoding);
        if (verdict == WIRE_OK && !wire_check(&decoding.message))
                verdict = WIRE_OUT_OF_RANGE;
        if (verdict == WIRE_OK)
                memcpy(ret, &decoding.message, sizeof(*ret));
        return verdict;
}

WireVerdict wire_decode_claim(const uint8_t *payload, size_t size, WireSender sender, Message *ret) {
        WireVerdict verdict;
        Decoding decoding;

        assert(ret);

        verdict = wire_read(payload, size, sender, &decoding);
        if (verdict == WIRE_OK)
                memcpy(ret, &decoding.message, sizeof(*ret));
        return verdict;
}

/* -- out ------------------------------------------------------------------------------------------- */

static void field_to_wire(const WireField *field, const Message *message, void *body) {
        const void *value = (const char *) message + field->value_offset;
        void *wire = (char *) body + field->wire_offset;

        switch (field->kind) {
        case WIRE_U32:
        case WIRE_ENUM:
        case WIRE_OPEN_ENUM:
                memcpy(wire, value, sizeof(uint32_t));
                break;
        case WIRE_U64:
        case WIRE_S64:
                memcpy(wire, value, sizeof(uint64_t));
                break;
        case WIRE_BOOL:
                *(protobuf_c_boolean *) wire = *(const bool *) value;
                break;
        case WIRE_STRING: /* borrowed: protobuf-c only reads it */
                *(char **) wire = (char *) value;
                break;
        }
}

/* What no table has: the two fields of Hello that are no scalars. */
static void hello_to_wire(const MessageHello *hello, Memtide__Hello *wire, Memtide__Missing *missing,
                          Memtide__Missing **pointers) {
        wire->boot_id =
                (ProtobufCBinaryData){.data = (uint8_t *) hello->boot_id, .len = MESSAGE_BOOT_ID_SIZE};
        for (size_t i = 0; i < hello->n_missing; i++) {
                memtide__missing__init(&missing[i]);
                missing[i].facility = (Memtide__Facility) hello->missing[i].facility;
                missing[i].error = hello->missing[i].error;
                pointers[i] = &missing[i];
        }
        wire->n_missing = hello->n_missing;
        wire->missing = pointers;
}

size_t wire_encode(const Message *message, uint8_t out[static FRAME_ENCODED_MAX]) {
        Memtide__Missing missing[MESSAGE_MISSING_MAX], *pointers[MESSAGE_MISSING_MAX];
        Memtide__Envelope envelope = MEMTIDE__ENVELOPE__INIT;
        uint8_t payload[FRAME_PAYLOAD_MAX];
        const WireShape *shape;
        WireBody body;

        assert(message);
        assert(out);

        if (!wire_check(message))
                return 0;

        shape = wire_shape(message->type);
        assert(shape->n_fields <= FIELDS_MAX);
        protobuf_c_message_init(shape->descriptor, &body);
        for (size_t i = 0; i < shape->n_fields; i++)
                field_to_wire(&shape->fields[i], message, &body);
        if (message->type == MESSAGE_HELLO)
                hello_to_wire(&message->hello, &body.hello, missing, pointers);

        envelope.session = message->session;
        envelope.sequence = message->sequence;
        envelope.monotonic_usec = message->monotonic_usec;
        envelope.body_case = (Memtide__Envelope__BodyCase) shape->body_case;
        envelope.hello = &body.hello; /* any member of the oneof: they are pointers alike */

        return frame_encode(payload, protobuf_c_message_pack(&envelope.base, payload), out);
}
