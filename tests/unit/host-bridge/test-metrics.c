/* SPDX-License-Identifier: Apache-2.0 */

/* The text for Prometheus, and the counters that outlive their guests. */

#include "host-bridge/surfaces/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/units.h"
#include "host-bridge/surfaces/metrics-totals.h"

static VmSnapshot make_vm(const char *name) {
        VmSnapshot vm = {
                .state = VM_MANAGED,
                .controlled = true,
                .min_bytes = 512 * MIB,
                .max_bytes = 2 * GIB,
                .size_bytes = 768 * MIB,
                .balloon_bytes = 64 * MIB,
                .report_age_usec = 250 * USEC_PER_MSEC,
                .figures_of_session = true,
                .available_bytes = 100 * MIB,
                .psi_some_usec = 1500001,
                .oom_kills = 1,
                .blocks_online = 6,
                .blocks_offline = 2,
                .frames_ok = 40,
                .frames_void = 3,
                .boot_id = {1},
        };

        vm.model =
                (MemoryModel){.known = true, .boot_bytes = 512 * MIB, .dimm_bytes = MIB, .n_virtio_mem = 1};
        vm.model.virtio_mem[0] = (VirtioMem){.size_bytes = 256 * MIB, .requested_bytes = 384 * MIB};
        (void) snprintf(vm.name, sizeof(vm.name), "%s", name);
        return vm;
}

/* As a scrape does it, a sample at a time. Returns as metrics_print_vms(). */
static int print_all(MetricsText *text, const BridgeSnapshot *bridge, const MetricsVm *vms, size_t n,
                     const MetricsResizes *resizes) {
        MetricsCursor cursor = {0};
        int r = metrics_print_host(text, bridge, resizes);

        if (r < 0)
                return r;
        while ((r = metrics_print_vms(text, vms, n, 1, &cursor)) > 0)
                ;
        return r;
}

static MetricsText print(const MetricsVm *vms, size_t n, const MetricsResizes *resizes) {
        static const BridgeSnapshot bridge = {.budget_bytes = 4 * GIB,
                                              .committed_bytes = GIB,
                                              .n_vms = 1,
                                              .version = "1.2"};
        MetricsText text = {.limit = MIB};

        assert_int_equal(print_all(&text, &bridge, vms, n, resizes), 0);
        assert_int_equal(strlen(text.data), text.length);
        return text;
}

static void assert_lines(const MetricsText *text, const char *const *lines, size_t n) {
        for (size_t i = 0; i < n; i++) {
                char line[256];

                (void) snprintf(line, sizeof(line), "\n%s\n", lines[i]);
                if (!strstr(text->data, line))
                        fail_msg("no line \"%s\" in\n%s", lines[i], text->data);
        }
}

static void test_one_vm(void **state) {
        static const char *const lines[] = {
                "memtide_build_info{version=\"1.2\"} 1",
                "memtide_host_budget_bytes 4294967296",
                "memtide_host_budget_used_bytes 1073741824",
                "memtide_vm_info{vm=\"a\",state=\"managed\"} 1",
                "# TYPE memtide_guest_pressure_memory_waiting_seconds_total counter",
                "memtide_guest_pressure_memory_waiting_seconds_total{vm=\"a\"} 1.500001",
                "memtide_guest_oom_kills_total{vm=\"a\"} 1",
                "memtide_guest_memory_available_bytes{vm=\"a\"} 104857600",
                "memtide_guest_memory_blocks{vm=\"a\",state=\"online\"} 6",
                "memtide_guest_memory_blocks{vm=\"a\",state=\"offline\"} 2",
                "memtide_report_age_seconds{vm=\"a\"} 0.250000",
                "memtide_reports_total{vm=\"a\"} 40",
                "memtide_reports_rejected_total{vm=\"a\",reason=\"void\"} 3",
                "memtide_vm_memory_boot_bytes{vm=\"a\"} 536870912",
                "memtide_vm_memory_plugged_bytes{vm=\"a\"} 269484032",
                "memtide_vm_memory_requested_bytes{vm=\"a\"} 402653184",
                "memtide_vm_memory_ballooned_bytes{vm=\"a\"} 67108864",
                "memtide_vm_memory_target_bytes{vm=\"a\"} 805306368",
                "memtide_vm_memory_min_bytes{vm=\"a\"} 536870912",
                "memtide_vm_memory_max_bytes{vm=\"a\"} 2147483648",
        };
        static const MetricsResizes none = {0};
        VmSnapshot snapshot = make_vm("a");
        MetricsVm vm;
        MetricsText text;

        metrics_of_vm(&snapshot, &vm);
        text = print(&vm, 1, &none);
        assert_lines(&text, lines, ELEMENTSOF(lines));
        free(text.data);
}

static void test_numbers(void **state) {
        static const struct {
                uint64_t value;
                const char *bytes, *seconds;
        } cases[] = {
                {0, "0", "0.000000"},
                {7, "7", "0.000007"},
                {1000000, "1000000", "1.000000"},
                {90061000001, "90061000001", "90061.000001"},
                {UINT64_MAX, "18446744073709551615", "18446744073709.551615"},
        };
        static const MetricsResizes none = {0};

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                MetricsVm vm = {.name = "a"};
                char line[128];
                MetricsText text;

                vm.known[METRICS_TOTAL] = vm.known[METRICS_REPORT_AGE_USEC] = true;
                vm.values[METRICS_TOTAL] = vm.values[METRICS_REPORT_AGE_USEC] = cases[i].value;
                text = print(&vm, 1, &none);
                (void) snprintf(line, sizeof(line), "_total_bytes{vm=\"a\"} %s\n", cases[i].bytes);
                assert_non_null(strstr(text.data, line));
                (void) snprintf(line, sizeof(line), "_age_seconds{vm=\"a\"} %s\n", cases[i].seconds);
                assert_non_null(strstr(text.data, line));
                free(text.data);
        }
}

/* What is not known is left out: a 0 would be an alarm. */
static void test_nothing_is_invented(void **state) {
        static const MetricsResizes none = {0};
        VmSnapshot snapshot = {.name = "silent", .report_age_usec = UINT64_MAX};
        MetricsVm vm;
        MetricsText text;

        metrics_of_vm(&snapshot, &vm);
        text = print(&vm, 1, &none);
        assert_non_null(strstr(text.data, "memtide_vm_info{vm=\"silent\",state=\"waiting\"} 1\n"));
        assert_null(strstr(text.data, "memtide_guest_memory_available_bytes{"));
        assert_null(strstr(text.data, "memtide_report_age_seconds{"));
        assert_null(strstr(text.data, "memtide_vm_memory_boot_bytes{"));
        assert_null(strstr(text.data, "memtide_vm_memory_max_bytes{"));
        free(text.data);
}

static void test_target(void **state) {
        static const struct {
                DecisionKind kind;
                uint64_t target_bytes;
        } cases[] = {{DECISION_GROW, GIB + 128 * MIB}, {DECISION_SHRINK, GIB - 128 * MIB}};

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                VmSnapshot snapshot = make_vm("a");
                MetricsVm vm;

                snapshot.resizing = true;
                snapshot.resize = (Decision){.kind = cases[i].kind, .wanted_bytes = 128 * MIB};
                snapshot.resize.inputs.size_bytes = GIB;
                metrics_of_vm(&snapshot, &vm);
                assert_int_equal(vm.values[METRICS_TARGET], cases[i].target_bytes);
        }
}

static void test_labels_are_escaped(void **state) {
        static const MetricsResizes none = {0};
        MetricsVm vm = {.name = "a\"}\\\n1"};
        MetricsText text = print(&vm, 1, &none);

        assert_non_null(strstr(text.data, "memtide_vm_info{vm=\"a\\\"}\\\\\\n1\",state=\"waiting\"} 1\n"));
        free(text.data);

        memset(vm.name, '"', sizeof(vm.name) - 1);
        text = print(&vm, 1, &none);
        free(text.data);
}

/* HELP and TYPE once, in front of all samples of the family, which stand together. */
static void test_families_stand_together(void **state) {
        static const MetricsResizes none = {0};
        MetricsVm vms[3];
        MetricsText text;
        char family[128] = "", *line, *rest;
        size_t n_heads = 0;

        for (size_t i = 0; i < ELEMENTSOF(vms); i++) {
                VmSnapshot snapshot = make_vm((const char *const[]){"a", "b", "c"}[i]);

                metrics_of_vm(&snapshot, vms + i);
        }
        text = print(vms, ELEMENTSOF(vms), &none);
        for (line = strtok_r(text.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
                if (strncmp(line, "# HELP ", 7) == 0) {
                        (void) snprintf(family, sizeof(family), "%.*s", (int) strcspn(line + 7, " "),
                                        line + 7);
                        n_heads++;
                } else if (strncmp(line, "# TYPE ", 7) == 0) {
                        assert_memory_equal(line + 7, family, strlen(family));
                } else {
                        assert_memory_equal(line, family, strlen(family));
                }
        }
        assert_true(n_heads > 20);
        free(text.data);
}

static void test_resizes(void **state) {
        static const char *const lines[] = {
                "memtide_resize_requests_total{direction=\"grow\",actuator=\"virtio-mem\",result=\"done\"} 3",
                "memtide_resize_requests_total{direction=\"shrink\",actuator=\"none\",result=\"refused\"} 1",
                "memtide_resize_requests_total{direction=\"shrink\",actuator=\"balloon\",result=\"vetoed\"} "
                "0",
                "memtide_resize_requests_total{direction=\"grow\",actuator=\"none\",result=\"denied\"} 1",
                "memtide_resize_duration_seconds_bucket{direction=\"grow\",le=\"0.01\"} 1",
                "memtide_resize_duration_seconds_bucket{direction=\"grow\",le=\"0.25\"} 2",
                "memtide_resize_duration_seconds_bucket{direction=\"grow\",le=\"60\"} 2",
                "memtide_resize_duration_seconds_bucket{direction=\"grow\",le=\"+Inf\"} 3",
                "memtide_resize_duration_seconds_sum{direction=\"grow\"} 61.210000",
                "memtide_resize_duration_seconds_count{direction=\"grow\"} 3",
                "memtide_resize_duration_seconds_count{direction=\"shrink\"} 0",
                "memtide_alarm_to_usable_seconds_bucket{le=\"0.05\"} 0",
                "memtide_alarm_to_usable_seconds_bucket{le=\"0.1\"} 1",
                "memtide_alarm_to_usable_seconds_sum 10.060000",
                "memtide_alarm_to_usable_seconds_count 2",
                "memtide_resize_late_bytes_total{direction=\"grow\"} 13",
                "memtide_resize_late_bytes_total{direction=\"shrink\"} 0",
        };
        static const uint64_t durations[] = {10000, 200000, 61000000};
        MetricsResizes resizes = {0};
        Decision decision = {.kind = DECISION_GROW,
                             .actuator = ACTUATOR_VIRTIO_MEM,
                             .result = RESULT_DONE,
                             .request_usec = 5};
        MetricsText text;

        for (size_t i = 0; i < ELEMENTSOF(durations); i++) {
                decision.closed_usec = 5 + durations[i];
                metrics_count(&resizes, &decision);
        }
        decision.rule = RULE_GROW_ALARM;
        decision.alarm_usec = 1000;
        decision.first_confirm_usec = 61000;
        decision.result = RESULT_PARTIAL;
        metrics_count(&resizes, &decision);
        metrics_count(&resizes, &(const Decision){.kind = DECISION_SHRINK, .result = RESULT_REFUSED});
        metrics_count(&resizes, &(const Decision){.kind = DECISION_DENY, .result = RESULT_DENIED});
        /* Two came late: one that had nothing by its end, and one that has been counted. */
        metrics_count_late(&resizes,
                           &(const Decision){.rule = RULE_GROW_ALARM,
                                             .result = RESULT_PARTIAL,
                                             .late_bytes = 8,
                                             .alarm_usec = 1,
                                             .first_confirm_usec = 1 + 10 * USEC_PER_SEC},
                           &(const Decision){.rule = RULE_GROW_ALARM,
                                             .result = RESULT_TIMEOUT,
                                             .alarm_usec = 1});
        metrics_count_late(&resizes,
                           &(const Decision){.rule = RULE_GROW_ALARM,
                                             .result = RESULT_DONE,
                                             .late_bytes = 9,
                                             .alarm_usec = 1,
                                             .first_confirm_usec = 2},
                           &(const Decision){.rule = RULE_GROW_ALARM,
                                             .result = RESULT_PARTIAL,
                                             .late_bytes = 4,
                                             .alarm_usec = 1,
                                             .first_confirm_usec = 2});
        text = print(NULL, 0, &resizes);
        assert_lines(&text, lines, ELEMENTSOF(lines));
        assert_null(strstr(text.data, "\"pending\""));
        free(text.data);
}

static void test_the_limit_holds(void **state) {
        static const BridgeSnapshot bridge = {.version = "1"};
        static const MetricsResizes none = {0};
        MetricsText text = {.limit = 20 * KIB};
        MetricsVm *vms = calloc(200, sizeof(*vms));

        assert_non_null(vms);
        for (size_t i = 0; i < 200; i++) {
                VmSnapshot snapshot = make_vm("some-name");

                metrics_of_vm(&snapshot, vms + i);
        }
        assert_int_equal(print_all(&text, &bridge, vms, 200, &none), -EFBIG);
        assert_true(text.length < text.limit);
        free(text.data);
        free(vms);
}

/* -- totals ---------------------------------------------------------------------------------------- */

static uint64_t take(MetricsTotals *totals, const VmSnapshot *snapshot, MetricsValue value) {
        MetricsVm samples;

        metrics_of_vm(snapshot, &samples);
        metrics_totals_begin(totals);
        assert_int_equal(metrics_totals_take(totals, snapshot, &samples), 0);
        metrics_totals_end(totals);
        return samples.values[value];
}

static void test_guest_counters_survive_a_boot(void **state) {
        static const struct {
                const char *what;
                uint8_t boot;
                bool figures_of_session;
                uint64_t stall_usec, expected_usec;
        } steps[] = {
                {"first", 1, true, 100, 100},
                {"on", 1, true, 150, 150},
                {"a new session, still the old figures", 2, false, 150, 150},
                {"another boot that has already passed the old count", 2, true, 400, 550},
                {"on", 2, true, 410, 560},
                {"the same boot begins anew", 2, true, 10, 570},
                {"no boot id", 0, true, 12, 572},
                {"no boot id, and less", 0, true, 1, 573},
        };
        _cleanup_(metrics_totals_freep) MetricsTotals *totals = NULL;
        VmSnapshot vm = make_vm("a");

        assert_int_equal(metrics_totals_new(&totals), 0);
        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                uint64_t usec;

                vm.boot_id[0] = steps[i].boot;
                vm.figures_of_session = steps[i].figures_of_session;
                vm.psi_some_usec = steps[i].stall_usec;
                usec = take(totals, &vm, METRICS_WAITING_USEC);
                if (usec != steps[i].expected_usec)
                        fail_msg("%s: %llu", steps[i].what, (unsigned long long) usec);
        }
}

/* One of a group tells for all: kills went from 3 to 3, but the time says that it booted. */
static void test_a_group_restarts_together(void **state) {
        _cleanup_(metrics_totals_freep) MetricsTotals *totals = NULL;
        VmSnapshot vm = make_vm("a");

        assert_int_equal(metrics_totals_new(&totals), 0);
        memset(vm.boot_id, 0, sizeof(vm.boot_id));
        vm.psi_some_usec = 100;
        vm.oom_kills = 3;
        assert_int_equal(take(totals, &vm, METRICS_OOM_KILLS), 3);
        vm.psi_some_usec = 50;
        assert_int_equal(take(totals, &vm, METRICS_OOM_KILLS), 6);

        vm.frames_ok = 10;
        assert_int_equal(take(totals, &vm, METRICS_REPORTS), 50); /* 40 before: the session is another */
        assert_int_equal(take(totals, &vm, METRICS_OOM_KILLS), 6);
}

static void test_a_silent_guest_keeps_its_counters(void **state) {
        _cleanup_(metrics_totals_freep) MetricsTotals *totals = NULL;
        VmSnapshot vm = make_vm("a");
        MetricsVm samples;

        assert_int_equal(metrics_totals_new(&totals), 0);
        (void) take(totals, &vm, METRICS_WAITING_USEC);
        vm.report_age_usec = UINT64_MAX;
        vm.psi_some_usec = 0;
        metrics_of_vm(&vm, &samples);
        assert_int_equal(metrics_totals_take(totals, &vm, &samples), 0);
        assert_true(samples.known[METRICS_WAITING_USEC]);
        assert_int_equal(samples.values[METRICS_WAITING_USEC], 1500001);
}

static void test_a_vm_that_left_is_forgotten(void **state) {
        _cleanup_(metrics_totals_freep) MetricsTotals *totals = NULL;
        VmSnapshot a = make_vm("a"), b = make_vm("b");

        assert_int_equal(metrics_totals_new(&totals), 0);
        a.frames_ok = 40;
        (void) take(totals, &a, METRICS_REPORTS);
        (void) take(totals, &b, METRICS_REPORTS);
        a.frames_ok = 1;
        assert_int_equal(take(totals, &a, METRICS_REPORTS), 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_one_vm),
                cmocka_unit_test(test_numbers),
                cmocka_unit_test(test_nothing_is_invented),
                cmocka_unit_test(test_target),
                cmocka_unit_test(test_labels_are_escaped),
                cmocka_unit_test(test_families_stand_together),
                cmocka_unit_test(test_resizes),
                cmocka_unit_test(test_the_limit_holds),
                cmocka_unit_test(test_guest_counters_survive_a_boot),
                cmocka_unit_test(test_a_group_restarts_together),
                cmocka_unit_test(test_a_silent_guest_keeps_its_counters),
                cmocka_unit_test(test_a_vm_that_left_is_forgotten),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
