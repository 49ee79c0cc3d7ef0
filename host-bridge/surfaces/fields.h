/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The values of snapshot.h and decision.h as flat lists of named, typed fields: the one place that fixes the
 * names which sd-bus, JSON and (later) metrics show. The names are an interface: they are added to, never changed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host-bridge/policy/decision.h"
#include "host-bridge/surfaces/snapshot.h"

typedef enum FieldType {
        FIELD_U64,
        FIELD_I64,
        FIELD_BOOLEAN,
        FIELD_STRING,
        FIELD_LIST, /* strings, comma-separated in text; "" is the empty list */
        FIELD_TYPE_MAX,
} FieldType;

#define FIELD_TEXT_MAX 512U

typedef struct Field {
        const char *name; /* snake_case with its unit: available_bytes */
        FieldType type;
        uint64_t u64;
        int64_t i64;
        bool boolean;
        char text[FIELD_TEXT_MAX];
} Field;

#define FIELDS_MAX 80U

/* Each fills up to FIELDS_MAX fields and returns how many. */
size_t fields_of_vm(const VmSnapshot *vm, Field ret[static FIELDS_MAX]);
size_t fields_of_bridge(const BridgeSnapshot *bridge, Field ret[static FIELDS_MAX]);
size_t fields_of_decision(const Decision *decision, Field ret[static FIELDS_MAX]);
