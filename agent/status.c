/* SPDX-License-Identifier: Apache-2.0 */

#include "agent/status.h"

#include <assert.h>

#include "common/macro.h"

static const char *asker_name(unsigned value) {
        static const char *const names[] = {
                [STATUS_ASKER_NOBODY] = "nobody",
                [STATUS_ASKER_GUEST] = "guest",
                [STATUS_ASKER_HOST] = "host",
        };

        return value < ELEMENTSOF(names) ? names[value] : "unknown";
}

static const char *session_name(unsigned value) {
        static const char *const names[] = {
                [STATUS_SESSION_NO_PORT] = "no-port",
                [STATUS_SESSION_WAITING] = "waiting",
                [STATUS_SESSION_OPEN] = "open",
        };

        return value < ELEMENTSOF(names) ? names[value] : "unknown";
}

static const char *urgency_name(unsigned value) {
        return urgency_to_string((Urgency) value);
}

static const char *cause_name(unsigned value) {
        return cause_to_string((Cause) value);
}

static const char *kind_name(unsigned value) {
        return history_kind_to_string((HistoryKind) value);
}

#define STATUS(name, member, reading)                                                                        \
        { name, reading, offsetof(Status, member), NULL }
#define REPORT(name, reading) STATUS(#name, report.name, reading)
#define REFUSED(name, why)    STATUS(name, n_refused[why], READ_U64)
static_assert(REFUSAL_REASON_MAX == REFUSAL_REPEATED + 1, "every refusal has a row");

static const FieldRow status_rows[] = {
        STATUS("kernel_release", kernel_release, READ_TEXT),
        {"session", READ_NAME, offsetof(Status, session), session_name},
        STATUS("bridge_version", bridge_version, READ_TEXT),
        {"urgency", READ_NAME, offsetof(Status, report.urgency), urgency_name},
        {"cause", READ_NAME, offsetof(Status, report.cause), cause_name},
        STATUS("total_bytes", report.memory_total_bytes, READ_U64),
        REPORT(usable_bytes, READ_U64),
        STATUS("available_bytes", report.memory_available_bytes, READ_U64),
        STATUS("free_bytes", report.memory_free_bytes, READ_U64),
        REPORT(used_bytes, READ_U64),
        REPORT(swap_total_bytes, READ_U64),
        REPORT(swap_free_bytes, READ_U64),
        REPORT(demand_bytes, READ_U64),
        REPORT(need_bytes, READ_I64),
        REPORT(reserve_bytes, READ_U64),
        REPORT(floor_bytes, READ_U64),
        REPORT(plug_budget_bytes, READ_U64),
        REPORT(fall_bytes_per_sec, READ_U64),
        REPORT(time_to_exhaustion_usec, READ_U64),
        REPORT(kernel_zone, READ_BOOLEAN),
        REPORT(psi_some_usec, READ_U64),
        REPORT(psi_full_usec, READ_U64),
        REPORT(oom_kills, READ_U64),
        REPORT(balloon_bytes, READ_U64),
        STATUS("balloon_target_bytes", ask.balloon_target_bytes, READ_AGE),
        STATUS("balloon_in_total", balloon_in_total, READ_BOOLEAN),
        STATUS("block_size_bytes", block_size_bytes, READ_U64),
        REPORT(blocks_online, READ_UNSIGNED),
        REPORT(blocks_offline, READ_UNSIGNED),
        STATUS("actuator_delay_usec", delay_usec, READ_U64),
        REPORT(frames_dropped, READ_U64),
        REPORT(frames_void, READ_U64),
        REFUSED("refused_margin", REFUSAL_MARGIN),
        REFUSED("refused_not_freed", REFUSAL_NOT_FREED),
        REFUSED("refused_pressure", REFUSAL_PRESSURE),
        REFUSED("refused_unsettled", REFUSAL_UNSETTLED),
        REFUSED("refused_held", REFUSAL_HELD),
        REFUSED("refused_floor", REFUSAL_FLOOR),
        REFUSED("refused_expired", REFUSAL_EXPIRED),
        REFUSED("refused_invalid", REFUSAL_INVALID),
        REFUSED("refused_unsupported", REFUSAL_UNSUPPORTED),
        REFUSED("refused_repeated", REFUSAL_REPEATED),
        {"asked_by", READ_NAME, offsetof(Status, ask.by), asker_name},
        STATUS("asked_id", ask.id, READ_U64),
        STATUS("asked_bytes", ask.bytes, READ_U64),
        STATUS("asked_realtime_usec", ask.realtime_usec, READ_U64),
};

static const FieldRow history_rows[] = {
        {"realtime_usec", READ_U64, offsetof(HistoryEntry, realtime_usec), NULL},
        {"what", READ_NAME, offsetof(HistoryEntry, kind), kind_name},
        {"bytes", READ_U64, offsetof(HistoryEntry, bytes), NULL},
        {"id", READ_U64, offsetof(HistoryEntry, id), NULL},
        {"times", READ_UNSIGNED, offsetof(HistoryEntry, n_times), NULL},
};

static Field text_field(const char *name, const char *text) {
        Field field = {.name = name, .type = FIELD_STRING};

        (void) snprintf(field.text, sizeof(field.text), "%s", text ? text : "");
        return field;
}

size_t fields_of_status(const Status *status, Field ret[static STATUS_FIELDS_MAX]) {
        size_t n;

        assert(status);
        static_assert(ELEMENTSOF(status_rows) + 4 <= STATUS_FIELDS_MAX, "the fields fit");

        ret[0] = text_field("agent_version", MEMTIDE_VERSION);
        n = 1 + fields_read(status_rows, ELEMENTSOF(status_rows), status, ret + 1);
        ret[n++] = text_field("asked_why", status->ask.why);
        ret[n++] = field_of_capabilities("capabilities", status->capabilities);
        ret[n] = (Field){.name = "missing", .type = FIELD_LIST};
        for (size_t i = 0; i < status->n_missing; i++)
                field_add_missing(ret + n, status->missing[i].facility, (int) status->missing[i].error);
        return n + 1;
}

size_t fields_of_history(const HistoryEntry *entry, Field ret[static STATUS_FIELDS_MAX]) {
        size_t n;

        assert(entry);
        n = fields_read(history_rows, ELEMENTSOF(history_rows), entry, ret);
        ret[n++] = text_field("reason", entry->reason);
        return n;
}
