/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What fails is named once, and once more when it is over: a full disk would else be a line every half second. A
 * damaged file is not mended: what sqlite can save from one is a guess, and who wants it still has it beside the new.
 */

#include "host-bridge/surfaces/audit-file.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"

#define RETRY_MIN_USEC  USEC_PER_SEC
#define RETRY_MAX_USEC  (60 * USEC_PER_SEC)
#define PRUNE_USEC      (600 * USEC_PER_SEC)
#define CORRUPT_SUFFIX  ".corrupt"
#define CORRUPT_AT_MOST 3U /* then it is the disk, and not the file */

static void put_aside(AuditFile *file) {
        char other[PATH_MAX + STRLEN(CORRUPT_SUFFIX)];

        file->store = audit_store_free(file->store);
        (void) snprintf(other, sizeof(other), "%s" CORRUPT_SUFFIX, file->path);
        if (++file->n_corrupt > CORRUPT_AT_MOST || rename(file->path, other) < 0)
                return;
        log_warning("The audit %s is damaged; it is now %s, and a new one begins", file->path, other);
        /* They belong to the file that has gone, and would be taken for the new one's. */
        (void) snprintf(other, sizeof(other), "%s-wal", file->path);
        (void) unlink(other);
        (void) snprintf(other, sizeof(other), "%s-shm", file->path);
        (void) unlink(other);
}

/* Names a failure when it is another one, or over. */
static void note(AuditFile *file, int r) {
        if (r == AUDIT_STORE_CORRUPT)
                r = -EUCLEAN;
        if (r < 0) {
                if (r != file->error)
                        (void) log_warning_errno(r, "The audit %s fails, decisions are missing from it: %m",
                                                 file->path);
                file->store = audit_store_free(file->store);
                file->retry_wait_usec = u64_clamp(2 * file->retry_wait_usec, RETRY_MIN_USEC, RETRY_MAX_USEC);
                file->retry_usec = u64_add(clock_monotonic_usec(), file->retry_wait_usec);
        } else if (file->error < 0) {
                log_info("The audit %s works again", file->path);
        }
        if (r == 0)
                file->retry_wait_usec = 0;
        file->error = r;
}

static int prune(AuditFile *file) {
        uint64_t now = clock_monotonic_usec();

        if (now < file->prune_usec)
                return 0;
        file->prune_usec = u64_add(now, PRUNE_USEC);
        return audit_store_prune(file->store, u64_sub(clock_realtime_usec(), file->retention_usec),
                                 file->rows_max);
}

static int try_write(AuditFile *file, const Decision *decisions, size_t n) {
        int r = 0;

        if (!file->store)
                r = audit_store_open(file->path, &file->store);
        if (r == 0)
                r = prune(file);
        if (r == 0 && n > 0)
                r = audit_store_write(file->store, decisions, n);
        return r;
}

void audit_file_write(AuditFile *file, const Decision *decisions, size_t n) {
        int r;

        assert(file && file->path);
        assert(decisions || n == 0);

        if (file->error < 0 && clock_monotonic_usec() < file->retry_usec)
                return;
        r = try_write(file, decisions, n);
        if (r == AUDIT_STORE_CORRUPT) {
                put_aside(file);
                r = try_write(file, decisions, n);
        }
        note(file, r);
}

int audit_file_list(AuditFile *file, const char *vm, Decision *ret, size_t n, size_t *ret_n) {
        int r;

        assert(file);

        if (file->error < 0)
                return file->error;
        r = audit_store_list(file->store, vm, ret, n, ret_n);
        if (r != AUDIT_STORE_CORRUPT)
                return r;
        put_aside(file);
        note(file, r);
        file->retry_usec = 0; /* the next batch begins a new file */
        return -EUCLEAN;
}

void audit_file_close(AuditFile *file) {
        assert(file);
        file->store = audit_store_free(file->store);
}
