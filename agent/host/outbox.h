/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What waits to be sent to the host, most urgent first: alarms, answers, block events, the latest
 * report. Pure and of fixed size. Values and not bytes, so that the sequence is given when one is sent.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/message.h"

#define OUTBOX_SIZE 32U

typedef struct Outbox {
        Message queue[OUTBOX_SIZE]; /* in order of arrival */
        size_t n_queue;
        Message report;
        bool has_report;
        uint64_t n_dropped; /* for want of room, since start */
} Outbox;

/*
 * Keeps a copy of message. A report takes the place of the one that waits, an alarm that of an alarm
 * with the same veto_id. When there is no room the oldest of the least urgent goes: block events first.
 */
void outbox_push(Outbox *outbox, const Message *message);

/* Takes the most urgent one. Returns false if there is none. */
bool outbox_pop(Outbox *outbox, Message *ret);

/* Drops everything, without counting. */
void outbox_clear(Outbox *outbox);
