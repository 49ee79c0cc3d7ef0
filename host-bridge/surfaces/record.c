/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A ring of decisions, newest last, and their words in the log.
 *
 * A decision is put when it is made, as it goes, when it is closed and when more of it is confirmed later; the one slot is
 * updated, so a ring of N holds N decisions and not N updates. It is logged on the first put, on the one that closes it and on
 * those that amend it, also where it has left the ring by then: the log and the audit have it still. The ring is searched
 * from its newest end, where the open decisions are: no index is needed.
 */

#include "host-bridge/surfaces/record.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/parse.h"
#include "common/units.h"
#include "host-bridge/surfaces/messages.h"

struct Record {
        size_t capacity, n, next; /* next: slot of the next new decision */
        uint64_t last_id;
        struct {
                RecordWatcher watcher; /* NULL: free */
                void *userdata;
        } watchers[RECORD_WATCHERS_MAX];
        Decision ring[];
};

int record_new(size_t capacity, Record **ret) {
        Record *record;

        assert(capacity > 0);
        assert(ret);

        record = calloc(1, sizeof(Record) + capacity * sizeof(Decision));
        if (!record)
                return -ENOMEM;
        record->capacity = capacity;
        /* Milliseconds since 1970: a restarted bridge goes on above the ids of its predecessor. */
        record->last_id = clock_realtime_usec() / USEC_PER_MSEC;
        *ret = record;
        return 0;
}

Record *record_free(Record *record) {
        free(record);
        return NULL;
}

void record_watch(Record *record, RecordWatcher watcher, void *userdata) {
        assert(record);
        assert(watcher);

        for (size_t i = 0; i < RECORD_WATCHERS_MAX; i++)
                if (!record->watchers[i].watcher) {
                        record->watchers[i].watcher = watcher;
                        record->watchers[i].userdata = userdata;
                        return;
                }
        assert(false); /* they are all ours: raise RECORD_WATCHERS_MAX */
}

void record_unwatch(Record *record, void *userdata) {
        assert(record);

        for (size_t i = 0; i < RECORD_WATCHERS_MAX; i++)
                if (record->watchers[i].userdata == userdata)
                        record->watchers[i].watcher = NULL;
}

uint64_t record_next_id(Record *record) {
        return ++record->last_id;
}

/* The slot of the i-th newest decision. */
static size_t slot_of(const Record *record, size_t i) {
        return (record->next + record->capacity - 1 - i) % record->capacity;
}

static Decision *find(Record *record, uint64_t id) {
        for (size_t i = 0; i < record->n; i++) {
                Decision *decision = record->ring + slot_of(record, i);

                if (decision->id == id)
                        return decision;
        }
        return NULL;
}

static const char *inputs_text(const Decision *decision, char *buffer, size_t size) {
        const DecisionInputs *in = &decision->inputs;
        char available[FORMAT_SIZE_MAX], usable[FORMAT_SIZE_MAX], vm_size[FORMAT_SIZE_MAX],
                max[FORMAT_SIZE_MAX];

        (void) snprintf(buffer, size, "guest is %s (%s), %s of %s available; size %s, max %s",
                        urgency_to_string(in->urgency), cause_to_string(in->cause),
                        format_size(available, in->available_bytes), format_size(usable, in->usable_bytes),
                        format_size(vm_size, in->size_bytes), format_size(max, in->max_bytes));
        return buffer;
}

#define LOG_FIELDS_OF_DECISION 12U

static size_t log_fields(const Decision *decision, LogField ret[static LOG_FIELDS_OF_DECISION]) {
        const LogField fields[] = {
                {"VM_NAME", decision->vm},
                {"RULE", decision_rule_to_string(decision->rule)},
                {"CAUSE", cause_to_string(decision->inputs.cause)},
                {"URGENCY", urgency_to_string(decision->inputs.urgency)},
                {"ACTUATOR", actuator_to_string(decision->actuator)},
                {"RESULT", decision_result_to_string(decision->result)},
                {"DECISION_ID", .number = (int64_t) decision->id},
                {"WANTED_BYTES", .number = (int64_t) decision->wanted_bytes},
                {"REQUESTED_BYTES", .number = (int64_t) decision->requested_bytes},
                {"OLD_BYTES", .number = (int64_t) decision->inputs.size_bytes},
                {"AVAILABLE_BYTES", .number = (int64_t) decision->inputs.available_bytes},
                {"CONFIRMED_BYTES", .number = decision->confirmed_bytes},
        };

        static_assert(ELEMENTSOF(fields) == LOG_FIELDS_OF_DECISION, "the caller's array");
        memcpy(ret, fields, sizeof(fields));
        return ELEMENTSOF(fields);
}

static void log_made(const Decision *decision) {
        LogField fields[LOG_FIELDS_OF_DECISION];
        char inputs[256], wanted[FORMAT_SIZE_MAX];
        size_t n = log_fields(decision, fields);
        bool denied = decision->kind == DECISION_DENY;

        log_event(LOG_NOTICE, denied ? MESSAGE_ID_DENIED : MESSAGE_ID_DECIDED, fields, n,
                  "%s: %s %s by rule %s: %s", decision->vm, decision_kind_to_string(decision->kind),
                  format_size(wanted, decision->wanted_bytes), decision_rule_to_string(decision->rule),
                  inputs_text(decision, inputs, sizeof(inputs)));
}

static void log_closed(const Decision *decision) {
        LogField fields[LOG_FIELDS_OF_DECISION];
        char confirmed[FORMAT_SIZE_MAX], wanted[FORMAT_SIZE_MAX], took[FORMAT_TIMESPAN_MAX];
        size_t n = log_fields(decision, fields);
        int64_t delta = decision->confirmed_bytes;
        bool whole = decision->result == RESULT_DONE;

        log_event(whole ? LOG_NOTICE : LOG_WARNING, whole ? MESSAGE_ID_CLOSED : MESSAGE_ID_CLOSED_SHORT,
                  fields, n, "%s: %s %s %s%s%s: the guest confirms %s%s after %s", decision->vm,
                  decision_kind_to_string(decision->kind), format_size(wanted, decision->wanted_bytes),
                  decision_result_to_string(decision->result), decision->refusal != REFUSAL_NONE ? ", " : "",
                  decision->refusal != REFUSAL_NONE ? refusal_reason_to_string(decision->refusal) : "",
                  delta < 0 ? "-" : "+", format_size(confirmed, i64_magnitude(delta)),
                  format_timespan(took, u64_sub(decision->closed_usec, decision->alarm_usec)));
}

static void log_late(const Decision *decision) {
        LogField fields[LOG_FIELDS_OF_DECISION + 1];
        char late[FORMAT_SIZE_MAX], confirmed[FORMAT_SIZE_MAX], after[FORMAT_TIMESPAN_MAX];
        size_t n = log_fields(decision, fields);

        fields[n++] = (LogField){"LATE_BYTES", .number = (int64_t) decision->late_bytes};
        log_event(LOG_NOTICE, MESSAGE_ID_LATE, fields, n,
                  "%s: %s %s, late: %s of %s%s that the guest confirms came up to %s after it was closed",
                  decision->vm, decision_kind_to_string(decision->kind),
                  decision_result_to_string(decision->result), format_size(late, decision->late_bytes),
                  decision->confirmed_bytes < 0 ? "-" : "+",
                  format_size(confirmed, i64_magnitude(decision->confirmed_bytes)),
                  format_timespan(after, u64_sub(decision->late_usec, decision->closed_usec)));
}

static Decision *new_slot(Record *record) {
        Decision *slot = record->ring + record->next;

        record->next = (record->next + 1) % record->capacity;
        record->n = MIN_OF(record->n + 1, record->capacity);
        return slot;
}

void record_put(Record *record, const Decision *decision) {
        Decision *slot, before;
        bool known;

        assert(record);
        assert(decision && decision->id != 0);

        slot = find(record, decision->id);
        known = slot != NULL;
        if (known)
                before = *slot;
        else if (decision->late_bytes == 0) {
                slot = new_slot(record);
                log_made(decision);
        }
        if (slot)
                *slot = *decision;
        if (decision->late_bytes > 0) {
                if (!known || before.late_bytes < decision->late_bytes)
                        log_late(decision);
        } else if (decision->result != RESULT_DENIED && record_is_final(decision, known ? &before : NULL))
                log_closed(decision);
        for (size_t i = 0; i < RECORD_WATCHERS_MAX; i++)
                if (record->watchers[i].watcher)
                        record->watchers[i].watcher(decision, known ? &before : NULL,
                                                    record->watchers[i].userdata);
}

size_t record_list(const Record *record, const char *vm, Decision *ret, size_t n) {
        size_t found = 0;

        assert(record);
        for (size_t i = 0; i < record->n && found < n; i++) {
                const Decision *decision = record->ring + slot_of(record, i);

                if (!vm || strcmp(decision->vm, vm) == 0)
                        ret[found++] = *decision;
        }
        return found;
}
