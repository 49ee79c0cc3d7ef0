/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The values of snapshot.h and decision.h as flat lists of named, typed fields: the one place that fixes the
 * names which sd-bus, JSON and (later) metrics show. The names are an interface: they are added to, never changed.
 */

#include <stddef.h>

#include "common/field.h"
#include "host-bridge/policy/decision.h"
#include "host-bridge/policy/lacks.h"
#include "host-bridge/surfaces/snapshot.h"

#define FIELDS_MAX 80U

/* Each fills up to FIELDS_MAX fields and returns how many. */
size_t fields_of_vm(const VmSnapshot *vm, Field ret[static FIELDS_MAX]);
size_t fields_of_bridge(const BridgeSnapshot *bridge, Field ret[static FIELDS_MAX]);
size_t fields_of_decision(const Decision *decision, Field ret[static FIELDS_MAX]);

/* One thing that a VM lacks: vm, code, severity, text, fix. */
size_t fields_of_lack(const char *vm, Lack lack, Field ret[static FIELDS_MAX]);

/* The way back. Fields may come in any order; an unknown one, or one of a wrong kind, is passed over. */
void decision_of_fields(const Field *fields, size_t n, Decision *ret);
