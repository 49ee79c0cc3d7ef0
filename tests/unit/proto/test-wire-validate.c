/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Payloads byte by byte: what protobuf allows and memtide does not, and what nobody allows. Each case
 * starts from a Ping that is accepted, so that one deviation alone decides the verdict. The larger
 * cases are files: tests/fuzz/corpus/wire, whose names begin with the verdict.
 */

#include "proto/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/macro.h"
#include "proto/wire-validate.h"

typedef struct Case {
        const char *name;
        const char *bytes;
        size_t size;
        WireVerdict verdict;
} Case;

#define CASE(name, literal, verdict)                                                                         \
        { name, literal, sizeof(literal) - 1, verdict }

/* Field n of the Envelope, in hex: 08 session, 10 sequence, 18 monotonic_usec, B2 02 ping. */
#define ENVELOPE              "\x08\x01\x10\x01\x18\x05"
#define ID                    "\x08\x0A"
#define DEADLINE              "\x10\x04"
#define PING(size, inner)     "\xB2\x02" size inner
#define GOOD                  ENVELOPE PING("\x04", ID DEADLINE)
#define GREETING(size, inner) "\x10\x01\x52" size inner /* a Hello */

static const Case cases[] = {
        CASE("a Ping", GOOD, WIRE_OK),
        CASE("fields in another order", PING("\x04", DEADLINE ID) "\x18\x05\x10\x01\x08\x01", WIRE_OK),
        CASE("a default value spelt out", ENVELOPE PING("\x04", "\x08\x00\x10\x00"), WIRE_OK),
        CASE("an empty body", ENVELOPE PING("\x00", ""), WIRE_OK),
        CASE("u64 of ten bytes", ENVELOPE PING("\x0B", "\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"),
             WIRE_OK),

        CASE("nothing at all", "", WIRE_MALFORMED),
        CASE("no body", ENVELOPE, WIRE_MALFORMED),
        CASE("a body of another minor", ENVELOPE "\xBA\x02\x02\x08\x01", WIRE_UNKNOWN),

        CASE("field number 0", GOOD "\x00\x01", WIRE_MALFORMED),
        CASE("field number 0 in two bytes", GOOD "\x80\x00\x01", WIRE_MALFORMED),
        CASE("tag not in its shortest form", "\x88\x00\x01\x10\x01" PING("\x04", ID DEADLINE),
             WIRE_MALFORMED),
        CASE("tag of four bytes", GOOD "\xF8\xFF\xFF\x7F\x01", WIRE_OK),
        CASE("tag of five bytes", GOOD "\xF8\xFF\xFF\xFF\x0F\x01", WIRE_MALFORMED),
        CASE("tag of five bytes, bit 35", GOOD "\xF8\xFF\xFF\xFF\x7F\x01", WIRE_MALFORMED),
        CASE("tag without an end", GOOD "\xF8\xFF", WIRE_MALFORMED),
        CASE("group begins", GOOD "\x2B", WIRE_MALFORMED),
        CASE("group ends", GOOD "\x2C", WIRE_MALFORMED),
        CASE("wire type 6", GOOD "\x2E\x01", WIRE_MALFORMED),
        CASE("wire type 7", GOOD "\x2F\x01", WIRE_MALFORMED),
        CASE("group as a known field", ENVELOPE "\xB3\x02\xB4\x02", WIRE_MALFORMED),

        CASE("varint not in its shortest form", "\x08\x81\x00\x10\x01" PING("\x02", ID), WIRE_MALFORMED),
        CASE("zero in two bytes", ENVELOPE PING("\x03", "\x08\x80\x00"), WIRE_MALFORMED),
        CASE("65 bits", ENVELOPE PING("\x0B", "\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02"),
             WIRE_MALFORMED),
        CASE("varint of eleven bytes",
             ENVELOPE PING("\x0C", "\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"), WIRE_MALFORMED),
        CASE("varint without an end", ENVELOPE PING("\x02", "\x08\xFF"), WIRE_MALFORMED),
        CASE("varint missing", ENVELOPE PING("\x01", "\x08"), WIRE_MALFORMED),
        CASE("u32 of 33 bits", "\x08\x81\x80\x80\x80\x10\x10\x01" PING("\x02", ID), WIRE_MALFORMED),
        CASE("bool 2", ENVELOPE "\x8A\x02\x06\x08\x01\x18\x01\x20\x02", WIRE_MALFORMED),
        CASE("bool 1", ENVELOPE "\x8A\x02\x06\x08\x01\x18\x01\x20\x01", WIRE_OK),

        CASE("fixed64 for a varint", "\x09\x01\0\0\0\0\0\0\0\x10\x01" PING("\x02", ID), WIRE_MALFORMED),
        CASE("fixed32 for a varint", "\x0D\x01\0\0\0\x10\x01" PING("\x02", ID), WIRE_MALFORMED),
        CASE("bytes for a varint", "\x0A\x01\x01\x10\x01" PING("\x02", ID), WIRE_MALFORMED),
        CASE("varint for a submessage", ENVELOPE "\xB0\x02\x01", WIRE_MALFORMED),
        CASE("varint for fixed64", GREETING("\x02", "\x30\x01"), WIRE_MALFORMED),

        CASE("a scalar twice", "\x08\x01" GOOD, WIRE_MALFORMED),
        CASE("a submessage twice", GOOD PING("\x02", ID), WIRE_MALFORMED),
        CASE("two bodies", GOOD "\x8A\x02\x04\x08\x01\x18\x01", WIRE_MALFORMED),
        CASE("a scalar twice inside", ENVELOPE PING("\x04", ID ID), WIRE_MALFORMED),

        CASE("submessage longer than its parent", ENVELOPE PING("\x05", ID DEADLINE), WIRE_MALFORMED),
        CASE("submessage shorter than its fields", ENVELOPE PING("\x03", ID DEADLINE), WIRE_MALFORMED),
        CASE("length of 2^63", ENVELOPE PING("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F", ID), WIRE_MALFORMED),
        CASE("length of 2^64 - 1", ENVELOPE PING("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", ID),
             WIRE_MALFORMED),
        CASE("length not in its shortest form", ENVELOPE PING("\x84\x00", ID DEADLINE), WIRE_MALFORMED),
        CASE("length missing", ENVELOPE "\xB2\x02", WIRE_MALFORMED),
        CASE("body cut off", ENVELOPE "\xB2", WIRE_MALFORMED),

        CASE("unknown varint", GOOD "\x28\x01", WIRE_OK),
        CASE("unknown fixed64", GOOD "\x29\x01\x02\x03\x04\x05\x06\x07\x08", WIRE_OK),
        CASE("unknown bytes", GOOD "\x2A\x02hi", WIRE_OK),
        CASE("unknown fixed32", GOOD "\x2D\x01\x02\x03\x04", WIRE_OK),
        CASE("unknown field inside", ENVELOPE PING("\x06", ID DEADLINE "\x18\x01"), WIRE_OK),
        CASE("unknown fixed64, cut", GOOD "\x29\x01\x02\x03\x04\x05\x06\x07", WIRE_MALFORMED),
        CASE("unknown bytes, cut", GOOD "\x2A\x03hi", WIRE_MALFORMED),
        CASE("unknown fixed32, cut", GOOD "\x2D\x01\x02\x03", WIRE_MALFORMED),
        CASE("unknown varint, overlong", GOOD "\x28\x80\x00", WIRE_MALFORMED),
};

static void test_payloads(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Message message;
                WireVerdict verdict = wire_decode((const uint8_t *) cases[i].bytes, cases[i].size,
                                                  WIRE_FROM_HOST, &message);

                if (verdict != cases[i].verdict)
                        fail_msg("%s: %s", cases[i].name, wire_verdict_to_string(verdict));
        }
}

/* Every prefix of a payload: never a crash, and accepted only where a field ends and a body is there. */
static void test_prefixes(void **state) {
        static const char good[] = GOOD;

        for (size_t size = 0; size < sizeof(good) - 1; size++) {
                Message message;

                assert_int_equal(wire_decode((const uint8_t *) good, size, WIRE_FROM_HOST, &message),
                                 WIRE_MALFORMED);
        }
}

typedef struct Payload {
        uint8_t bytes[2 * FRAME_PAYLOAD_MAX];
        size_t size;
} Payload;

static void put(Payload *payload, const void *bytes, size_t size) {
        assert_true(size <= sizeof(payload->bytes) - payload->size);
        memcpy(payload->bytes + payload->size, bytes, size);
        payload->size += size;
}

static WireVerdict decode(const Payload *payload, WireSender sender) {
        Message message;

        return wire_decode(payload->bytes, payload->size, sender, &message);
}

/* 32 unknown fields in the whole payload, wherever they are. */
static void test_unknown_budget(void **state) {
        static const char body[] =
                "\xB2\x02\x22" ID "\x18\x01\x18\x01\x18\x01\x18\x01\x18\x01\x18\x01\x18\x01"
                "\x18\x01\x18\x01\x18\x01\x18\x01\x18\x01\x18\x01\x18\x01\x18\x01\x18\x01";
        Payload payload = {};

        put(&payload, ENVELOPE, sizeof(ENVELOPE) - 1);
        put(&payload, body, sizeof(body) - 1);
        for (unsigned i = 0; i < 16; i++)
                put(&payload, "\x28\x01", 2);
        assert_int_equal(decode(&payload, WIRE_FROM_HOST), WIRE_OK);

        put(&payload, "\x28\x01", 2);
        assert_int_equal(decode(&payload, WIRE_FROM_HOST), WIRE_MALFORMED);
}

/* A Hello that lacks nothing, then field 12 (missing) so many times. */
static WireVerdict decode_hello_missing(unsigned n, const char *element, size_t element_size) {
        static const char hello[] = "\x2A\x10"
                                    "0123456789abcdef"
                                    "\x40\x80\x20"
                                    "\x50\x01";
        Payload body = {}, payload = {};
        uint8_t length[2];

        put(&body, hello, sizeof(hello) - 1);
        for (unsigned i = 0; i < n; i++)
                put(&body, element, element_size);

        length[0] = (uint8_t) (body.size % 128) | 0x80;
        length[1] = (uint8_t) (body.size / 128);
        put(&payload, "\x10\x01\x52", 3);
        put(&payload, length, body.size < 128 ? 1 : 2);
        if (body.size < 128)
                payload.bytes[payload.size - 1] &= 0x7F;
        put(&payload, body.bytes, body.size);
        return decode(&payload, WIRE_FROM_GUEST);
}

static void test_repeated_and_depth(void **state) {
        assert_int_equal(decode_hello_missing(0, "", 0), WIRE_OK);
        assert_int_equal(decode_hello_missing(16, "\x62\x04\x08\x01\x10\x02", 6), WIRE_OK);
        assert_int_equal(decode_hello_missing(16, "\x62\x00", 2), WIRE_OK);
        assert_int_equal(decode_hello_missing(17, "\x62\x00", 2), WIRE_MALFORMED);

        /* A facility of a newer minor reads as "unspecified"; what is no 32-bit word is no enum at all. */
        assert_int_equal(decode_hello_missing(1, "\x62\x03\x08\xE7\x07", 5), WIRE_OK);
        assert_int_equal(decode_hello_missing(1, "\x62\x06\x08\xFF\xFF\xFF\xFF\x07", 8), WIRE_OK);
        assert_int_equal(decode_hello_missing(1, "\x62\x06\x08\x80\x80\x80\x80\x08", 8), WIRE_MALFORMED);
        assert_int_equal(decode_hello_missing(1, "\x62\x03\x10\x80\x20", 5),
                         WIRE_OUT_OF_RANGE); /* errno 4096 */

        /* What lies within an unknown field is not looked into, however deep it pretends to be. */
        assert_int_equal(decode_hello_missing(1, "\x62\x06\x1A\x04\x0A\x02\x0A\x00", 8), WIRE_OK);
}

typedef struct StringCase {
        const char *name;
        const char *text;
        size_t size;
        WireVerdict verdict;
} StringCase;

#define STRING64 "0123456789012345678901234567890123456789012345678901234567890123"

/* Hello.agent_version (field 3), hence also what may reach a log. */
static void test_strings(void **state) {
        static const StringCase strings[] = {
                CASE("64 bytes", STRING64, WIRE_OK),
                CASE("65 bytes", STRING64 "4", WIRE_MALFORMED),
                CASE("space to tilde", " ~", WIRE_OK),
                CASE("NUL", "a\0b", WIRE_MALFORMED),
                CASE("newline", "a\nb", WIRE_MALFORMED),
                CASE("ANSI escape", "\033[2J", WIRE_MALFORMED),
                CASE("DEL", "\x7F", WIRE_MALFORMED),
                CASE("C1 control",
                     "\x9B"
                     "2J",
                     WIRE_MALFORMED),
                CASE("UTF-8", "\xC3\xA4", WIRE_MALFORMED),
                CASE("bad UTF-8", "\xFF\xFE", WIRE_MALFORMED),
        };

        for (size_t i = 0; i < ELEMENTSOF(strings); i++) {
                uint8_t element[80] = {0x1A, (uint8_t) strings[i].size};
                WireVerdict verdict;

                memcpy(element + 2, strings[i].text, strings[i].size);
                verdict = decode_hello_missing(1, (const char *) element, strings[i].size + 2);
                if (verdict != strings[i].verdict)
                        fail_msg("%s: %s", strings[i].name, wire_verdict_to_string(verdict));
        }
}

/* The boot id is 16 bytes, neither more nor fewer, and not left out. */
static void test_boot_id(void **state) {
        static const Case hellos[] = {
                CASE("16",
                     GREETING("\x17", "\x2A\x10"
                                      "0123456789abcdef"
                                      "\x40\x80\x20\x50\x01"),
                     WIRE_OK),
                CASE("15",
                     GREETING("\x16", "\x2A\x0F"
                                      "0123456789abcde"
                                      "\x40\x80\x20\x50\x01"),
                     WIRE_OUT_OF_RANGE),
                CASE("17",
                     GREETING("\x18", "\x2A\x11"
                                      "0123456789abcdefg"
                                      "\x40\x80\x20\x50\x01"),
                     WIRE_OUT_OF_RANGE),
                CASE("65",
                     GREETING("\x48", "\x2A\x41" STRING64 "4"
                                      "\x40\x80\x20\x50\x01"),
                     WIRE_MALFORMED),
                CASE("none", GREETING("\x05", "\x40\x80\x20\x50\x01"), WIRE_OUT_OF_RANGE),
        };

        for (size_t i = 0; i < ELEMENTSOF(hellos); i++) {
                Message message;
                WireVerdict verdict = wire_decode((const uint8_t *) hellos[i].bytes, hellos[i].size,
                                                  WIRE_FROM_GUEST, &message);

                if (verdict != hellos[i].verdict)
                        fail_msg("%s: %s", hellos[i].name, wire_verdict_to_string(verdict));
        }
}

/* An Alarm (field 12): cause is open to newer minors, urgency is not. */
static void test_open_enums(void **state) {
        static const char cause[] = "\x08\x01\x10\x01\x62\x04\x08\x01\x10\x63";
        static const char urgency[] = "\x08\x01\x10\x01\x62\x02\x08\x04";
        Message message;

        assert_int_equal(wire_decode((const uint8_t *) cause, sizeof(cause) - 1, WIRE_FROM_GUEST, &message),
                         WIRE_OK);
        assert_int_equal(message.alarm.cause, CAUSE_NONE);
        assert_int_equal(message.alarm.urgency, URGENCY_LOW);
        assert_int_equal(wire_decode((const uint8_t *) urgency, sizeof(urgency) - 1, WIRE_FROM_GUEST,
                                     &message),
                         WIRE_OUT_OF_RANGE);
}

static void test_longer_than_any_frame(void **state) {
        Payload payload = {};
        uint8_t filler[3000] = {};

        put(&payload, GOOD, sizeof(GOOD) - 1);
        put(&payload, "\x2A\xB8\x17", 3); /* unknown, 3000 bytes */
        put(&payload, filler, 3000);
        assert_int_equal(decode(&payload, WIRE_FROM_HOST), WIRE_OK);
        put(&payload, "\x32\xB8\x17", 3);
        put(&payload, filler, 3000);
        assert_int_equal(decode(&payload, WIRE_FROM_HOST), WIRE_MALFORMED);
}

/*
 * A schema that memtide.proto must never become, to see the validator alone, without protobuf-c behind
 * it: recursive, with one field of each wire type. 1 inner, 2 number, 3 eight, 4 four, 5 double, 6 float.
 */
static const ProtobufCMessageDescriptor recursive;

#define OWN_FIELD(number, name_, type_)                                                                      \
        {                                                                                                    \
                .id = number, .name = name_, .label = PROTOBUF_C_LABEL_NONE, .type = type_,                  \
                .descriptor = &recursive                                                                     \
        }

static const ProtobufCFieldDescriptor recursive_fields[] = {
        OWN_FIELD(1, "inner", PROTOBUF_C_TYPE_MESSAGE),  OWN_FIELD(2, "number", PROTOBUF_C_TYPE_UINT64),
        OWN_FIELD(3, "eight", PROTOBUF_C_TYPE_FIXED64),  OWN_FIELD(4, "four", PROTOBUF_C_TYPE_FIXED32),
        OWN_FIELD(5, "double", PROTOBUF_C_TYPE_DOUBLE),  OWN_FIELD(6, "float", PROTOBUF_C_TYPE_FLOAT),
        OWN_FIELD(7, "negative", PROTOBUF_C_TYPE_INT32), OWN_FIELD(8, "text", PROTOBUF_C_TYPE_STRING),
};

static const ProtobufCIntRange recursive_ranges[] = {{1, 0}, {0, ELEMENTSOF(recursive_fields)}};

static const ProtobufCMessageDescriptor recursive = {
        .magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
        .name = "Recursive",
        .n_fields = ELEMENTSOF(recursive_fields),
        .fields = recursive_fields,
        .n_field_ranges = 1,
        .field_ranges = recursive_ranges,
};

static void test_validator_alone(void **state) {
        static const Case alone[] = {
                CASE("one of each",
                     "\x10\x01\x19"
                     "12345678"
                     "\x25"
                     "1234"
                     "\x42\x01x",
                     WIRE_OK),
                CASE("depth 2", "\x0A\x04\x0A\x02\x10\x01", WIRE_OK),
                CASE("depth 3", "\x0A\x06\x0A\x04\x0A\x02\x10\x01", WIRE_MALFORMED),
                CASE("field number 0, varint", "\x00\x00", WIRE_MALFORMED),
                CASE("field number 0, bytes", "\x02\x00", WIRE_MALFORMED),
                CASE("zero for a submessage", "\x08\x00", WIRE_MALFORMED),
                CASE("zero for a string", "\x40\x00", WIRE_MALFORMED),
                CASE("zero for an int32", "\x38\x00",
                     WIRE_MALFORMED), /* negative ones would have two forms */
                CASE("fixed64 for a double",
                     "\x29"
                     "12345678",
                     WIRE_MALFORMED),
                CASE("fixed64 for a varint",
                     "\x11"
                     "12345678",
                     WIRE_MALFORMED),
                CASE("fixed32 for a float",
                     "\x35"
                     "1234",
                     WIRE_MALFORMED),
                CASE("fixed32 for a varint",
                     "\x15"
                     "1234",
                     WIRE_MALFORMED),
                CASE("bytes for a varint", "\x12\x01\x01", WIRE_MALFORMED),
                CASE("fixed64, cut",
                     "\x19"
                     "1234567",
                     WIRE_MALFORMED),
                CASE("fixed32, cut",
                     "\x25"
                     "123",
                     WIRE_MALFORMED),
                CASE("string, cut", "\x42\x02x", WIRE_MALFORMED),
        };

        for (size_t i = 0; i < ELEMENTSOF(alone); i++)
                if (wire_validate(&recursive, (const uint8_t *) alone[i].bytes, alone[i].size) !=
                    (alone[i].verdict == WIRE_OK))
                        fail_msg("%s", alone[i].name);
}

/* 16,000 messages within each other: what makes stock protobuf-c overflow its stack. */
static void test_depth_16000(void **state) {
        static uint8_t bytes[80000];
        size_t at = sizeof(bytes), size = 0;

        for (unsigned depth = 0; depth < 16000; depth++) {
                uint8_t head[5] = {0x0A};
                size_t n = 1, length = size;

                for (; length > 127; length >>= 7)
                        head[n++] = (uint8_t) (0x80 | (length & 0x7F));
                head[n++] = (uint8_t) length;
                at -= n;
                memcpy(bytes + at, head, n);
                size += n;
        }

        assert_true(size > 58000);
        assert_false(wire_validate(&recursive, bytes + at, size));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_payloads),        cmocka_unit_test(test_prefixes),
                cmocka_unit_test(test_unknown_budget),  cmocka_unit_test(test_repeated_and_depth),
                cmocka_unit_test(test_strings),         cmocka_unit_test(test_boot_id),
                cmocka_unit_test(test_open_enums),      cmocka_unit_test(test_longer_than_any_frame),
                cmocka_unit_test(test_validator_alone), cmocka_unit_test(test_depth_16000),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
