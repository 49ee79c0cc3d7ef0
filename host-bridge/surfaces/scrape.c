/* SPDX-License-Identifier: Apache-2.0 */

/*
 * First the VMs, each read once, then the text, for which nothing is read any more: a sample stands beside those of its own VM
 * from the same moment, however many pieces it takes. Where a VM has come or gone while they were read they are read again,
 * for one that was passed over would have its totals forgotten. Rejected: to print each VM as it is read, since Prometheus
 * wants all samples of a family together.
 */

#include "host-bridge/surfaces/scrape.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define PIECE_VMS     8U
#define PIECE_SAMPLES 64U
#define TRIES_MAX     3U

struct Scrape {
        SnapshotSource source;
        const MetricsResizes *resizes;
        MetricsTotals *totals;
        BridgeSnapshot bridge; /* as reading began */
        unsigned n_tries;
        bool read; /* all VMs are */
        MetricsVm *vms;
        size_t n_vms;
        MetricsCursor cursor;
        MetricsText text;
        VmSnapshot vm; /* too big for a stack */
};

static int begin(Scrape *scrape) {
        free(scrape->vms);
        scrape->n_vms = 0;
        scrape->n_tries++;
        scrape->source.bridge(scrape->source.userdata, &scrape->bridge);
        scrape->vms = calloc(scrape->bridge.n_vms + 1, sizeof(*scrape->vms));
        if (!scrape->vms)
                return -ENOMEM;
        metrics_totals_begin(scrape->totals);
        return 0;
}

int scrape_new(const SnapshotSource *source, const MetricsResizes *resizes, MetricsTotals *totals,
               size_t limit, Scrape **ret) {
        _cleanup_(scrape_freep) Scrape *scrape = NULL;
        int r;

        assert(source);
        assert(resizes);
        assert(totals);
        assert(ret);

        scrape = calloc(1, sizeof(*scrape));
        if (!scrape)
                return -ENOMEM;
        scrape->source = *source;
        scrape->resizes = resizes;
        scrape->totals = totals;
        scrape->text.limit = limit;
        r = begin(scrape);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(scrape);
        return 0;
}

Scrape *scrape_free(Scrape *scrape) {
        if (!scrape)
                return NULL;
        free(scrape->vms);
        free(scrape->text.data);
        free(scrape);
        return NULL;
}

static int end_reading(Scrape *scrape) {
        BridgeSnapshot now = {0};

        scrape->source.bridge(scrape->source.userdata, &now);
        if (now.n_changes != scrape->bridge.n_changes && scrape->n_tries < TRIES_MAX)
                return begin(scrape);
        metrics_totals_end(scrape->totals);
        scrape->read = true;
        return metrics_print_host(&scrape->text, &scrape->bridge, scrape->resizes);
}

static int read_some(Scrape *scrape) {
        int r = 0;

        for (unsigned i = 0; r >= 0 && i < PIECE_VMS; i++) {
                MetricsVm *vm = &scrape->vms[scrape->n_vms];

                if (scrape->n_vms == scrape->bridge.n_vms ||
                    !scrape->source.vm_at(scrape->source.userdata, scrape->n_vms, &scrape->vm))
                        return end_reading(scrape);
                metrics_of_vm(&scrape->vm, vm);
                r = metrics_totals_take(scrape->totals, &scrape->vm, vm);
                scrape->n_vms++;
        }
        return r;
}

int scrape_proceed(Scrape *scrape) {
        int r;

        assert(scrape);

        if (scrape->read)
                return metrics_print_vms(&scrape->text, scrape->vms, scrape->n_vms, PIECE_SAMPLES,
                                         &scrape->cursor);
        r = read_some(scrape);
        return r < 0 ? r : 1;
}

MetricsText scrape_take(Scrape *scrape) {
        MetricsText text;

        assert(scrape);

        text = scrape->text;
        scrape->text = (MetricsText){};
        return text;
}
