/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A pointer that only rises. protobuf-c's message lives for one wire_decode(), so freeing is giving
 * up the whole stack frame; an allocation beyond the end fails, and protobuf-c reports it as bad input.
 */

#include "proto/wire-arena.h"

#include <assert.h>
#include <stdint.h>

static void *arena_alloc(void *userdata, size_t size) {
        WireArena *arena = userdata;
        void *memory;

        if (size > arena->size - arena->used)
                return NULL;

        memory = arena->memory + arena->used;
        /* The last allocation may round up beyond the end. */
        arena->used += size + (WIRE_ARENA_ALIGNMENT - size % WIRE_ARENA_ALIGNMENT) % WIRE_ARENA_ALIGNMENT;
        if (arena->used > arena->size)
                arena->used = arena->size;
        return memory;
}

static void arena_free(void *userdata, void *memory) {
}

void wire_arena_init(WireArena *arena, void *memory, size_t size) {
        assert(arena);
        assert((uintptr_t) memory % WIRE_ARENA_ALIGNMENT == 0);

        *arena = (WireArena){
                .allocator = {.alloc = arena_alloc, .free = arena_free, .allocator_data = arena},
                .memory = memory,
                .size = size,
        };
}
