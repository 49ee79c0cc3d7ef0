/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Payload to Message and back, in four steps each way.
 *
 * In:  wire_validate() over the bytes, protobuf_c_message_unpack() into an arena on the stack,
 *      conversion by wire-table.c, wire_check() of the values.
 * Out: wire_check(), conversion, protobuf_c_message_pack() into the stack, frame_encode().
 *
 * Rejected: handing the generated structs to the daemons. They would carry an allocator's lifetime,
 * pointers and unchecked numbers into code that must not think about any of them. Rejected too: a
 * decoder of our own in place of protobuf-c. The validator is half of one, but two readings of the
 * bytes that must agree are worth more than one that nobody else runs.
 */

#include "proto/wire.h"

#include <assert.h>
#include <string.h>

#include "common/macro.h"
#include "proto/memtide.pb-c.h"
#include "proto/wire-arena.h"
#include "proto/wire-check.h"
#include "proto/wire-table.h"
#include "proto/wire-validate.h"

/* The first release without CVE-2022-48468; the linker may find an older one than the compiler did. */
#define PROTOBUF_C_VERSION_MIN 1004001

/* What an Envelope of our own takes at most: a string, or less, for each field, tags and lengths included. */
#define FIELDS_MAX 40U
#define PACKED_MAX                                                                                           \
        (64U + FIELDS_MAX * (MESSAGE_STRING_MAX + 4U) + MESSAGE_BOOT_ID_SIZE + MESSAGE_MISSING_MAX * 27U)
_Static_assert(PACKED_MAX <= FRAME_PAYLOAD_MAX, "every message fits into a frame");

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

/*
 * The most that protobuf-c (1.4.1 to 1.5.2) allocates for a payload that wire_validate() passes: the
 * structs, the bytes themselves (unknown fields are copied), the arrays of Missing and of unknown
 * fields, and slabs of scanned members, 32 bytes each. Those begin where a message has more than 16
 * fields, with 32 and then 64 members; 32 unknown fields, wherever they are, bring 96 of them at most.
 * Each allocation wastes up to one alignment. The worst payloads of test-wire-bounds.c leave 1.5 KB unused.
 */
#define ARENA_STRUCTS                                                                                        \
        (sizeof(Memtide__Envelope) + sizeof(WireBody) +                                                      \
         WIRE_REPEATED_MAX * (sizeof(Memtide__Missing) + sizeof(Memtide__Missing *)) +                       \
         WIRE_UNKNOWN_MAX * sizeof(ProtobufCMessageUnknownField))
#define ARENA_SLABS             ((32U + 64U) * 32U)
#define ARENA_ALLOCATIONS_COUNT (3U + 2U * WIRE_REPEATED_MAX + 2U * WIRE_UNKNOWN_MAX + 3U)
#define ARENA_SIZE                                                                                           \
        (ARENA_STRUCTS + ARENA_SLABS + FRAME_PAYLOAD_MAX + ARENA_ALLOCATIONS_COUNT * WIRE_ARENA_ALIGNMENT)

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

static void field_to_value(const WireField *field, const void *body, Message *message) {
        const void *wire = (const char *) body + field->wire_offset;
        void *value = (char *) message + field->value_offset;
        const char *text;

        switch (field->kind) {
        case WIRE_U32:
        case WIRE_ENUM:
                memcpy(value, wire, sizeof(uint32_t));
                break;
        case WIRE_OPEN_ENUM:
                *(unsigned *) value = *(const unsigned *) wire <= field->max ? *(const unsigned *) wire : 0;
                break;
        case WIRE_U64:
        case WIRE_S64:
                memcpy(value, wire, sizeof(uint64_t));
                break;
        case WIRE_BOOL:
                *(bool *) value = *(const protobuf_c_boolean *) wire != 0;
                break;
        case WIRE_STRING: /* wire_validate() has held it to MESSAGE_STRING_MAX */
                text = *(char *const *) wire;
                memcpy(value, text, strlen(text));
                break;
        }
}

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

/* What no table has: the two fields of Hello that are no scalars. Returns false if one is out of range. */
static bool hello_to_value(const Memtide__Hello *wire, MessageHello *hello) {
        if (wire->boot_id.len != MESSAGE_BOOT_ID_SIZE)
                return false;

        memcpy(hello->boot_id, wire->boot_id.data, MESSAGE_BOOT_ID_SIZE);
        hello->n_missing = wire->n_missing;
        for (size_t i = 0; i < wire->n_missing; i++) {
                unsigned facility = wire->missing[i]->facility;

                hello->missing[i] = (MessageMissing){
                        /* A newer minor may know more facilities. */
                        .facility = facility < FACILITY_MAX ? (Facility) facility : FACILITY_UNSPECIFIED,
                        .error = wire->missing[i]->error,
                };
        }
        return true;
}

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

static WireVerdict envelope_to_message(const Memtide__Envelope *envelope, WireSender sender, Message *ret) {
        MessageType type = wire_type_of_body((int) envelope->body_case);
        const WireShape *shape;

        if (type ==
            MESSAGE_TYPE_MAX) /* a body of a newer minor is an unknown field; none at all is nothing */
                return envelope->base.n_unknown_fields > 0 ? WIRE_UNKNOWN : WIRE_MALFORMED;

        shape = wire_shape(type);
        if (shape->sender != sender)
                return WIRE_WRONG_SENDER;

        memset(ret, 0, sizeof(*ret));
        ret->type = type;
        ret->session = envelope->session;
        ret->sequence = envelope->sequence;
        ret->monotonic_usec = envelope->monotonic_usec;
        for (size_t i = 0; i < shape->n_fields; i++)
                field_to_value(&shape->fields[i], envelope->hello, ret); /* any member of the oneof */
        if (type == MESSAGE_HELLO && !hello_to_value(envelope->hello, &ret->hello))
                return WIRE_OUT_OF_RANGE;
        return WIRE_OK;
}

/* All but the ranges. What ret is on failure is nobody's business. */
static WireVerdict wire_read(const uint8_t *payload, size_t size, WireSender sender, Message *ret) {
        _Alignas(max_align_t) unsigned char memory[ARENA_SIZE];
        ProtobufCMessage *envelope;
        WireArena arena;

        assert(payload || size == 0);
        assert(protobuf_c_version_number() >= PROTOBUF_C_VERSION_MIN);

        if (size > FRAME_PAYLOAD_MAX || !wire_validate(&memtide__envelope__descriptor, payload, size))
                return WIRE_MALFORMED;

        wire_arena_init(&arena, memory, sizeof(memory));
        envelope = protobuf_c_message_unpack(&memtide__envelope__descriptor, &arena.allocator, size, payload);
        if (!envelope)
                return WIRE_MALFORMED;

        return envelope_to_message((const Memtide__Envelope *) envelope, sender, ret);
}

WireVerdict wire_decode(const uint8_t *payload, size_t size, WireSender sender, Message *ret) {
        WireVerdict verdict;
        Message message;

        assert(ret);

        verdict = wire_read(payload, size, sender, &message);
        if (verdict == WIRE_OK && !wire_check(&message))
                verdict = WIRE_OUT_OF_RANGE;
        if (verdict == WIRE_OK)
                memcpy(ret, &message, sizeof(message));
        return verdict;
}

WireVerdict wire_decode_claim(const uint8_t *payload, size_t size, WireSender sender, Message *ret) {
        WireVerdict verdict;
        Message message;

        assert(ret);

        verdict = wire_read(payload, size, sender, &message);
        if (verdict == WIRE_OK)
                memcpy(ret, &message, sizeof(message));
        return verdict;
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
