/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Three tables, one walker. A table row says where in the struct a value stands and how it is read; so a
 * new figure is one row, and bus, JSON and tests have it.
 */

#include "host-bridge/surfaces/fields.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/macro.h"

typedef enum Reading {
        READ_U64,
        READ_I64,
        READ_UNSIGNED,
        READ_SIZE,
        READ_BOOLEAN,
        READ_TEXT, /* char array */
        READ_NAME, /* an enum, by its name function */
        READ_AGE,  /* uint64_t usec, left out when UINT64_MAX */
} Reading;

typedef struct Row {
        const char *name;
        Reading reading;
        size_t offset;
        const char *(*to_string)(unsigned value);
} Row;

#define NAMER(function, type)                                                                                \
        static const char *function##_name(unsigned value) {                                                 \
                return function((type) value);                                                               \
        }

NAMER(vm_state_to_string, VmState)
NAMER(urgency_to_string, Urgency)
NAMER(cause_to_string, Cause)
NAMER(actuator_to_string, Actuator)
NAMER(refusal_reason_to_string, RefusalReason)
NAMER(decision_kind_to_string, DecisionKind)
NAMER(decision_rule_to_string, DecisionRule)
NAMER(decision_result_to_string, DecisionResult)

#define VM(name, reading)                                                                                    \
        { #name, reading, offsetof(VmSnapshot, name), NULL }
#define VM_NAME(name, function)                                                                              \
        { #name, READ_NAME, offsetof(VmSnapshot, name), function##_name }

static const Row vm_rows[] = {
        VM(name, READ_TEXT),
        VM_NAME(state, vm_state_to_string),
        VM(now_usec, READ_U64),
        VM(controlled, READ_BOOLEAN),
        VM(min_bytes, READ_U64),
        VM(max_bytes, READ_U64),
        VM(size_bytes, READ_U64),
        VM(committed_bytes, READ_U64),
        VM(ceiling_bytes, READ_U64),
        VM(balloon_bytes, READ_U64),
        {"boot_bytes", READ_U64, offsetof(VmSnapshot, model.boot_bytes), NULL},
        {"dimm_bytes", READ_U64, offsetof(VmSnapshot, model.dimm_bytes), NULL},
        VM(agent_connected, READ_BOOLEAN),
        VM(agent_version, READ_TEXT),
        VM(kernel_release, READ_TEXT),
        VM(report_age_usec, READ_AGE),
        VM_NAME(urgency, urgency_to_string),
        VM_NAME(cause, cause_to_string),
        VM(total_bytes, READ_U64),
        VM(usable_bytes, READ_U64),
        VM(available_bytes, READ_U64),
        VM(used_bytes, READ_U64),
        VM(demand_bytes, READ_U64),
        VM(floor_bytes, READ_U64),
        VM(need_bytes, READ_I64),
        VM(fall_bytes_per_sec, READ_U64),
        VM(time_to_exhaustion_usec, READ_U64),
        VM(psi_some_usec, READ_U64),
        VM(psi_full_usec, READ_U64),
        VM(oom_kills, READ_U64),
        VM(blocks_online, READ_UNSIGNED),
        VM(blocks_offline, READ_UNSIGNED),
        VM(frames_ok, READ_U64),
        VM(frames_garbled, READ_U64),
        VM(frames_overlong, READ_U64),
        VM(frames_malformed, READ_U64),
        VM(frames_void, READ_U64),
        VM(frames_replayed, READ_U64),
        VM(resizing, READ_BOOLEAN),
};

#define BRIDGE(name, reading)                                                                                \
        { #name, reading, offsetof(BridgeSnapshot, name), NULL }

static const Row bridge_rows[] = {
        BRIDGE(version, READ_TEXT),        BRIDGE(now_usec, READ_U64), BRIDGE(budget_bytes, READ_AGE),
        BRIDGE(committed_bytes, READ_U64), BRIDGE(n_vms, READ_SIZE),
};

#define DECISION(name, reading)                                                                              \
        { #name, reading, offsetof(Decision, name), NULL }
#define DECISION_NAME(name, function)                                                                        \
        { #name, READ_NAME, offsetof(Decision, name), function##_name }
#define INPUT(name, reading)                                                                                 \
        { #name, reading, offsetof(Decision, inputs.name), NULL }
#define INPUT_NAME(name, function)                                                                           \
        { #name, READ_NAME, offsetof(Decision, inputs.name), function##_name }

static const Row decision_rows[] = {
        DECISION(id, READ_U64),
        DECISION(vm, READ_TEXT),
        DECISION(realtime_usec, READ_U64),
        DECISION_NAME(kind, decision_kind_to_string),
        DECISION_NAME(rule, decision_rule_to_string),
        DECISION_NAME(result, decision_result_to_string),
        DECISION_NAME(refusal, refusal_reason_to_string),
        DECISION_NAME(actuator, actuator_to_string),
        DECISION(n_steps, READ_UNSIGNED),
        DECISION(wanted_bytes, READ_U64),
        DECISION(requested_bytes, READ_U64),
        DECISION(confirmed_bytes, READ_I64),
        DECISION(alarm_usec, READ_U64),
        DECISION(request_usec, READ_U64),
        DECISION(accepted_usec, READ_U64),
        DECISION(first_confirm_usec, READ_U64),
        DECISION(closed_usec, READ_U64),
        DECISION(guest_stall_usec, READ_U64),
        INPUT_NAME(urgency, urgency_to_string),
        INPUT_NAME(cause, cause_to_string),
        INPUT(usable_bytes, READ_U64),
        INPUT(available_bytes, READ_U64),
        INPUT(used_bytes, READ_U64),
        INPUT(demand_bytes, READ_U64),
        INPUT(floor_bytes, READ_U64),
        INPUT(need_bytes, READ_I64),
        INPUT(time_to_exhaustion_usec, READ_U64),
        INPUT(fall_bytes_per_sec, READ_U64),
        INPUT(size_bytes, READ_U64),
        INPUT(min_bytes, READ_U64),
        INPUT(max_bytes, READ_U64),
        INPUT(budget_bytes, READ_AGE),
        INPUT(budget_used_bytes, READ_U64),
        INPUT(report_age_usec, READ_AGE),
};

static void set_u64(Field *field, uint64_t value) {
        field->type = FIELD_U64;
        field->u64 = value;
}

static void set_text(Field *field, FieldType type, const char *text) {
        field->type = type;
        (void) snprintf(field->text, sizeof(field->text), "%s", text);
}

/* Returns false if the value is one that is left out. */
static bool read_row(const Row *row, const void *base, Field *ret) {
        const void *at = (const char *) base + row->offset;

        *ret = (Field){.name = row->name};
        switch (row->reading) {
        case READ_AGE:
                if (*(const uint64_t *) at == UINT64_MAX)
                        return false;
                set_u64(ret, *(const uint64_t *) at);
                return true;
        case READ_U64:
                set_u64(ret, *(const uint64_t *) at);
                return true;
        case READ_UNSIGNED:
                set_u64(ret, *(const unsigned *) at);
                return true;
        case READ_SIZE:
                set_u64(ret, *(const size_t *) at);
                return true;
        case READ_I64:
                ret->type = FIELD_I64;
                ret->i64 = *(const int64_t *) at;
                return true;
        case READ_BOOLEAN:
                ret->type = FIELD_BOOLEAN;
                ret->boolean = *(const bool *) at;
                return true;
        case READ_TEXT:
                set_text(ret, FIELD_STRING, at);
                return true;
        case READ_NAME:
                set_text(ret, FIELD_STRING, row->to_string(*(const unsigned *) at));
                return true;
        }
        return false;
}

static size_t read_rows(const Row *rows, size_t n_rows, const void *base, Field *ret) {
        size_t n = 0;

        assert(n_rows <= FIELDS_MAX);
        for (size_t i = 0; i < n_rows; i++)
                if (read_row(rows + i, base, ret + n))
                        n++;
        return n;
}

static void add_to_list(Field *field, const char *text) {
        size_t length = strlen(field->text);

        (void) snprintf(field->text + length, sizeof(field->text) - length, "%s%s", length > 0 ? "," : "",
                        text);
}

static size_t add_virtio_mem(const MemoryModel *model, Field *ret) {
        uint64_t size = 0, requested = 0, max = 0;

        for (unsigned i = 0; i < model->n_virtio_mem; i++) {
                size = u64_add(size, model->virtio_mem[i].size_bytes);
                requested = u64_add(requested, model->virtio_mem[i].requested_bytes);
                max = u64_add(max, model->virtio_mem[i].max_bytes);
        }
        ret[0] = (Field){.name = "virtio_mem_bytes", .type = FIELD_U64, .u64 = size};
        ret[1] = (Field){.name = "virtio_mem_requested_bytes", .type = FIELD_U64, .u64 = requested};
        ret[2] = (Field){.name = "virtio_mem_max_bytes", .type = FIELD_U64, .u64 = max};
        return 3;
}

static size_t add_facilities(const VmSnapshot *vm, Field *ret) {
        ret[0] = (Field){.name = "capabilities", .type = FIELD_LIST};
        for (unsigned bit = 1; bit != 0; bit <<= 1) {
                const char *name = capability_to_string(bit);

                if (name && vm->capabilities & bit)
                        add_to_list(ret, name);
        }

        ret[1] = (Field){.name = "missing", .type = FIELD_LIST};
        for (size_t i = 0; i < vm->n_missing && i < SNAPSHOT_MISSING_MAX; i++) {
                char text[128];
                const char *error = strerrorname_np((int) vm->missing_error[i]);

                (void) snprintf(text, sizeof(text), "%s (%s)", facility_to_string(vm->missing[i]),
                                error ? error : "?");
                add_to_list(ret + 1, text);
        }
        return 2;
}

size_t fields_of_vm(const VmSnapshot *vm, Field ret[static FIELDS_MAX]) {
        size_t n;

        assert(vm);
        static_assert(ELEMENTSOF(vm_rows) + 5 <= FIELDS_MAX, "a VM's fields fit");

        n = read_rows(vm_rows, ELEMENTSOF(vm_rows), vm, ret);
        n += add_virtio_mem(&vm->model, ret + n);
        n += add_facilities(vm, ret + n);
        return n;
}

size_t fields_of_bridge(const BridgeSnapshot *bridge, Field ret[static FIELDS_MAX]) {
        assert(bridge);
        return read_rows(bridge_rows, ELEMENTSOF(bridge_rows), bridge, ret);
}

size_t fields_of_decision(const Decision *decision, Field ret[static FIELDS_MAX]) {
        assert(decision);
        return read_rows(decision_rows, ELEMENTSOF(decision_rows), decision, ret);
}
