/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A bounded arena as protobuf-c's allocator: memory of the caller's frame in place of the heap. */

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

typedef struct WireArena {
        ProtobufCAllocator allocator; /* to be given to protobuf-c; the arena must not move then */
        unsigned char *memory;        /* borrowed */
        size_t size, used;
} WireArena;

/* Alignment of each allocation, and so the most that one of them can waste. */
#define WIRE_ARENA_ALIGNMENT _Alignof(max_align_t)

/* memory (borrowed) must be aligned as max_align_t. Nothing is to be freed afterwards. */
void wire_arena_init(WireArena *arena, void *memory, size_t size);
