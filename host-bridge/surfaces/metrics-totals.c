/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Total = what was counted before the last restart + what is counted now. A guest's counters have restarted when its
 * boot id differs; all others, and a guest whose boot id is not known, when one of them has become smaller. They
 * restart together, so one tells for all: oom_kills that go from 0 to 0 say nothing.
 *
 * Read at each scrape. What a guest counted between the last scrape and its end is lost, and so is a whole boot that
 * fits between two: the price of doing nothing for it on the path of reports.
 */

#include "host-bridge/surfaces/metrics-totals.h"

#include <assert.h>
#include <string.h>
#include <uthash.h>

#include "common/units.h"

typedef struct Totals {
        char name[DECISION_VM_NAME_MAX];
        uint64_t before[METRICS_COUNTERS], last[METRICS_COUNTERS];
        uint8_t boot_id[SNAPSHOT_BOOT_ID_SIZE];
        bool heard; /* the guest has counters */
        bool seen;  /* in this pass */
        UT_hash_handle hh;
} Totals;

struct MetricsTotals {
        Totals *vms; /* hash by name */
};

int metrics_totals_new(MetricsTotals **ret) {
        assert(ret);

        *ret = calloc(1, sizeof(**ret));
        return *ret ? 0 : -ENOMEM;
}

static void drop(MetricsTotals *totals, Totals *vm) {
        HASH_DEL(totals->vms, vm);
        free(vm);
}

MetricsTotals *metrics_totals_free(MetricsTotals *totals) {
        Totals *vm, *next;

        if (!totals)
                return NULL;
        HASH_ITER (hh, totals->vms, vm, next)
                drop(totals, vm);
        free(totals);
        return NULL;
}

void metrics_totals_begin(MetricsTotals *totals) {
        assert(totals);

        for (Totals *vm = totals->vms; vm; vm = vm->hh.next)
                vm->seen = false;
}

static Totals *find_or_add(MetricsTotals *totals, const char *name) {
        Totals *vm;

        HASH_FIND_STR(totals->vms, name, vm);
        if (vm)
                return vm;
        vm = calloc(1, sizeof(*vm));
        if (!vm)
                return NULL;
        memcpy(vm->name, name, sizeof(vm->name));
        HASH_ADD_STR(totals->vms, name, vm);
        return vm;
}

/* The counters first to end - 1, which restart together. */
static void take_group(Totals *vm, MetricsVm *samples, size_t first, size_t end, bool restarted) {
        for (size_t i = first; i < end; i++)
                restarted = restarted || samples->values[i] < vm->last[i];
        for (size_t i = first; i < end; i++) {
                if (restarted)
                        vm->before[i] = u64_add(vm->before[i], vm->last[i]);
                vm->last[i] = samples->values[i];
        }
}

static void take_guest(Totals *vm, const VmSnapshot *snapshot, MetricsVm *samples) {
        static const uint8_t unknown[SNAPSHOT_BOOT_ID_SIZE] = {0};
        bool has_id = memcmp(snapshot->boot_id, unknown, sizeof(unknown)) != 0, other;

        /* Between a new session and its first report the figures are still those of the old one. */
        if (!samples->known[METRICS_WAITING_USEC] || !snapshot->figures_of_session)
                return;
        other = has_id && vm->heard && memcmp(snapshot->boot_id, vm->boot_id, sizeof(vm->boot_id)) != 0;
        take_group(vm, samples, 0, METRICS_GUEST_COUNTERS, other);
        memcpy(vm->boot_id, snapshot->boot_id, sizeof(vm->boot_id));
        vm->heard = true;
}

int metrics_totals_take(MetricsTotals *totals, const VmSnapshot *snapshot, MetricsVm *samples) {
        Totals *vm;

        assert(totals);
        assert(snapshot);
        assert(samples);

        vm = find_or_add(totals, samples->name);
        if (!vm)
                return -ENOMEM;
        vm->seen = true;
        take_guest(vm, snapshot, samples);
        take_group(vm, samples, METRICS_GUEST_COUNTERS, METRICS_COUNTERS, false);
        for (size_t i = 0; i < METRICS_COUNTERS; i++) {
                samples->values[i] = u64_add(vm->before[i], vm->last[i]);
                if (i < METRICS_GUEST_COUNTERS)
                        samples->known[i] = vm->heard;
        }
        return 0;
}

void metrics_totals_end(MetricsTotals *totals) {
        Totals *vm, *next;

        assert(totals);
        HASH_ITER (hh, totals->vms, vm, next)
                if (!vm->seen)
                        drop(totals, vm);
}
