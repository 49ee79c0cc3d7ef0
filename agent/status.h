/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the agent shows of itself and its guest, as a plain value, and its fields by name. The names are an interface:
 * they are added to, never changed; those that the bridge shows of a VM too have the bridge's names.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/history.h"
#include "common/field.h"
#include "proto/message.h"

/* Who asked for the last change of size, and why. */
typedef enum StatusAsker {
        STATUS_ASKER_NOBODY,
        STATUS_ASKER_GUEST, /* the workload needed more, and the host gives it */
        STATUS_ASKER_HOST,  /* the host wants memory back */
        STATUS_ASKER_MAX,
} StatusAsker;

typedef enum StatusSession {
        STATUS_SESSION_NO_PORT,
        STATUS_SESSION_WAITING, /* for the host */
        STATUS_SESSION_OPEN,
        STATUS_SESSION_MAX,
} StatusSession;

typedef struct StatusAsk {
        StatusAsker by;
        const char *why; /* a cause, or "host" */
        uint64_t id, bytes, realtime_usec;
        uint64_t balloon_target_bytes; /* UINT64_MAX: it was not about the balloon */
} StatusAsk;

typedef struct Status {
        char kernel_release[MESSAGE_STRING_MAX + 1];
        char bridge_version[MESSAGE_STRING_MAX + 1]; /* "" but in a session */
        StatusSession session;
        uint64_t capabilities;
        size_t n_missing;
        MessageMissing missing[MESSAGE_MISSING_MAX];

        MessageReport report; /* what the host would be told now */
        uint64_t block_size_bytes;
        bool balloon_in_total;
        uint64_t delay_usec; /* measured: from the alarm, or the notice of a growth, to usable memory */
        StatusAsk ask;
        uint64_t n_refused[REFUSAL_REASON_MAX]; /* commands of the host, since the agent's start */
} Status;

#define STATUS_FIELDS_MAX 64U

/* Each fills up to STATUS_FIELDS_MAX fields and returns how many. */
size_t fields_of_status(const Status *status, Field ret[static STATUS_FIELDS_MAX]);
size_t fields_of_history(const HistoryEntry *entry, Field ret[static STATUS_FIELDS_MAX]);
