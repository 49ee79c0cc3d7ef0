/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Decisions in an sqlite file. Every call may wait for a disk: it belongs into the audit's thread. */

#include <stddef.h>
#include <stdint.h>

#include "common/macro.h"
#include "host-bridge/policy/decision.h"

typedef struct AuditStore AuditStore;

/* Each returns 0, or -errno, or this: the file is damaged, or no database. */
#define AUDIT_STORE_CORRUPT 1

/*
 * Opens or makes path (0640; its folder too, if only that is missing) and checks it. Decisions that were open when their
 * bridge ended become "lost". -EPROTONOSUPPORT: a newer memtide wrote it; it is left alone.
 */
int audit_store_open(const char *path, AuditStore **ret);
AuditStore *audit_store_free(AuditStore *store);
DEFINE_CLEANUP_FUNC(AuditStore, audit_store_free)

/* Writes n decisions, all or none; one with a known id is replaced. */
int audit_store_write(AuditStore *store, const Decision *decisions, size_t n);

/* Deletes what is older than oldest_realtime_usec, and all but the newest rows_max. */
int audit_store_prune(AuditStore *store, uint64_t oldest_realtime_usec, uint64_t rows_max);

/* Reads up to n decisions of vm ("": of all), newest first. */
int audit_store_list(AuditStore *store, const char *vm, Decision *ret, size_t n, size_t *ret_n);
