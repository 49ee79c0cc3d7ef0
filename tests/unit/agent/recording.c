/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A row of the raw recordings has some hundred columns; the table below says which make up a Snapshot. Several columns may
 * add to one field (zones, file + anon). Times become 1 us and later, so that 0 stays "never".
 */

#include "recording.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "common/macro.h"

typedef struct Field {
        const char *column;
        size_t offset;
        uint64_t unit;
} Field;

#define PAGE 4096
#define FIELD(column, member, unit)                                                                          \
        { column, offsetof(Snapshot, member), unit }

static const Field fields[] = {
        FIELD("MemTotal", total_bytes, KIB),
        FIELD("MemFree", free_bytes, KIB),
        FIELD("MemAvailable", available_bytes, KIB),
        FIELD("Active(file)", active_file_bytes, KIB),
        FIELD("Inactive(file)", inactive_file_bytes, KIB),
        FIELD("SReclaimable", slab_reclaimable_bytes, KIB),
        FIELD("SwapTotal", swap_total_bytes, KIB),
        FIELD("SwapFree", swap_free_bytes, KIB),
        FIELD("SwapCached", swap_cached_bytes, KIB),
        FIELD("zram_used", zram_used_bytes, KIB),
        FIELD("psi_some", psi_some_usec, 1),
        FIELD("psi_full", psi_full_usec, 1),
        FIELD("io_some", psi_io_some_usec, 1),
        FIELD("pgscan_kswapd", pgscan_kswapd, 1),
        FIELD("pgscan_direct", pgscan_direct, 1),
        FIELD("allocstall_dma", allocstall, 1),
        FIELD("allocstall_dma32", allocstall, 1),
        FIELD("allocstall_normal", allocstall, 1),
        FIELD("allocstall_movable", allocstall, 1),
        FIELD("pswpin", pswpin, 1),
        FIELD("pswpout", pswpout, 1),
        FIELD("workingset_refault_anon", workingset_refault, 1),
        FIELD("workingset_refault_file", workingset_refault, 1),
        FIELD("workingset_activate_anon", workingset_activate, 1),
        FIELD("workingset_activate_file", workingset_activate, 1),
        FIELD("oom_kill", oom_kill, 1),
        FIELD("cg_refault_file", contained_refault, 1),
        FIELD("cg_refault_anon", contained_refault, 1),
        FIELD("zDMA32_free", kernel_free_bytes, PAGE),
        FIELD("zNormal_free", kernel_free_bytes, PAGE),
        FIELD("zDMA32_high", kernel_high_bytes, PAGE),
        FIELD("zNormal_high", kernel_high_bytes, PAGE),
        FIELD("zDMA32_low", kernel_low_bytes, PAGE),
        FIELD("zNormal_low", kernel_low_bytes, PAGE),
        FIELD("zDMA32_inf", kernel_file_bytes, PAGE),
        FIELD("zNormal_inf", kernel_file_bytes, PAGE),
        FIELD("zDMA32_acf", kernel_file_bytes, PAGE),
        FIELD("zNormal_acf", kernel_file_bytes, PAGE),
        FIELD("zDMA32_managed", kernel_managed_bytes, PAGE),
        FIELD("zNormal_managed", kernel_managed_bytes, PAGE),
        FIELD("zMovable_managed", movable_managed_bytes, PAGE),
};

#define FIELD_TIME     1000
#define FIELD_TRIGGERS 1001
#define FIELD_CGROUP   1002

/* The one cgroup of two recordings has memory.max 150M; agent/signals/cgroups.c lets go of it below 85 %. */
#define CONTAINED_KIB (UINT64_C(150) * 1024 * 85 / 100)

static int field_find(const char *column) {
        if (strcmp(column, "t") == 0)
                return FIELD_TIME;
        if (strcmp(column, "tr50") == 0)
                return FIELD_TRIGGERS;
        if (strcmp(column, "cg_cur") == 0)
                return FIELD_CGROUP;
        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                if (strcmp(column, fields[i].column) == 0)
                        return (int) i;
        return -1;
}

void recording_open(Recording *recording, const char *folder, const char *name) {
        char line[8192], path[4096];
        unsigned n_found = 0;

        assert_true(snprintf(path, sizeof(path), "%s/%s.csv", folder, name) < (int) sizeof(path));
        *recording = (Recording){};
        recording->file = fopen(path, "re");
        if (!recording->file)
                fail_msg("Cannot open %s", path);
        assert_non_null(fgets(line, sizeof(line), recording->file));
        line[strcspn(line, "\r\n")] = '\0';

        char *rest = line, *column;
        while ((column = strsep(&rest, ","))) {
                assert_true(recording->n_columns < RECORDING_COLUMNS_MAX);
                int field = field_find(column);
                recording->field_of[recording->n_columns++] = field;
                n_found += field >= 0;
        }
        assert_true(n_found == ELEMENTSOF(fields) + 3);
}

void recording_close(Recording *recording) {
        (void) fclose(recording->file);
        recording->file = NULL;
}

/* "3.327" to 3327000, without a float between. */
static uint64_t usec_from(const char *text) {
        char *point = NULL;
        uint64_t usec = strtoull(text, &point, 10) * USEC_PER_SEC, unit = USEC_PER_SEC / 10;

        if (*point == '.')
                for (const char *digit = point + 1; *digit >= '0' && *digit <= '9' && unit > 0;
                     digit++, unit /= 10)
                        usec += (uint64_t) (*digit - '0') * unit;
        return usec;
}

bool recording_next(Recording *recording, Snapshot *ret) {
        char line[8192];
        uint64_t triggers = 0;
        Snapshot s = {
                .has = SNAPSHOT_HAS_MEMINFO | SNAPSHOT_HAS_PSI | SNAPSHOT_HAS_VMSTAT | SNAPSHOT_HAS_ZONES |
                       SNAPSHOT_HAS_CGROUPS,
                .page_size_bytes = PAGE,
        };

        if (!fgets(line, sizeof(line), recording->file))
                return false;
        line[strcspn(line, "\r\n")] = '\0';

        char *rest = line, *value;
        for (unsigned i = 0; i < recording->n_columns && (value = strsep(&rest, ",")); i++) {
                int field = recording->field_of[i];

                if (field == FIELD_TIME)
                        s.now_usec = usec_from(value);
                else if (field == FIELD_TRIGGERS)
                        triggers = strtoull(value, NULL, 10);
                else if (field == FIELD_CGROUP) {
                        uint64_t kib = strtoull(value, NULL, 10);

                        s.n_limited = kib > 0;
                        s.n_contained = kib >= CONTAINED_KIB;
                } else if (field >= 0) {
                        uint64_t *member = (uint64_t *) ((char *) &s + fields[field].offset);

                        *member += strtoull(value, NULL, 10) * fields[field].unit;
                }
        }
        s.psi_triggered = recording->started && triggers > recording->triggers;
        recording->triggers = triggers;
        recording->started = true;
        *ret = s;
        return true;
}
