/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Decisions that outlast the bridge: a bounded queue in memory, and a thread that writes it to an sqlite file.
 * Nothing here waits for a disk but that thread.
 */

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/macro.h"
#include "host-bridge/policy/decision.h"

typedef struct Audit Audit;

typedef struct AuditOptions {
        const char *path; /* absolute */
        uint64_t retention_usec;
        uint64_t rows_max;
        size_t queue_max; /* decisions that wait for the disk */
} AuditOptions;

/* 30 days, 200,000 decisions (about 100 MiB), 1024 waiting; path is NULL. */
extern const AuditOptions audit_defaults;

/*
 * A file that can not be opened, or is damaged, is no error here: the thread names it once, puts a damaged one aside
 * as PATH.corrupt, and tries again every 1 to 60 seconds. Returns 0 or -errno.
 */
int audit_new(sd_event *event, const AuditOptions *options, Audit **ret);

/* Writes what waits, for two seconds at most; answers what is asked with -ECANCELED. */
Audit *audit_free(Audit *audit);
DEFINE_CLEANUP_FUNC(Audit, audit_free)

/* Never waits. Several puts of one decision may become one row at once. */
void audit_put(Audit *audit, const Decision *decision);

/* r: 0 or -errno. decisions are borrowed for the call. */
typedef void (*AuditHandler)(int r, const Decision *decisions, size_t n, void *userdata);

/*
 * Up to most decisions of vm ("": of all), newest first, with all that was put before. handler is called from the event
 * loop, once, later. Returns 0, -EBUSY if too much is being asked, or -ENOMEM.
 */
int audit_list(Audit *audit, const char *vm, size_t most, AuditHandler handler, void *userdata);
