/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Reads the counter files (sampler-sources.c) into one Snapshot. It runs when the guest has no memory left, so nothing here
 * allocates after sampler_new(): descriptors and buffers are kept (procfile.c), parsers are pure.
 */

#include "agent/signals/sampler.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>

#include "agent/signals/machine.h"
#include "agent/signals/sampler-internal.h"
#include "common/clock.h"
#include "common/log.h"

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

        if ((what & SNAPSHOT_HAS_MEMINFO) && sampler_read_meminfo(sampler, what, snapshot))
                snapshot->has |= SNAPSHOT_HAS_MEMINFO;
        if ((snapshot->has & SNAPSHOT_HAS_MEMINFO) && balloon_needs_vmstat(sampler))
                what |= SNAPSHOT_HAS_VMSTAT;
        if ((what & SNAPSHOT_HAS_VMSTAT) && sampler_read_vmstat(sampler, snapshot))
                snapshot->has |= SNAPSHOT_HAS_VMSTAT;
        if ((what & SNAPSHOT_HAS_PSI) && sampler_read_psi(sampler, snapshot))
                snapshot->has |= SNAPSHOT_HAS_PSI;
        if ((what & SNAPSHOT_HAS_PSI) && (snapshot->has & SNAPSHOT_HAS_VMSTAT))
                sampler_read_psi_io(sampler, snapshot);
        if ((what & SNAPSHOT_HAS_ZONES) && sampler_read_zones(sampler, snapshot))
                snapshot->has |= SNAPSHOT_HAS_ZONES;
        if (what & SNAPSHOT_HAS_ZONES)
                sampler_read_lru_gen(sampler,
                                     snapshot); /* it may be switched at any time; now and then will do */
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
        sampler_add_missing(sampler, FACILITY_CGROUPS, -r);
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
                int r = procfile_open(&sampler->files[source], &sampler->room, root,
                                      sampler_sources[source].path);

                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        sampler_source_failed(sampler, source, r);
                sampler->files[source].record_most = sampler_sources[source].record_most;
        }

        (void) balloon_device_probe(root, &sampler->balloon); /* what can not be read is not there */
        if (!sampler->balloon.present)
                sampler_add_missing(sampler, FACILITY_BALLOON, ENODEV);
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
