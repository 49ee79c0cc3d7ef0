/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One table for what each VM has, one line of code per family for the rest. Numbers are integers in our own units;
 * microseconds become seconds by their decimal point, so that no float is rounded on the way.
 *
 * Prometheus wants all samples of a family together, so VMs are the inner loop, which can be left and taken up again.
 */

#include "host-bridge/surfaces/metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "common/units.h"

#define TEXT_FIRST_SIZE (16 * (size_t) KIB)

/* Two characters for each that is escaped, and the NUL. */
#define LABEL_MAX (2 * DECISION_VM_NAME_MAX + 1)

static const uint64_t bucket_usec[METRICS_BUCKETS] = {
        10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000, 30000000, 60000000,
};

typedef struct Row {
        const char *name, *type, *help; /* the same name again: another label of the same family */
        const char *label;              /* beside vm, or NULL */
        bool is_usec;                   /* shown in seconds */
} Row;

#define COUNTER(value, name, help, ...) [value] = {"memtide_" name, "counter", help, ##__VA_ARGS__}
#define GAUGE(value, name, help, ...)   [value] = {"memtide_" name, "gauge", help, ##__VA_ARGS__}
#define REJECTED(value, reason)                                                                              \
        COUNTER(value, "reports_rejected_total", "Frames of the agent that were dropped.",                   \
                "reason=\"" reason "\"")

static const Row rows[] = {
        COUNTER(METRICS_WAITING_USEC, "guest_pressure_memory_waiting_seconds_total",
                "Time in which some task of the guest waited for memory, over its reboots.", NULL, true),
        COUNTER(METRICS_STALLED_USEC, "guest_pressure_memory_stalled_seconds_total",
                "Time in which all tasks of the guest waited for memory, over its reboots.", NULL, true),
        COUNTER(METRICS_OOM_KILLS, "guest_oom_kills_total", "OOM kills in the guest, over its reboots."),
        COUNTER(METRICS_REPORTS, "reports_total", "Frames of the agent that were taken."),
        REJECTED(METRICS_GARBLED, "garbled"),
        REJECTED(METRICS_OVERLONG, "overlong"),
        REJECTED(METRICS_MALFORMED, "malformed"),
        REJECTED(METRICS_VOID, "void"),
        REJECTED(METRICS_REPLAYED, "replayed"),
        COUNTER(METRICS_HARM_USEC, "vm_harm_stalled_seconds_total",
                "Time in which the guest waited for memory that it could have been given.", NULL, true),
        COUNTER(METRICS_HARM_KILLS, "vm_harm_oom_kills_total",
                "OOM kills in the guest while its balloon held memory."),
        GAUGE(METRICS_TOTAL, "guest_memory_total_bytes", "MemTotal of the guest."),
        GAUGE(METRICS_AVAILABLE, "guest_memory_available_bytes", "MemAvailable of the guest."),
        GAUGE(METRICS_USED, "guest_memory_used_bytes", "What the guest's workload uses."),
        GAUGE(METRICS_DEMAND, "guest_memory_demand_bytes", "What the guest's workload needs."),
        GAUGE(METRICS_BLOCKS_ONLINE, "guest_memory_blocks", "Memory blocks of the guest by state.",
              "state=\"online\""),
        GAUGE(METRICS_BLOCKS_OFFLINE, "guest_memory_blocks", "Memory blocks of the guest by state.",
              "state=\"offline\""),
        GAUGE(METRICS_REPORT_AGE_USEC, "report_age_seconds", "Time since the agent's last report.", NULL,
              true),
        GAUGE(METRICS_BOOT, "vm_memory_boot_bytes", "Memory that the VM booted with."),
        GAUGE(METRICS_PLUGGED, "vm_memory_plugged_bytes", "Plugged DIMMs and virtio-mem."),
        GAUGE(METRICS_REQUESTED, "vm_memory_requested_bytes", "Virtio-mem that the guest is asked to have."),
        GAUGE(METRICS_BALLOONED, "vm_memory_ballooned_bytes", "What the balloon holds."),
        GAUGE(METRICS_TARGET, "vm_memory_target_bytes", "The size that the bridge aims at."),
        GAUGE(METRICS_MIN, "vm_memory_min_bytes", "The least that the policy allows."),
        GAUGE(METRICS_MAX, "vm_memory_max_bytes", "The most that the policy allows."),
        GAUGE(METRICS_SHADOW, "vm_memory_shadow_bytes",
              "The size that the bridge would aim at if the VM were managed and not in the shadow."),
};
_Static_assert(ELEMENTSOF(rows) == METRICS_VALUE_MAX, "every value has a row");

/* -- text ------------------------------------------------------------------------------------------ */

static void text_reserve(MetricsText *text, size_t length) {
        size_t wanted = text->length + length + 1, allocated = MAX_OF(text->allocated, TEXT_FIRST_SIZE);
        char *data;

        if (text->error < 0 || wanted <= text->allocated)
                return;
        if (wanted > text->limit) {
                text->error = -EFBIG;
                return;
        }
        while (allocated < wanted)
                allocated *= 2;
        allocated = MIN_OF(allocated, text->limit);
        data = realloc(text->data, allocated);
        if (!data) {
                text->error = -ENOMEM;
                return;
        }
        text->data = data;
        text->allocated = allocated;
}

_printf_(2, 3) static void text_add(MetricsText *text, const char *format, ...) {
        char line[512];
        va_list args;
        int n;

        va_start(args, format);
        n = vsnprintf(line, sizeof(line), format, args);
        va_end(args);
        assert(n >= 0 &&
               (size_t) n < sizeof(line)); /* names are bounded, and the longest line is half of it */

        text_reserve(text, (size_t) n);
        if (text->error < 0)
                return;
        memcpy(text->data + text->length, line, (size_t) n + 1);
        text->length += (size_t) n;
}

/* Without printf: ten thousand VMs have a quarter of a million samples. */
static void text_put(MetricsText *text, const char *piece) {
        size_t length = strlen(piece);

        text_reserve(text, length);
        if (text->error < 0)
                return;
        memcpy(text->data + text->length, piece, length + 1);
        text->length += length;
}

static void add_head(MetricsText *text, const char *name, const char *type, const char *help) {
        text_add(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A name has no such characters today; a label that could end itself must not depend on that. */
static const char *escape(char buffer[static LABEL_MAX], const char *value) {
        char *to = buffer;

        for (size_t i = 0; value[i] != '\0' && i < DECISION_VM_NAME_MAX; i++) {
                if (value[i] == '\\' || value[i] == '"' || value[i] == '\n')
                        *to++ = '\\';
                *to++ = value[i] == '\n' ? 'n' : value[i];
        }
        *to = '\0';
        return buffer;
}

static const char *format_value(char buffer[static 32], uint64_t value, bool is_usec) {
        char *at = buffer + 31;
        unsigned digits = 0, least = is_usec ? 7 : 1; /* 0.000000 */

        *at = '\0';
        for (; value > 0 || digits < least; value /= 10) {
                if (is_usec && digits == 6)
                        *--at = '.';
                *--at = (char) ('0' + value % 10);
                digits++;
        }
        return at;
}

/* -- VMs ------------------------------------------------------------------------------------------- */

static uint64_t target_of(const VmSnapshot *vm) {
        const Decision *resize = &vm->resize;

        if (!vm->resizing)
                return vm->size_bytes;
        return resize->kind == DECISION_GROW ? u64_add(resize->inputs.size_bytes, resize->wanted_bytes)
                                             : u64_sub(resize->inputs.size_bytes, resize->wanted_bytes);
}

static void set(MetricsVm *vm, MetricsValue value, uint64_t number) {
        vm->values[value] = number;
        vm->known[value] = true;
}

static void add_guest(const VmSnapshot *vm, MetricsVm *ret) {
        set(ret, METRICS_WAITING_USEC, vm->psi_some_usec);
        set(ret, METRICS_STALLED_USEC, vm->psi_full_usec);
        set(ret, METRICS_OOM_KILLS, vm->oom_kills);
        set(ret, METRICS_TOTAL, vm->total_bytes);
        set(ret, METRICS_AVAILABLE, vm->available_bytes);
        set(ret, METRICS_USED, vm->used_bytes);
        set(ret, METRICS_DEMAND, vm->demand_bytes);
        set(ret, METRICS_BLOCKS_ONLINE, vm->blocks_online);
        set(ret, METRICS_BLOCKS_OFFLINE, vm->blocks_offline);
        set(ret, METRICS_REPORT_AGE_USEC, vm->report_age_usec);
}

static void add_hypervisor(const VmSnapshot *vm, MetricsVm *ret) {
        uint64_t plugged = vm->model.dimm_bytes, requested = 0;

        for (unsigned i = 0; i < vm->model.n_virtio_mem; i++) {
                plugged = u64_add(plugged, vm->model.virtio_mem[i].size_bytes);
                requested = u64_add(requested, vm->model.virtio_mem[i].requested_bytes);
        }
        set(ret, METRICS_BOOT, vm->model.boot_bytes);
        set(ret, METRICS_PLUGGED, plugged);
        set(ret, METRICS_REQUESTED, requested);
        set(ret, METRICS_BALLOONED, vm->balloon_bytes);
        set(ret, METRICS_TARGET, target_of(vm));
        set(ret, METRICS_MIN, vm->min_bytes);
        if (vm->mode == VM_MODE_SHADOW)
                set(ret, METRICS_SHADOW, vm->n_shadowed > 0 ? vm->shadow_bytes : vm->size_bytes);
}

void metrics_of_vm(const VmSnapshot *vm, MetricsVm *ret) {
        assert(vm);
        assert(ret);

        *ret = (MetricsVm){.state = vm->state};
        memcpy(ret->name, vm->name, sizeof(ret->name));
        ret->name[sizeof(ret->name) - 1] = '\0';
        if (vm->report_age_usec != UINT64_MAX)
                add_guest(vm, ret);
        if (vm->model.known)
                add_hypervisor(vm, ret);
        if (vm->controlled && vm->max_bytes != UINT64_MAX)
                set(ret, METRICS_MAX, vm->max_bytes);
        set(ret, METRICS_REPORTS, vm->frames_ok);
        set(ret, METRICS_GARBLED, vm->frames_garbled);
        set(ret, METRICS_OVERLONG, vm->frames_overlong);
        set(ret, METRICS_MALFORMED, vm->frames_malformed);
        set(ret, METRICS_VOID, vm->frames_void);
        set(ret, METRICS_REPLAYED, vm->frames_replayed);
        set(ret, METRICS_HARM_USEC, vm->harm_stalled_usec);
        set(ret, METRICS_HARM_KILLS, vm->harm_kills);
}

static bool same_family(size_t a, size_t b) {
        return strcmp(rows[a].name, rows[b].name) == 0;
}

/* One behind the rows of first's family. */
static size_t end_of_family(size_t first) {
        size_t end = first + 1;

        while (end < METRICS_VALUE_MAX && same_family(first, end))
                end++;
        return end;
}

/* Of the VM's samples those of one family. */
static void add_samples(MetricsText *text, size_t first, size_t end, const MetricsVm *vm) {
        char label[LABEL_MAX], value[32];

        for (size_t row = first; row < end; row++) {
                const char *more = rows[row].label;

                if (!vm->known[row])
                        continue;
                text_put(text, rows[row].name);
                text_put(text, "{vm=\"");
                text_put(text, escape(label, vm->name));
                text_put(text, more ? "\"," : "\"");
                text_put(text, more ? more : "");
                text_put(text, "} ");
                text_put(text, format_value(value, vm->values[row], rows[row].is_usec));
                text_put(text, "\n");
        }
}

static void add_info(MetricsText *text, const MetricsVm *vm) {
        char label[LABEL_MAX];

        text_add(text, "memtide_vm_info{vm=\"%s\",state=\"%s\"} 1\n", escape(label, vm->name),
                 vm_state_to_string(vm->state));
}

/* Families are numbered by their first row and one more: 0 is the one that is no figure. */
int metrics_print_vms(MetricsText *text, const MetricsVm *vms, size_t n_vms, size_t n_most,
                      MetricsCursor *cursor) {
        bool info = cursor->family == 0;
        size_t first = info ? 0 : cursor->family - 1, end = info ? 0 : end_of_family(first);

        assert(text && text->limit > 0);
        assert(vms || n_vms == 0);
        assert(cursor && cursor->family <= METRICS_VALUE_MAX);

        if (cursor->vm == 0 && info)
                add_head(text, "memtide_vm_info", "gauge",
                         "1 for each VM, with what the bridge makes of it.");
        else if (cursor->vm == 0)
                add_head(text, rows[first].name, rows[first].type, rows[first].help);
        for (size_t n = 0; n < n_most && cursor->vm < n_vms; n++, cursor->vm++)
                if (info)
                        add_info(text, &vms[cursor->vm]);
                else
                        add_samples(text, first, end, &vms[cursor->vm]);
        if (text->error < 0)
                return text->error;
        if (cursor->vm == n_vms)
                *cursor = (MetricsCursor){.family = end + 1};
        return cursor->family <= METRICS_VALUE_MAX;
}

/* -- resizes --------------------------------------------------------------------------------------- */

static void count_in_bucket(uint64_t n_in_bucket[static METRICS_BUCKETS], uint64_t usec) {
        for (size_t i = 0; i < METRICS_BUCKETS; i++)
                if (usec <= bucket_usec[i]) {
                        n_in_bucket[i]++;
                        return;
                }
}

static void count_relief(MetricsResizes *resizes, const Decision *decision) {
        uint64_t usec = u64_sub(decision->first_confirm_usec, decision->alarm_usec);

        if (decision->rule != RULE_GROW_ALARM || decision->first_confirm_usec == 0 ||
            decision->alarm_usec == 0)
                return;
        resizes->n_relieved++;
        resizes->relief_usec = u64_add(resizes->relief_usec, usec);
        count_in_bucket(resizes->n_relief_in_bucket, usec);
}

void metrics_count(MetricsResizes *resizes, const Decision *decision) {
        unsigned direction = decision->kind;
        uint64_t usec;

        assert(resizes);
        assert(decision);

        if (decision->kind == DECISION_DENY || decision->result == RESULT_DENIED) {
                resizes->denied++;
                return;
        }
        assert(direction < METRICS_DIRECTIONS);
        resizes->closed[direction][decision->actuator][decision->result]++;
        count_relief(resizes, decision);
        if (decision->result != RESULT_DONE || decision->request_usec == 0)
                return;

        usec = u64_sub(decision->closed_usec, decision->request_usec);
        resizes->n_timed[direction]++;
        resizes->timed_usec[direction] = u64_add(resizes->timed_usec[direction], usec);
        count_in_bucket(resizes->n_in_bucket[direction], usec);
}

void metrics_count_late(MetricsResizes *resizes, const Decision *decision, const Decision *before) {
        unsigned direction = decision->kind;

        assert(resizes);
        assert(decision && before);

        if (direction >= METRICS_DIRECTIONS || before->result == RESULT_PENDING)
                return;
        resizes->late_bytes[direction] =
                u64_add(resizes->late_bytes[direction], u64_sub(decision->late_bytes, before->late_bytes));
        if (before->first_confirm_usec == 0) /* nothing had come by its end: this is the relief */
                count_relief(resizes, decision);
}

/*
 * Every series that can come is there from the start, at 0: rate() does not see the first increment of one that
 * appears with it. Without an actuator are only those that ended before the first step, or are of the shadow.
 */
static bool is_shown(unsigned actuator, unsigned result, uint64_t n) {
        if (result == RESULT_PENDING || result == RESULT_DENIED)
                return false;
        return n > 0 || (actuator == ACTUATOR_NONE) == (result == RESULT_SHADOW);
}

static void add_requests(MetricsText *text, const MetricsResizes *resizes) {
        static const char name[] = "memtide_resize_requests_total";

        add_head(text, name, "counter", "Resizes that have ended, by how.");
        for (unsigned direction = 0; direction < METRICS_DIRECTIONS; direction++)
                for (unsigned actuator = 0; actuator < ACTUATOR_MAX; actuator++)
                        for (unsigned result = 0; result < DECISION_RESULT_MAX; result++) {
                                uint64_t n = resizes->closed[direction][actuator][result];

                                if (is_shown(actuator, result, n))
                                        text_add(text,
                                                 "%s{direction=\"%s\",actuator=\"%s\",result=\"%s\"} %" PRIu64
                                                 "\n",
                                                 name, decision_kind_to_string((DecisionKind) direction),
                                                 actuator_to_string((Actuator) actuator),
                                                 decision_result_to_string((DecisionResult) result), n);
                        }
        text_add(text, "%s{direction=\"grow\",actuator=\"none\",result=\"denied\"} %" PRIu64 "\n", name,
                 resizes->denied);
}

static void add_late(MetricsText *text, const MetricsResizes *resizes) {
        static const char name[] = "memtide_resize_late_bytes_total";

        add_head(text, name, "counter", "What guests confirmed of resizes that had ended without it.");
        for (unsigned direction = 0; direction < METRICS_DIRECTIONS; direction++)
                text_add(text, "%s{direction=\"%s\"} %" PRIu64 "\n", name,
                         decision_kind_to_string((DecisionKind) direction), resizes->late_bytes[direction]);
}

/* label: with its comma behind, or "". */
static void add_histogram(MetricsText *text, const char *name, const char *label,
                          const uint64_t n_in_bucket[static METRICS_BUCKETS], uint64_t sum_usec,
                          uint64_t count) {
        int length = (int) strlen(label);
        char value[32], alone[64] = "";
        uint64_t n = 0;

        for (size_t i = 0; i < METRICS_BUCKETS; i++) {
                n += n_in_bucket[i];
                text_add(text, "%s_bucket{%sle=\"%g\"} %" PRIu64 "\n", name, label,
                         (double) bucket_usec[i] / (double) USEC_PER_SEC, n);
        }
        if (length > 0)
                (void) snprintf(alone, sizeof(alone), "{%.*s}", length - 1, label);
        text_add(text, "%s_bucket{%sle=\"+Inf\"} %" PRIu64 "\n", name, label, count);
        text_add(text, "%s_sum%s %s\n", name, alone, format_value(value, sum_usec, true));
        text_add(text, "%s_count%s %" PRIu64 "\n", name, alone, count);
}

static void add_durations(MetricsText *text, const MetricsResizes *resizes) {
        static const char name[] = "memtide_resize_duration_seconds",
                          relief[] = "memtide_alarm_to_usable_seconds";
        char label[48];

        add_head(text, name, "histogram",
                 "Time from the request to the hypervisor until the guest confirmed all of it.");
        for (unsigned direction = 0; direction < METRICS_DIRECTIONS; direction++) {
                (void) snprintf(label, sizeof(label), "direction=\"%s\",",
                                decision_kind_to_string((DecisionKind) direction));
                add_histogram(text, name, label, resizes->n_in_bucket[direction],
                              resizes->timed_usec[direction], resizes->n_timed[direction]);
        }
        add_head(text, relief, "histogram",
                 "Time from a guest's alarm until it confirmed the first memory that it was given for it.");
        add_histogram(text, relief, "", resizes->n_relief_in_bucket, resizes->relief_usec,
                      resizes->n_relieved);
}

/* -- the host -------------------------------------------------------------------------------------- */

static void add_host(MetricsText *text, const BridgeSnapshot *bridge) {
        add_head(text, "memtide_build_info", "gauge", "1, with the version of the bridge.");
        text_add(text, "memtide_build_info{version=\"%s\"} 1\n", bridge->version);
        if (bridge->budget_bytes != UINT64_MAX) {
                add_head(text, "memtide_host_budget_bytes", "gauge",
                         "The most that all VMs may have together.");
                text_add(text, "memtide_host_budget_bytes %" PRIu64 "\n", bridge->budget_bytes);
        }
        add_head(text, "memtide_host_budget_used_bytes", "gauge",
                 "What the VMs have, pending growth included.");
        text_add(text, "memtide_host_budget_used_bytes %" PRIu64 "\n", bridge->committed_bytes);
        add_head(text, "memtide_vms", "gauge", "VMs that the bridge knows.");
        text_add(text, "memtide_vms %zu\n", bridge->n_vms);
}

int metrics_print_host(MetricsText *text, const BridgeSnapshot *bridge, const MetricsResizes *resizes) {
        assert(text && text->limit > 0);
        assert(bridge);
        assert(resizes);

        add_host(text, bridge);
        add_requests(text, resizes);
        add_late(text, resizes);
        add_durations(text, resizes);
        return text->error;
}
