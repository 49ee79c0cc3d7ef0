/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The files that a sample is made of, one function each: read, parsed, and into the snapshot. Each stands alone. One that
 * fails keeps its last values in the snapshot, is missing from has, is named once in the log and listed for Hello; one that
 * comes back is used again. The alternative, to stop on the first failure as earlyoom does, would trade a signal for the
 * whole agent.
 */

#include "agent/signals/sampler-internal.h"

#include <assert.h>

#include "agent/messages.h"
#include "agent/signals/psi.h"
#include "common/log.h"
#include "common/parse.h"

const SourceFile sampler_sources[SOURCE_MAX] = {
        [SOURCE_MEMINFO] = {"proc/meminfo", FACILITY_MEMINFO, 0},
        [SOURCE_PSI] = {"proc/pressure/memory", FACILITY_PSI, 0},
        [SOURCE_PSI_IO] = {"proc/pressure/io", FACILITY_UNSPECIFIED, 0},
        /* A line each; the longest name of 6.18 has 31 letters, a number 20. */
        [SOURCE_VMSTAT] = {"proc/vmstat", FACILITY_VMSTAT, 72},
        [SOURCE_ZONEINFO] = {"proc/zoneinfo", FACILITY_ZONEINFO, SIZE_MAX},
};

void sampler_add_missing(Sampler *sampler, Facility facility, int error) {
        assert(sampler->n_missing < ELEMENTSOF(sampler->missing));
        sampler->missing[sampler->n_missing++] = (MissingFacility){facility, error};
}

void sampler_source_failed(Sampler *sampler, Source source, int error) {
        if (sampler->named[source])
                return;
        sampler->named[source] = true;

        if (sampler_sources[source].facility == FACILITY_UNSPECIFIED) {
                (void) log_info_errno(error, "Working without %s: %m", sampler_sources[source].path);
                return;
        }
        log_event_errno(LOG_WARNING, error, MESSAGE_ID_MISSING,
                        LOG_FIELDS({"FACILITY", facility_to_string(sampler_sources[source].facility)}),
                        "Cannot read %s, working without it: %m", sampler_sources[source].path);
        sampler_add_missing(sampler, sampler_sources[source].facility, -error);
}

/* One line for all of them. */
static void name_missing_keys(const CountersTable *table, Source source, uint32_t missing, uint32_t *named) {
        uint32_t fresh = missing & ~*named;
        char text[512] = "";
        size_t n = 0;

        *named |= missing;
        for (unsigned key = 0; key < table->n_keys && n < sizeof(text); key++)
                if (fresh & (UINT32_C(1) << key))
                        n += (size_t) snprintf(text + n, sizeof(text) - n, "%s%s", n > 0 ? ", " : "",
                                               table->keys[key].name);
        if (n > 0)
                log_warning("No usable %s in %s, working without", text, sampler_sources[source].path);
}

/* Returns the length of the text in the room; 0 after a failure. */
static size_t source_read(Sampler *sampler, Source source) {
        ssize_t n = procfile_read(&sampler->files[source]);

        if (n < 0)
                sampler_source_failed(sampler, source, (int) n);
        return n < 0 ? 0 : (size_t) n;
}

/* -- one source each ------------------------------------------------------------------------------- */

/*
 * Of the text that is in the room, which is as it should be or not. It is as much again to look for, so only where it is
 * wanted.
 */
static void read_held(Sampler *sampler, size_t n, bool is_whole, Snapshot *snapshot) {
        uint32_t missing = counters_parse(&sampler->held, &counters_held, sampler->room.text, n);

        if (missing != 0 && is_whole) /* else the file has been named */
                name_missing_keys(&counters_held, SOURCE_MEMINFO, missing, &sampler->keys_named_held);
        if (counters_fill_held(&sampler->held, snapshot))
                snapshot->has |= SNAPSHOT_HAS_HELD;
}

bool sampler_read_meminfo(Sampler *sampler, unsigned what, Snapshot *snapshot) {
        uint64_t swap_total_bytes = snapshot->swap_total_bytes;
        size_t n = source_read(sampler, SOURCE_MEMINFO);
        uint32_t missing;

        if (n == 0)
                return false;

        missing = counters_parse(&sampler->meminfo, &counters_meminfo, sampler->room.text, n);
        if (!counters_fill_meminfo(&sampler->meminfo, snapshot)) {
                sampler_source_failed(sampler, SOURCE_MEMINFO, -EBADMSG);
                return false;
        }
        if (missing != 0)
                name_missing_keys(&counters_meminfo, SOURCE_MEMINFO, missing, &sampler->keys_named_meminfo);
        if (what & SNAPSHOT_HAS_HELD)
                read_held(sampler, n, missing == 0, snapshot);

        /* Swap came or went, and with it perhaps a zram device. */
        if (snapshot->swap_total_bytes != swap_total_bytes)
                (void) zram_find(&sampler->zram, sampler->root); /* without proc/swaps there is none */
        snapshot->zram_used_bytes = zram_used_bytes(&sampler->zram);
        return true;
}

bool sampler_read_vmstat(Sampler *sampler, Snapshot *snapshot) {
        size_t n = source_read(sampler, SOURCE_VMSTAT);
        uint32_t missing;

        if (n == 0)
                return false;

        missing = counters_parse(&sampler->vmstat, &counters_vmstat, sampler->room.text, n);
        if (!counters_fill_vmstat(&sampler->vmstat, snapshot)) {
                sampler_source_failed(sampler, SOURCE_VMSTAT, -EBADMSG);
                return false;
        }
        if (missing != 0)
                name_missing_keys(&counters_vmstat, SOURCE_VMSTAT, missing, &sampler->keys_named_vmstat);
        return true;
}

bool sampler_read_zones(Sampler *sampler, Snapshot *snapshot) {
        size_t n = source_read(sampler, SOURCE_ZONEINFO);

        if (n == 0)
                return false;
        if (zoneinfo_parse(sampler->room.text, n, snapshot->page_size_bytes, snapshot, &sampler->balance) <
            0) {
                sampler_source_failed(sampler, SOURCE_ZONEINFO, -EBADMSG);
                return false;
        }
        return true;
}

static bool read_pressure(Sampler *sampler, Source source, PsiTotals *ret) {
        size_t n = source_read(sampler, source);

        if (n == 0)
                return false;
        if (psi_parse(sampler->room.text, n, ret) < 0) {
                sampler_source_failed(sampler, source, -EBADMSG);
                return false;
        }
        return true;
}

bool sampler_read_psi(Sampler *sampler, Snapshot *snapshot) {
        PsiTotals totals;

        if (!read_pressure(sampler, SOURCE_PSI, &totals))
                return false;

        snapshot->psi_some_usec = totals.some_usec;
        snapshot->psi_full_usec = totals.full_usec;
        return true;
}

/* It is only ever looked at beside refaults. */
void sampler_read_psi_io(Sampler *sampler, Snapshot *snapshot) {
        PsiTotals totals;

        if (read_pressure(sampler, SOURCE_PSI_IO, &totals))
                snapshot->psi_io_some_usec = totals.some_usec;
}

/* Bit 0 is the main switch. */
void sampler_read_lru_gen(Sampler *sampler, Snapshot *snapshot) {
        char text[32];
        uint64_t bits = 0;
        ssize_t n;

        if (sampler->lru_gen_fd < 0)
                return;
        n = rootdir_pread(sampler->lru_gen_fd, text, sizeof(text));
        if (n >= 0 && (n == 0 || parse_hex_u64(text, (size_t) n - (text[n - 1] == '\n'), &bits) < 0))
                n = -EBADMSG;
        if (n < 0)
                log_unusable(LRU_GEN_PATH, (int) n, "the kind of reclaim");
        else
                snapshot->lru_gen = bits & 1;
}
