/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Counters that outlive what counts them: a guest's begin anew with each boot, a session's with each time that the VM
 * is taken up. Here they only rise, as long as the VM is known.
 */

#include "common/macro.h"
#include "host-bridge/surfaces/metrics.h"

typedef struct MetricsTotals MetricsTotals;

int metrics_totals_new(MetricsTotals **ret);
MetricsTotals *metrics_totals_free(MetricsTotals *totals);
DEFINE_CLEANUP_FUNC(MetricsTotals, metrics_totals_free)

/* A pass over all VMs: begin, one take for each, end; those that were not taken are forgotten. */
void metrics_totals_begin(MetricsTotals *totals);

/* Puts the totals in place of the counters in samples, which are those of snapshot. Returns 0 or -ENOMEM. */
int metrics_totals_take(MetricsTotals *totals, const VmSnapshot *snapshot, MetricsVm *samples);

void metrics_totals_end(MetricsTotals *totals);
