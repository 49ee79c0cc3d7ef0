/* SPDX-License-Identifier: Apache-2.0 */

/* The peer is given every advantage that is honest: one table, one snprintf() per field into one buffer, no copy. */

#include "bench-json.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

typedef enum FieldKind {
        FIELD_U64,
        FIELD_S64,
        FIELD_WORD, /* int, unsigned and enums */
        FIELD_BOOL,
} FieldKind;

typedef struct Field {
        const char *name;
        size_t offset;
        FieldKind kind;
} Field;

#define OF_ENVELOPE(member, kind)                                                                            \
        { #member, offsetof(Message, member), kind }
#define OF_REPORT(member, kind)                                                                              \
        { #member, offsetof(Message, report.member), kind }

static const Field fields[] = {
        OF_ENVELOPE(session, FIELD_WORD),
        OF_ENVELOPE(sequence, FIELD_U64),
        OF_ENVELOPE(monotonic_usec, FIELD_U64),
        OF_REPORT(memory_total_bytes, FIELD_U64),
        OF_REPORT(memory_available_bytes, FIELD_U64),
        OF_REPORT(memory_free_bytes, FIELD_U64),
        OF_REPORT(file_cache_bytes, FIELD_U64),
        OF_REPORT(swap_total_bytes, FIELD_U64),
        OF_REPORT(swap_free_bytes, FIELD_U64),
        OF_REPORT(balloon_bytes, FIELD_U64),
        OF_REPORT(usable_bytes, FIELD_U64),
        OF_REPORT(used_bytes, FIELD_U64),
        OF_REPORT(reserve_bytes, FIELD_U64),
        OF_REPORT(demand_bytes, FIELD_U64),
        OF_REPORT(need_bytes, FIELD_S64),
        OF_REPORT(floor_bytes, FIELD_U64),
        OF_REPORT(time_to_exhaustion_usec, FIELD_U64),
        OF_REPORT(fall_bytes_per_sec, FIELD_U64),
        OF_REPORT(urgency, FIELD_WORD),
        OF_REPORT(cause, FIELD_WORD),
        OF_REPORT(kernel_zone, FIELD_BOOL),
        OF_REPORT(psi_some_usec, FIELD_U64),
        OF_REPORT(psi_full_usec, FIELD_U64),
        OF_REPORT(oom_kills, FIELD_U64),
        OF_REPORT(blocks_online, FIELD_WORD),
        OF_REPORT(blocks_offline, FIELD_WORD),
        OF_REPORT(plug_budget_bytes, FIELD_U64),
        OF_REPORT(interval_usec, FIELD_U64),
        OF_REPORT(frames_dropped, FIELD_U64),
};
#define N_FIELDS (sizeof(fields) / sizeof(fields[0]))

static int64_t field_get(const Message *message, const Field *field) {
        const char *at = (const char *) message + field->offset;

        switch (field->kind) {
        case FIELD_WORD:
                return *(const unsigned *) (const void *) at;
        case FIELD_BOOL:
                return *(const bool *) at;
        case FIELD_U64:
        case FIELD_S64:
                break;
        }
        return *(const int64_t *) (const void *) at;
}

static void field_set(Message *message, const Field *field, int64_t value) {
        char *at = (char *) message + field->offset;

        switch (field->kind) {
        case FIELD_WORD:
                *(unsigned *) (void *) at = (unsigned) value;
                return;
        case FIELD_BOOL:
                *(bool *) at = value != 0;
                return;
        case FIELD_U64:
        case FIELD_S64:
                break;
        }
        *(int64_t *) (void *) at = value;
}

size_t bench_json_encode(const Message *message, char *out, size_t size) {
        size_t fill = 0;

        for (size_t i = 0; i < N_FIELDS; i++) {
                int n = snprintf(out + fill, size - fill, "%c\"%s\":%" PRId64, i == 0 ? '{' : ',',
                                 fields[i].name, field_get(message, &fields[i]));

                if (n < 0 || (size_t) n >= size - fill)
                        return 0;
                fill += (size_t) n;
        }
        if (size - fill < 3)
                return 0;
        memcpy(out + fill, "}\n", 3);
        return fill + 2;
}

bool bench_json_decode(const char *text, size_t size, Message *ret) {
        json_t *object = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
        bool good = object;

        memset(ret, 0, sizeof(*ret));
        for (size_t i = 0; good && i < N_FIELDS; i++) {
                json_t *value = json_object_get(object, fields[i].name);

                good = json_is_integer(value) &&
                       (fields[i].kind == FIELD_S64 || json_integer_value(value) >= 0);
                if (good)
                        field_set(ret, &fields[i], json_integer_value(value));
        }
        json_decref(object);
        return good;
}
