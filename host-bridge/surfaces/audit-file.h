/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The audit's file over its failures: opened when it is needed, tried again later, put aside when it is damaged. */

#include <stddef.h>
#include <stdint.h>

#include "host-bridge/surfaces/audit-store.h"

/* Used by one thread. All but the first three begin as zero. */
typedef struct AuditFile {
        const char *path; /* shorter than PATH_MAX; borrowed */
        uint64_t retention_usec, rows_max;
        AuditStore *store; /* NULL: not open */
        int error;         /* the last failure, -errno; 0: all is well */
        uint64_t retry_usec, retry_wait_usec, prune_usec;
        unsigned n_corrupt;
} AuditFile;

/* Writes n decisions, or, while the file fails and it is not time to try again, forgets them. n = 0 tries the file. */
void audit_file_write(AuditFile *file, const Decision *decisions, size_t n);

/* audit_store_list() of the file that was last written to. Returns 0, or why that failed: -errno. */
int audit_file_list(AuditFile *file, const char *vm, Decision *ret, size_t n, size_t *ret_n);

void audit_file_close(AuditFile *file);
