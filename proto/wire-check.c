/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Is this message one that memtide.proto allows? Asked of the value structs, so that what is sent is
 * held to the very rules that what is received is held to: an agent can not send what a bridge would
 * drop. Single fields go by the tables, relations between fields stand here.
 */

#include "proto/wire-check.h"

#include <assert.h>
#include <string.h>

#include "common/macro.h"
#include "proto/wire-limits.h"
#include "proto/wire-table.h"

static bool is_power_of_two(uint64_t x) {
        return x != 0 && (x & (x - 1)) == 0;
}

static bool is_within(uint64_t x, uint64_t min, uint64_t max) {
        return x >= min && x <= max;
}

static bool check_string(const char *text, uint64_t max) {
        size_t length = strnlen(text, max + 1);

        if (length > max)
                return false;
        for (size_t i = 0; i < length; i++)
                if (text[i] < 0x20 || text[i] > 0x7E)
                        return false;
        return true;
}

static bool check_field(const WireField *field, const Message *message) {
        const void *value = (const char *) message + field->value_offset;
        int64_t max = (int64_t) field->max;

        switch (field->kind) {
        case WIRE_U32:
        case WIRE_ENUM:
        case WIRE_OPEN_ENUM:
                return is_within(*(const unsigned *) value, field->min, field->max);
        case WIRE_U64:
                return is_within(*(const uint64_t *) value, field->min, field->max);
        case WIRE_S64:
                return *(const int64_t *) value >= -max && *(const int64_t *) value <= max;
        case WIRE_STRING:
                return check_string(value, field->max);
        case WIRE_BOOL:
                return true;
        }

        return false;
}

static bool check_hello(const MessageHello *hello) {
        if (!is_power_of_two(hello->page_size_bytes))
                return false;
        if (hello->block_size_bytes != 0 &&
            (!is_power_of_two(hello->block_size_bytes) || hello->block_size_bytes < WIRE_BLOCK_MIN))
                return false;
        if (hello->n_missing > MESSAGE_MISSING_MAX)
                return false;

        for (size_t i = 0; i < hello->n_missing; i++)
                if ((unsigned) hello->missing[i].facility >= FACILITY_MAX ||
                    hello->missing[i].error > WIRE_ERRNO_MAX)
                        return false;
        return true;
}

static bool check_report(const MessageReport *report) {
        return report->memory_available_bytes <= report->memory_total_bytes &&
               report->memory_free_bytes <= report->memory_total_bytes &&
               report->usable_bytes <= report->memory_total_bytes &&
               report->used_bytes <= report->usable_bytes &&
               report->swap_free_bytes <= report->swap_total_bytes &&
               report->psi_full_usec <= report->psi_some_usec + WIRE_PSI_SLACK;
}

static bool check_range(const MessageRange *range) {
        return range->address % WIRE_BLOCK_MIN == 0 && range->bytes % WIRE_BLOCK_MIN == 0 &&
               range->address + range->bytes <= WIRE_ADDRESS_MAX;
}

/* 0 leaves as it is; the upper bounds are in the table. */
static bool check_tuning(const MessageTuning *tuning) {
        return (tuning->report_interval_usec == 0 || tuning->report_interval_usec >= WIRE_CADENCE_MIN) &&
               (tuning->actuator_delay_usec == 0 || tuning->actuator_delay_usec >= WIRE_DELAY_MIN);
}

/* Fields that only make sense together. Those of single fields have passed. */
static bool check_relations(const Message *message) {
        switch (message->type) {
        case MESSAGE_HELLO:
                return check_hello(&message->hello);
        case MESSAGE_REPORT:
                return check_report(&message->report);
        case MESSAGE_SHRINK_REQUEST:
                return message->shrink_request.bytes <= message->shrink_request.remaining_bytes;
        case MESSAGE_OFFLINE_RANGE:
        case MESSAGE_ONLINE_RANGE:
                return check_range(&message->range);
        case MESSAGE_TUNING:
                return check_tuning(&message->tuning);
        case MESSAGE_PING: /* without a session the host does not know the guest's clock */
                return message->session != 0 || message->ping.deadline_usec == 0;
        case MESSAGE_ALARM:
        case MESSAGE_SHRINK_OFFER:
        case MESSAGE_RESIZE_CONFIRM:
        case MESSAGE_BLOCK_EVENT:
        case MESSAGE_COMMAND_RESULT:
        case MESSAGE_WELCOME:
        case MESSAGE_GROW_NOTICE:
        case MESSAGE_TYPE_MAX:
                break;
        }

        return true;
}

static bool check_envelope(const WireShape *shape, const Message *message) {
        if (message->sequence == 0 || message->monotonic_usec > WIRE_TIME_MAX)
                return false;

        switch (shape->session) {
        case WIRE_SESSION_OPEN:
                return message->session != 0;
        case WIRE_SESSION_NONE:
                return message->session == 0;
        case WIRE_SESSION_EITHER:
                break;
        }

        return true;
}

bool wire_check(const Message *message) {
        const WireShape *shape;

        assert(message);

        shape = wire_shape(message->type);
        if (!check_envelope(shape, message))
                return false;
        for (size_t i = 0; i < shape->n_fields; i++)
                if (!check_field(&shape->fields[i], message))
                        return false;
        return check_relations(message);
}
