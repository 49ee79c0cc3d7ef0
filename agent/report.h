/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the guest knows of itself as messages. Pure. */

#include <stdint.h>

#include "agent/identity.h"
#include "agent/policy/demand.h"
#include "agent/policy/snapshot.h"
#include "proto/message.h"

typedef struct ReportInput {
        const Snapshot *snapshot;
        const Demand *demand;
        unsigned blocks_online, blocks_offline;
        uint64_t plug_budget_bytes;
        uint64_t interval_usec; /* the next report is due within this */
        uint64_t frames_dropped, frames_void;
} ReportInput;

/* Each returns a whole message of which only session and sequence are missing, within the ranges of the wire. */
Message report_make(const ReportInput *input);

/* veto_id: the resize to be undone, or 0. */
Message report_alarm(const ReportInput *input, uint64_t veto_id);

/* Fills what the session leaves to its owner. */
void report_hello(const Identity *identity, const Snapshot *snapshot, uint64_t capabilities,
                  uint64_t block_size_bytes, MessageHello *ret);
