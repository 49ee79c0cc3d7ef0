/* SPDX-License-Identifier: Apache-2.0 */

/* Three tables for the walker of common/field.c: a new figure is one row, and bus, JSON and tests have it. */

#include "host-bridge/surfaces/fields.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/macro.h"

#define NAMER(function, type)                                                                                \
        static const char *function##_name(unsigned value) {                                                 \
                return function((type) value);                                                               \
        }

NAMER(vm_state_to_string, VmState)
NAMER(vm_mode_to_string, VmMode)
NAMER(vm_class_to_string, VmClass)
NAMER(doubt_to_string, Doubt)
NAMER(pool_level_to_string, PoolLevel)
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

static const FieldRow vm_rows[] = {
        VM(name, READ_TEXT),
        VM_NAME(state, vm_state_to_string),
        VM(now_usec, READ_U64),
        VM_NAME(mode, vm_mode_to_string),
        {"class", READ_NAME, offsetof(VmSnapshot, vm_class), vm_class_to_string_name},
        VM_NAME(doubt, doubt_to_string),
        VM(fair_bytes, READ_U64),
        VM(waiting, READ_BOOLEAN),
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
        VM(agent_frames_dropped, READ_U64),
        VM(agent_frames_void, READ_U64),
        VM(resizing, READ_BOOLEAN),
        VM(harm_stalled_usec, READ_U64),
        VM(harm_kills, READ_U64),
        VM(held, READ_BOOLEAN),
        VM(held_usec, READ_AGE),
        VM(leased_by, READ_TEXT),
        VM(n_yields, READ_UNSIGNED),
        VM(yields_usec, READ_AGE),
        VM(n_shadowed, READ_U64),
        VM(shadow_bytes, READ_U64),
};

#define BRIDGE(name, reading)                                                                                \
        { #name, reading, offsetof(BridgeSnapshot, name), NULL }

static const FieldRow bridge_rows[] = {
        BRIDGE(version, READ_TEXT),
        BRIDGE(now_usec, READ_U64),
        BRIDGE(budget_bytes, READ_AGE),
        BRIDGE(committed_bytes, READ_U64),
        BRIDGE(pool_bytes, READ_U64),
        {"pool_level", READ_NAME, offsetof(BridgeSnapshot, pool_level), pool_level_to_string_name},
        BRIDGE(n_waiting, READ_SIZE),
        BRIDGE(pressed, READ_BOOLEAN),
        BRIDGE(n_vms, READ_SIZE),
};

#define DECISION(name, reading)                                                                              \
        { #name, reading, offsetof(Decision, name), NULL, sizeof(((Decision *) NULL)->name) }
#define DECISION_NAME(name, function)                                                                        \
        { #name, READ_NAME, offsetof(Decision, name), function##_name }
#define INPUT(name, reading)                                                                                 \
        { #name, reading, offsetof(Decision, inputs.name), NULL }
#define INPUT_NAME(name, function)                                                                           \
        { #name, READ_NAME, offsetof(Decision, inputs.name), function##_name }

static const FieldRow decision_rows[] = {
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
        DECISION(late_bytes, READ_U64),
        DECISION(late_usec, READ_U64),
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
        INPUT(target_bytes, READ_U64),
        INPUT(harm_stalled_usec, READ_U64),
        INPUT(harm_kills, READ_U64),
};

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
        ret[0] = field_of_capabilities("capabilities", vm->capabilities);
        ret[1] = (Field){.name = "missing", .type = FIELD_LIST};
        for (size_t i = 0; i < vm->n_missing && i < SNAPSHOT_MISSING_MAX; i++)
                field_add_missing(ret + 1, vm->missing[i], (int) vm->missing_error[i]);
        return 2;
}

static Field lack_codes(uint64_t lacks) {
        Field list = {.name = "lacks", .type = FIELD_LIST};

        for (Lack lack = 0; lack < LACK_KIND_MAX; lack++) {
                size_t length = strlen(list.text);

                if (lacks_has(lacks, lack))
                        (void) snprintf(list.text + length, sizeof(list.text) - length, "%s%s",
                                        length > 0 ? "," : "", lack_code(lack));
        }
        return list;
}

static Field text_field(const char *name, const char *text) {
        Field field = {.name = name, .type = FIELD_STRING};

        (void) snprintf(field.text, sizeof(field.text), "%s", text);
        return field;
}

size_t fields_of_lack(const char *vm, Lack lack, Field ret[static FIELDS_MAX]) {
        assert(vm);

        ret[0] = text_field("vm", vm);
        ret[1] = text_field("code", lack_code(lack));
        ret[2] = text_field("severity", lack_severity_to_string(lack_severity(lack)));
        ret[3] = text_field("text", lack_text(lack));
        ret[4] = text_field("fix", lack_fix(lack));
        return 5;
}

size_t fields_of_vm(const VmSnapshot *vm, Field ret[static FIELDS_MAX]) {
        size_t n;

        assert(vm);
        static_assert(ELEMENTSOF(vm_rows) + 6 <= FIELDS_MAX, "a VM's fields fit");

        n = fields_read(vm_rows, ELEMENTSOF(vm_rows), vm, ret);
        n += add_virtio_mem(&vm->model, ret + n);
        n += add_facilities(vm, ret + n);
        ret[n++] = lack_codes(vm->lacks);
        return n;
}

size_t fields_of_bridge(const BridgeSnapshot *bridge, Field ret[static FIELDS_MAX]) {
        assert(bridge);
        return fields_read(bridge_rows, ELEMENTSOF(bridge_rows), bridge, ret);
}

size_t fields_of_decision(const Decision *decision, Field ret[static FIELDS_MAX]) {
        assert(decision);
        return fields_read(decision_rows, ELEMENTSOF(decision_rows), decision, ret);
}

void decision_of_fields(const Field *fields, size_t n, Decision *ret) {
        assert(fields || n == 0);
        assert(ret);

        *ret = (Decision){0};
        fields_write(decision_rows, ELEMENTSOF(decision_rows), fields, n, ret);
}
