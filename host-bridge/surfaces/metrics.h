/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Prometheus' text format from the values of snapshot.h: values in, text out. No clock, no descriptor. The names
 * are an interface; metrics.c has them in one table. Guests choose no label.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/macro.h"
#include "host-bridge/policy/decision.h"
#include "host-bridge/surfaces/snapshot.h"

/* Text that grows, up to limit bytes. What does not fit sets error and leaves the text as it was. */
typedef struct MetricsText {
        char *data; /* owned; free() it */
        size_t length, allocated, limit;
        int error; /* 0, -EFBIG or -ENOMEM */
} MetricsText;

typedef enum MetricsValue {
        /* counters of the guest, which begin anew when it boots */
        METRICS_WAITING_USEC,
        METRICS_STALLED_USEC,
        METRICS_OOM_KILLS,
        METRICS_GUEST_COUNTERS, /* how many */
        /* counters of its session */
        METRICS_REPORTS = METRICS_GUEST_COUNTERS,
        METRICS_GARBLED,
        METRICS_OVERLONG,
        METRICS_MALFORMED,
        METRICS_VOID,
        METRICS_REPLAYED,
        /* counters of the VM, which begin anew with it as those of its session do */
        METRICS_HARM_USEC,
        METRICS_HARM_KILLS,
        METRICS_COUNTERS, /* how many, of both */
        /* gauges: the guest's word, of its last report */
        METRICS_TOTAL = METRICS_COUNTERS,
        METRICS_AVAILABLE,
        METRICS_USED,
        METRICS_DEMAND,
        METRICS_BLOCKS_ONLINE,
        METRICS_BLOCKS_OFFLINE,
        METRICS_REPORT_AGE_USEC,
        /* gauges: the hypervisor and the policy */
        METRICS_BOOT,
        METRICS_PLUGGED,
        METRICS_REQUESTED,
        METRICS_BALLOONED,
        METRICS_TARGET,
        METRICS_MIN,
        METRICS_MAX,
        METRICS_SHADOW,
        METRICS_VALUE_MAX,
} MetricsValue;

/* One VM's samples. */
typedef struct MetricsVm {
        char name[DECISION_VM_NAME_MAX];
        VmState state;
        uint64_t values[METRICS_VALUE_MAX];
        bool known[METRICS_VALUE_MAX]; /* others are left out */
} MetricsVm;

#define METRICS_BUCKETS    12U
#define METRICS_DIRECTIONS 2U /* DECISION_GROW, DECISION_SHRINK */

/* Resizes since the bridge started. */
typedef struct MetricsResizes {
        uint64_t closed[METRICS_DIRECTIONS][ACTUATOR_MAX][DECISION_RESULT_MAX];
        uint64_t denied;
        /* of those that were done: from the request to the guest's confirmation of all of it */
        uint64_t n_in_bucket[METRICS_DIRECTIONS][METRICS_BUCKETS]; /* not cumulative; longer ones in none */
        uint64_t n_timed[METRICS_DIRECTIONS], timed_usec[METRICS_DIRECTIONS];
        /* of growth after an alarm: until the guest confirmed the first of it */
        uint64_t n_relief_in_bucket[METRICS_BUCKETS], n_relieved, relief_usec;
        uint64_t late_bytes[METRICS_DIRECTIONS]; /* confirmed of resizes that were closed already */
} MetricsResizes;

/* Counts a decision that is closed, once. */
void metrics_count(MetricsResizes *resizes, const Decision *decision);

/* Counts what has been confirmed of it since: it is closed as often as before. */
void metrics_count_late(MetricsResizes *resizes, const Decision *decision, const Decision *before);

/* The samples of a snapshot; counters as the guest has them. */
void metrics_of_vm(const VmSnapshot *vm, MetricsVm *ret);

/* Appends what is not of one VM. Returns 0 or text->error. */
int metrics_print_host(MetricsText *text, const BridgeSnapshot *bridge, const MetricsResizes *resizes);

/* How far metrics_print_vms() has come: the family, and the next VM of it. Zero-initialised: at the beginning. */
typedef struct MetricsCursor {
        size_t family, vm;
} MetricsCursor;

/*
 * Appends the samples of VMs, up to n_most VMs of one family, and moves cursor on. Returns 1 if there are more, 0 if that was
 * all, or text->error.
 */
int metrics_print_vms(MetricsText *text, const MetricsVm *vms, size_t n_vms, size_t n_most,
                      MetricsCursor *cursor);
