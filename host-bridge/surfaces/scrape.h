/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One text of metrics, put together a piece at a time. */

#include "common/macro.h"
#include "host-bridge/surfaces/metrics-totals.h"
#include "host-bridge/surfaces/metrics.h"
#include "host-bridge/surfaces/snapshot.h"

typedef struct Scrape Scrape;

/* All that it is given is borrowed until it is freed. Returns 0 or -ENOMEM. */
int scrape_new(const SnapshotSource *source, const MetricsResizes *resizes, MetricsTotals *totals,
               size_t limit, Scrape **ret);
Scrape *scrape_free(Scrape *scrape);
DEFINE_CLEANUP_FUNC(Scrape, scrape_free)

/* A piece, of some 20 us. Returns 1 if there is more to be done, 0 once the text is whole, or -errno. */
int scrape_proceed(Scrape *scrape);

/* The whole text; its data is the caller's from now on. */
MetricsText scrape_take(Scrape *scrape);
