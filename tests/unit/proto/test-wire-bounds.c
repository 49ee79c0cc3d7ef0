/* SPDX-License-Identifier: Apache-2.0 */

/*
 * No byte of heap, however a payload is made: malloc() and its family are counted, while every message
 * goes both ways, and the payloads go in that cost protobuf-c the most of what the validator passes. Those must be
 * accepted: a refusal would mean that the arena is too small for them.
 */

#include "proto/wire.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/macro.h"
#include "proto/wire-arena.h"
#include "samples.h"

/* The compiler believes that malloc() changes nothing of ours. */
static volatile size_t n_allocations;

#ifndef __has_feature /* clang says it thus, gcc by __SANITIZE_ADDRESS__ */
#define __has_feature(feature) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)

/* As in <sanitizer/allocator_interface.h>, which only clang brings along. */
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                              void (*on_free)(const volatile void *));

static void on_malloc(const volatile void *memory, size_t size) {
        n_allocations++;
}

static void on_free(const volatile void *memory) {
}

static int count_allocations(void **state) {
        return __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) > 0 ? 0 : -1;
}

#else

/* Found before libc's by every object of the process, libprotobuf-c too. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *memory, size_t size);

void *malloc(size_t size) {
        n_allocations++;
        return __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
        n_allocations++;
        return __libc_calloc(n, size);
}

void *realloc(void *memory, size_t size) {
        n_allocations++;
        return __libc_realloc(memory, size);
}

static int count_allocations(void **state) {
        return 0;
}

#endif

/* The counter must count, or the rest proves nothing. */
static void test_counter(void **state) {
        size_t before = n_allocations;
        char *volatile memory = malloc(17);

        free(memory);
        assert_int_equal(n_allocations, before + 1);
}

static void test_messages(void **state) {
        for (unsigned type = 0; type < MESSAGE_TYPE_MAX; type++) {
                Message message = sample_full((MessageType) type), decoded;
                uint8_t frame[FRAME_ENCODED_MAX];
                const uint8_t *at = frame, *payload;
                FrameDecoder decoder = {};
                size_t size, payload_size, before = n_allocations;
                WireVerdict verdict;

                size = wire_encode(&message, frame);
                (void) frame_decoder_next(&decoder, &at, &size, &payload, &payload_size);
                verdict = wire_decode(payload, payload_size, sample_sender((MessageType) type), &decoded);

                assert_int_equal(n_allocations, before);
                assert_int_equal(verdict, WIRE_OK);
        }
}

typedef struct Payload {
        uint8_t bytes[FRAME_PAYLOAD_MAX];
        size_t size;
} Payload;

static void put(Payload *payload, const void *bytes, size_t size) {
        assert_true(size <= sizeof(payload->bytes) - payload->size);
        memcpy(payload->bytes + payload->size, bytes, size);
        payload->size += size;
}

/* An unknown field of `whole` bytes, head included; at least 5. */
static void put_unknown(Payload *payload, size_t whole) {
        static const uint8_t filler[FRAME_PAYLOAD_MAX];
        size_t size = whole - 3 < 128 ? whole - 3 : whole - 4;
        uint8_t head[] = {0xFA, 0x7F, (uint8_t) (size % 128), (uint8_t) (size / 128)};

        if (size >= 128)
                head[2] |= 0x80;
        put(payload, head, size >= 128 ? 4 : 3);
        put(payload, filler, size);
}

/* A Hello with all strings, 16 Missing of which each has some unknown fields, and more behind them. */
static void build_hello(Payload *hello, unsigned n_within_missing, unsigned n_in_hello) {
        static const uint8_t element[] = {0x08, 0x01, 0x10, 0x02};
        uint8_t text[66];

        memset(text, 'x', sizeof(text));
        text[1] = 64;
        text[0] = 0x1A;
        put(hello, text, 66);
        text[0] = 0x22;
        put(hello, text, 66);
        text[1] = 16;
        text[0] = 0x2A;
        put(hello, text, 18);
        put(hello, "\x40\x80\x20\x50\x01\x10\x01\x58\x01\x48\x80\x80\x80\x40\x68\x01\x70\x01", 18);
        put(hello,
            "\x31"
            "12345678"
            "\x39"
            "12345678",
            18);

        for (unsigned i = 0; i < 16; i++) {
                unsigned n = i < n_within_missing % 16 ? n_within_missing / 16 + 1 : n_within_missing / 16;
                uint8_t head[] = {0x62, (uint8_t) (sizeof(element) + 3 * n)};

                put(hello, head, sizeof(head));
                put(hello, element, sizeof(element));
                for (unsigned k = 0; k < n; k++)
                        put(hello, "\x1A\x01z", 3);
        }

        for (unsigned i = 0; i < n_in_hello; i++)
                put(hello, "\x7A\x01z", 3);
}

/* 32 unknown fields, so many within the elements, so many in the Hello, the rest beside it. */
static void build_payload(Payload *payload, unsigned n_within_missing, unsigned n_in_hello) {
        unsigned n_beside = 32 - n_within_missing - n_in_hello;
        Payload hello = {};
        uint8_t head[5] = {0x10, 0x01, 0x52};
        size_t left;

        build_hello(&hello, n_within_missing, n_in_hello);
        head[3] = (uint8_t) (0x80 | hello.size % 128);
        head[4] = (uint8_t) (hello.size / 128);
        put(payload, head, sizeof(head));
        put(payload, hello.bytes, hello.size);
        put(payload, "\x18\x01", 2);

        left = sizeof(payload->bytes) - payload->size;
        for (unsigned i = 0; i < n_beside; i++)
                put_unknown(payload, left / n_beside);
}

static void test_worst_payloads(void **state) {
        for (unsigned n_within_missing = 0; n_within_missing <= 32; n_within_missing++)
                for (unsigned n_in_hello = 0; n_in_hello <= 32 - n_within_missing; n_in_hello++) {
                        Payload payload = {};
                        size_t before = n_allocations;
                        Message message;
                        WireVerdict verdict;

                        build_payload(&payload, n_within_missing, n_in_hello);
                        verdict = wire_decode(payload.bytes, payload.size, WIRE_FROM_GUEST, &message);

                        assert_int_equal(n_allocations, before);
                        if (verdict != WIRE_OK)
                                fail_msg("%u within Missing, %u in Hello: %s", n_within_missing, n_in_hello,
                                         wire_verdict_to_string(verdict));
                        assert_int_equal(message.hello.n_missing, 16);
                }
}

/* What stock protobuf-c pays for: many elements, deep nesting, many unknown fields. */
static void test_refused_without_heap(void **state) {
        static const char *const repeats[] = {"\x62\x00", "\x28\x01", "\x52\x02", "\x0B"};

        for (size_t i = 0; i < ELEMENTSOF(repeats); i++) {
                uint8_t payload[FRAME_PAYLOAD_MAX];
                size_t before = n_allocations, size = i == 3 ? 1 : 2;
                Message message;
                WireVerdict verdict;

                for (size_t at = 0; at + size <= sizeof(payload); at += size)
                        memcpy(payload + at, repeats[i], size);
                verdict = wire_decode(payload, sizeof(payload), WIRE_FROM_GUEST, &message);
                assert_int_equal(n_allocations, before);
                assert_int_equal(verdict, WIRE_MALFORMED);
        }
}

static void test_arena(void **state) {
        _Alignas(max_align_t) unsigned char memory[100];
        unsigned char *first, *second;
        WireArena arena;

        wire_arena_init(&arena, memory, sizeof(memory));
        first = arena.allocator.alloc(arena.allocator.allocator_data, 1);
        second = arena.allocator.alloc(arena.allocator.allocator_data, 33);
        assert_ptr_equal(first, memory);
        assert_ptr_equal(second, memory + WIRE_ARENA_ALIGNMENT);

        arena.allocator.free(arena.allocator.allocator_data, first);
        assert_null(arena.allocator.alloc(arena.allocator.allocator_data, 100));
        assert_null(arena.allocator.alloc(arena.allocator.allocator_data, SIZE_MAX));
        assert_null(arena.allocator.alloc(arena.allocator.allocator_data, SIZE_MAX - 8));

        /* The rest to the last byte, and then nothing. */
        assert_ptr_equal(arena.allocator.alloc(arena.allocator.allocator_data, 36), memory + 64);
        assert_null(arena.allocator.alloc(arena.allocator.allocator_data, 1));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_counter),        cmocka_unit_test(test_messages),
                cmocka_unit_test(test_worst_payloads), cmocka_unit_test(test_refused_without_heap),
                cmocka_unit_test(test_arena),
        };

        return cmocka_run_group_tests(tests, count_allocations, NULL);
}
