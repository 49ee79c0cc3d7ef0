/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The host budget and what is committed of it, over all VMs: kept as a running sum, so that an alarm is judged
 * without a walk over thousands of VMs. Each VM moves its own entry; the sum is never computed otherwise.
 */

#include <stdint.h>

#include "common/units.h"

typedef struct Ledger {
        uint64_t budget_bytes;    /* UINT64_MAX: unlimited */
        uint64_t committed_bytes; /* the sum of all entries */
} Ledger;

/* Changes entry to bytes. */
static inline void ledger_set(Ledger *ledger, uint64_t *entry, uint64_t bytes) {
        ledger->committed_bytes = u64_add(u64_sub(ledger->committed_bytes, *entry), bytes);
        *entry = bytes;
}
