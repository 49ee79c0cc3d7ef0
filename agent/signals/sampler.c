/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Reads the counter files into one Snapshot. It runs when the guest has no memory left, so nothing here
 * allocates after sampler_new(): descriptors and buffers are kept (procfile.c), parsers are pure.
 *
 * Each source stands alone. One that fails keeps its last values in the snapshot, is missing from has, is
 * named once in the log and listed for Hello; a source that comes back is used again. The alternative, to
 * stop on the first failure as earlyoom does, would trade a signal for the whole agent.
 */

#include "agent/signals/sampler.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>

#include "agent/signals/balloon.h"
#include "agent/signals/cgroups.h"
#include "agent/signals/counters.h"
#include "agent/signals/machine.h"
#include "agent/signals/procfile.h"
#include "agent/signals/psi.h"
#include "agent/signals/zram.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/parse.h"

#define LRU_GEN_PATH "sys/kernel/mm/lru_gen/enabled"

typedef enum Source {
        SOURCE_MEMINFO,
        SOURCE_PSI,
        SOURCE_PSI_IO,
        SOURCE_VMSTAT,
        SOURCE_ZONEINFO,
        SOURCE_MAX,
} Source;

static const struct {
        const char *path;
        Facility facility;  /* FACILITY_UNSPECIFIED: the agent does as well without it */
        size_t record_most; /* see ProcFile */
} sources[SOURCE_MAX] = {
        [SOURCE_MEMINFO] = {"proc/meminfo", FACILITY_MEMINFO, 0},
        [SOURCE_PSI] = {"proc/pressure/memory", FACILITY_PSI, 0},
        [SOURCE_PSI_IO] = {"proc/pressure/io", FACILITY_UNSPECIFIED, 0},
        /* A line each; the longest name of 6.18 has 31 letters, a number 20. */
        [SOURCE_VMSTAT] = {"proc/vmstat", FACILITY_VMSTAT, 72},
        [SOURCE_ZONEINFO] = {"proc/zoneinfo", FACILITY_ZONEINFO, SIZE_MAX},
};

struct Sampler {
        const RootDir *root; /* borrowed */
        ProcRoom room;
        ProcFile files[SOURCE_MAX];
        bool named[SOURCE_MAX]; /* its failure has been logged and listed */

        Counters meminfo, held, vmstat;
        uint32_t keys_named_meminfo, keys_named_held,
                keys_named_vmstat; /* keys whose absence has been logged */
        Zram zram;
        Cgroups cgroups;
        int lru_gen_fd;
        BalloonDevice balloon;
        ZoneBalance balance;
        uint64_t capabilities;
        Snapshot last;

        MissingFacility missing[SOURCE_MAX + 2]; /* and cgroups, and the balloon */
        size_t n_missing;
};

static void add_missing(Sampler *sampler, Facility facility, int error) {
        assert(sampler->n_missing < ELEMENTSOF(sampler->missing));
        sampler->missing[sampler->n_missing++] = (MissingFacility){facility, error};
}

/* error: -errno. Says it once per source. */
static void source_failed(Sampler *sampler, Source source, int error) {
        if (sampler->named[source])
                return;
        sampler->named[source] = true;

        if (sources[source].facility == FACILITY_UNSPECIFIED) {
                (void) log_info_errno(error, "Working without %s: %m", sources[source].path);
                return;
        }
        (void) log_warning_errno(error, "Cannot read %s, working without it: %m", sources[source].path);
        add_missing(sampler, sources[source].facility, -error);
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
                log_warning("No usable %s in %s, working without", text, sources[source].path);
}

/* Returns the length of the text in the room; 0 after a failure. */
static size_t source_read(Sampler *sampler, Source source) {
        ssize_t n = procfile_read(&sampler->files[source]);

        if (n < 0)
                source_failed(sampler, source, (int) n);
        return n < 0 ? 0 : (size_t) n;
}

/* -- one source each ------------------------------------------------------------------------------- */

/* Of the text that is in the room, which is as it should be or not. It is as much again to look for, so only where it is wanted. */
static void read_held(Sampler *sampler, size_t n, bool is_whole, Snapshot *snapshot) {
        uint32_t missing = counters_parse(&sampler->held, &counters_held, sampler->room.text, n);

        if (missing != 0 && is_whole) /* else the file has been named */
                name_missing_keys(&counters_held, SOURCE_MEMINFO, missing, &sampler->keys_named_held);
        if (counters_fill_held(&sampler->held, snapshot))
                snapshot->has |= SNAPSHOT_HAS_HELD;
}

static bool read_meminfo(Sampler *sampler, unsigned what, Snapshot *snapshot) {
        uint64_t swap_total_bytes = snapshot->swap_total_bytes;
        size_t n = source_read(sampler, SOURCE_MEMINFO);
        uint32_t missing;

        if (n == 0)
                return false;

        missing = counters_parse(&sampler->meminfo, &counters_meminfo, sampler->room.text, n);
        if (!counters_fill_meminfo(&sampler->meminfo, snapshot)) {
                source_failed(sampler, SOURCE_MEMINFO, -EBADMSG);
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

static bool read_vmstat(Sampler *sampler, Snapshot *snapshot) {
        size_t n = source_read(sampler, SOURCE_VMSTAT);
        uint32_t missing;

        if (n == 0)
                return false;

        missing = counters_parse(&sampler->vmstat, &counters_vmstat, sampler->room.text, n);
        if (!counters_fill_vmstat(&sampler->vmstat, snapshot)) {
                source_failed(sampler, SOURCE_VMSTAT, -EBADMSG);
                return false;
        }
        if (missing != 0)
                name_missing_keys(&counters_vmstat, SOURCE_VMSTAT, missing, &sampler->keys_named_vmstat);
        return true;
}

static bool read_zones(Sampler *sampler, Snapshot *snapshot) {
        size_t n = source_read(sampler, SOURCE_ZONEINFO);

        if (n == 0)
                return false;
        if (zoneinfo_parse(sampler->room.text, n, snapshot->page_size_bytes, snapshot, &sampler->balance) <
            0) {
                source_failed(sampler, SOURCE_ZONEINFO, -EBADMSG);
                return false;
        }
        return true;
}

static bool read_pressure(Sampler *sampler, Source source, PsiTotals *ret) {
        size_t n = source_read(sampler, source);

        if (n == 0)
                return false;
        if (psi_parse(sampler->room.text, n, ret) < 0) {
                source_failed(sampler, source, -EBADMSG);
                return false;
        }
        return true;
}

static bool read_psi(Sampler *sampler, Snapshot *snapshot) {
        PsiTotals totals;

        if (!read_pressure(sampler, SOURCE_PSI, &totals))
                return false;

        snapshot->psi_some_usec = totals.some_usec;
        snapshot->psi_full_usec = totals.full_usec;
        return true;
}

/* It is only ever looked at beside refaults. */
static void read_psi_io(Sampler *sampler, Snapshot *snapshot) {
        PsiTotals totals;

        if (read_pressure(sampler, SOURCE_PSI_IO, &totals))
                snapshot->psi_io_some_usec = totals.some_usec;
}

/* Bit 0 is the main switch. */
static void read_lru_gen(Sampler *sampler, Snapshot *snapshot) {
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

/* -- the sample ------------------------------------------------------------------------------------ */

/* A balloon that MemTotal hides and that only vmstat knows: without vmstat, its growth would look like the workload's. */
static bool balloon_needs_vmstat(const Sampler *sampler) {
        return sampler->balloon.deflate_on_oom && !counters_has(&sampler->meminfo, MEMINFO_BALLOON);
}

void sampler_read(Sampler *sampler, unsigned what, Snapshot *ret) {
        Snapshot *snapshot;

        assert(sampler);
        assert(ret);

        snapshot = &sampler->last;
        snapshot->now_usec = clock_monotonic_usec();
        snapshot->has = 0;

        if ((what & SNAPSHOT_HAS_MEMINFO) && read_meminfo(sampler, what, snapshot))
                snapshot->has |= SNAPSHOT_HAS_MEMINFO;
        if ((snapshot->has & SNAPSHOT_HAS_MEMINFO) && balloon_needs_vmstat(sampler))
                what |= SNAPSHOT_HAS_VMSTAT;
        if ((what & SNAPSHOT_HAS_VMSTAT) && read_vmstat(sampler, snapshot))
                snapshot->has |= SNAPSHOT_HAS_VMSTAT;
        if ((what & SNAPSHOT_HAS_PSI) && read_psi(sampler, snapshot))
                snapshot->has |= SNAPSHOT_HAS_PSI;
        if ((what & SNAPSHOT_HAS_PSI) && (snapshot->has & SNAPSHOT_HAS_VMSTAT))
                read_psi_io(sampler, snapshot);
        if ((what & SNAPSHOT_HAS_ZONES) && read_zones(sampler, snapshot))
                snapshot->has |= SNAPSHOT_HAS_ZONES;
        if (what & SNAPSHOT_HAS_ZONES)
                read_lru_gen(sampler, snapshot); /* it may be switched at any time; now and then will do */
        /* After vmstat: what comes in between is then taken off the root's and not added to it. */
        if ((what & SNAPSHOT_HAS_CGROUPS) && cgroups_walk(&sampler->cgroups, snapshot) >= 0)
                snapshot->has |= SNAPSHOT_HAS_CGROUPS;

        snapshot->balloon_bytes =
                balloon_size_bytes(&sampler->meminfo, &sampler->vmstat, snapshot->page_size_bytes);
        *ret = *snapshot;
}

/* -- life ------------------------------------------------------------------------------------------ */

static void open_cgroups(Sampler *sampler) {
        int r = cgroups_open(&sampler->cgroups, sampler->root, sampler->last.page_size_bytes);

        if (r >= 0)
                return;
        (void) log_info_errno(r,
                              "Working without cgroups, a container at its own limit may ask for memory: %m");
        add_missing(sampler, FACILITY_CGROUPS, -r);
}

int sampler_new(const RootDir *root, Sampler **ret) {
        _cleanup_(sampler_freep) Sampler *sampler = NULL;
        Snapshot ignored;

        assert(root);
        assert(ret);

        sampler = calloc(1, sizeof(*sampler));
        if (!sampler)
                return -ENOMEM;
        sampler->root = root;
        sampler->cgroups.fd = -EBADF;
        for (Source source = 0; source < SOURCE_MAX; source++)
                sampler->files[source] = PROCFILE_NULL;
        sampler->lru_gen_fd = rootdir_open(root, LRU_GEN_PATH, O_RDONLY);
        if (sampler->lru_gen_fd < 0 && sampler->lru_gen_fd != -ENOENT) /* before 6.1: none */
                log_unusable(LRU_GEN_PATH, sampler->lru_gen_fd, "the kind of reclaim");

        for (Source source = 0; source < SOURCE_MAX; source++) {
                int r = procfile_open(&sampler->files[source], &sampler->room, root, sources[source].path);

                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        source_failed(sampler, source, r);
                sampler->files[source].record_most = sources[source].record_most;
        }

        (void) balloon_device_probe(root, &sampler->balloon); /* what can not be read is not there */
        if (!sampler->balloon.present)
                add_missing(sampler, FACILITY_BALLOON, ENODEV);
        sampler->capabilities = machine_capabilities(root);
        sampler->last.balloon_in_total = sampler->balloon.deflate_on_oom;
        sampler->last.page_size_bytes = (uint64_t) sysconf(_SC_PAGESIZE);

        open_cgroups(sampler);

        sampler_read(sampler, UINT_MAX, &ignored); /* learns the order of keys */
        *ret = TAKE_PTR(sampler);
        return 0;
}

Sampler *sampler_free(Sampler *sampler) {
        if (!sampler)
                return NULL;

        for (Source source = 0; source < SOURCE_MAX; source++)
                procfile_done(&sampler->files[source]);
        procroom_done(&sampler->room);
        cgroups_done(&sampler->cgroups);
        (void) safe_close(sampler->lru_gen_fd);
        zram_done(&sampler->zram);
        free(sampler);
        return NULL;
}

ZoneBalance sampler_zone_balance(const Sampler *sampler) {
        assert(sampler);
        return sampler->balance;
}

size_t sampler_missing(const Sampler *sampler, const MissingFacility **ret) {
        assert(sampler);
        assert(ret);

        *ret = sampler->missing;
        return sampler->n_missing;
}

uint64_t sampler_capabilities(const Sampler *sampler) {
        uint64_t capabilities;

        assert(sampler);

        capabilities = sampler->capabilities;
        if (!sampler->named[SOURCE_PSI])
                capabilities |= CAPABILITY_PSI_TOTALS;
        if (sampler->last.swap_total_bytes > 0)
                capabilities |= CAPABILITY_SWAP;
        return capabilities;
}
