/* SPDX-License-Identifier: Apache-2.0 */

/* meminfo, vmstat and zoneinfo of real kernels, and of kernels that lack, reorder or garble something. */

#include "agent/signals/counters.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "tree.h"

#define BIT(key) (UINT32_C(1) << (key))

static uint32_t parse(Counters *counters, const CountersTable *table, const char *text) {
        return counters_parse(counters, table, text, strlen(text));
}

static void test_meminfo_of_debian(void **state) {
        _cleanup_free_ char *text = fixture_read("debian12-6.1", "proc/meminfo", NULL);
        Snapshot snapshot = {};
        Counters counters = {};

        for (unsigned round = 0; round < 2; round++) { /* searched, then in the order learnt */
                assert_int_equal(parse(&counters, &counters_meminfo, text), 0);
                assert_int_equal(counters.n_order, MEMINFO_BALLOON); /* all but Balloon */
                assert_false(counters_has(&counters, MEMINFO_BALLOON));
                assert_true(counters_fill_meminfo(&counters, &snapshot));
                assert_int_equal(snapshot.total_bytes, 676124 * KIB);
                assert_int_equal(snapshot.free_bytes, 560228 * KIB);
                assert_int_equal(snapshot.available_bytes, 553632 * KIB);
        }
}

static void test_meminfo_of_6_18(void **state) {
        _cleanup_free_ char *text = fixture_read("linux-6.18", "proc/meminfo", NULL);
        Counters counters = {};

        assert_int_equal(parse(&counters, &counters_meminfo, text), 0);
        assert_true(counters_has(&counters, MEMINFO_BALLOON));
}

static const struct {
        const char *name, *text;
        uint64_t available; /* UINT64_MAX: not found */
} lines[] = {
        {"as it is", "MemAvailable:     553632 kB\n", 553632 * KIB},
        {"zero", "MemAvailable:          0 kB\n", 0},
        {"no newline", "MemAvailable: 1 kB", KIB},
        {"64 TiB", "MemAvailable: 68719476736 kB\n", 64 * TIB},
        {"more than 64 TiB", "MemAvailable: 68719476737 kB\n", UINT64_MAX},
        {"beyond 64 bit", "MemAvailable: 99999999999999999999 kB\n", UINT64_MAX},
        {"no unit", "MemAvailable: 553632\n", UINT64_MAX},
        {"another unit", "MemAvailable: 553632 MB\n", UINT64_MAX},
        {"unit alone", "MemAvailable: kB\n", UINT64_MAX},
        {"nothing", "MemAvailable:\n", UINT64_MAX},
        {"blanks", "MemAvailable:     \n", UINT64_MAX},
        {"negative", "MemAvailable: -1 kB\n", UINT64_MAX},
        {"two numbers", "MemAvailable: 1 2 kB\n", UINT64_MAX},
        {"a prefix of the name", "MemAvail: 1 kB\n", UINT64_MAX},
        {"a longer name", "MemAvailables: 1 kB\n", UINT64_MAX},
        {"no colon", "MemAvailable 1 kB\n", UINT64_MAX},
        {"not at the beginning", " MemAvailable: 1 kB\n", UINT64_MAX},
        {"after an empty line", "\n\nMemAvailable: 1 kB\n", KIB},
};

static void test_lines(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                Counters counters = {};
                uint32_t missing = parse(&counters, &counters_meminfo, lines[i].text);
                bool want = lines[i].available != UINT64_MAX;

                if (counters_has(&counters, MEMINFO_AVAILABLE) != want ||
                    !(missing & BIT(MEMINFO_AVAILABLE)) != want)
                        fail_msg("%s: found 0x%x, missing 0x%x", lines[i].name, counters.found, missing);
                assert_int_equal(counters.value[MEMINFO_AVAILABLE], want ? lines[i].available : 0);
        }
}

static void test_order_is_relearnt(void **state) {
        static const char first[] = "MemTotal: 3 kB\nMemFree: 2 kB\nMemAvailable: 1 kB\n",
                          moved[] = "MemAvailable: 4 kB\nNewLine: 9 kB\nMemTotal: 6 kB\nMemFree: 5 kB\n",
                          less[] = "MemTotal: 8 kB\nMemFree: 7 kB\n",
                          more[] = "MemTotal: 8 kB\nMemFree: 7 kB\nSwapTotal: 6 kB\n";
        Counters counters = {};

        (void) parse(&counters, &counters_meminfo, first);
        (void) parse(&counters, &counters_meminfo, moved);
        assert_int_equal(counters.value[MEMINFO_TOTAL], 6 * KIB);
        assert_int_equal(counters.value[MEMINFO_FREE], 5 * KIB);
        assert_int_equal(counters.value[MEMINFO_AVAILABLE], 4 * KIB);
        assert_int_equal(counters.order[0], MEMINFO_AVAILABLE);

        /* A value of the text before must not survive. */
        assert_true(parse(&counters, &counters_meminfo, less) & BIT(MEMINFO_AVAILABLE));
        assert_int_equal(counters.value[MEMINFO_AVAILABLE], 0);

        /* A key that was not in the text learnt from. */
        (void) parse(&counters, &counters_meminfo, more);
        assert_int_equal(counters.value[MEMINFO_SWAP_TOTAL], 6 * KIB);

        (void) parse(&counters, &counters_meminfo, "");
        assert_int_equal(counters.found, 0);
}

static void test_fill_needs_the_three(void **state) {
        Snapshot snapshot = {.total_bytes = 5};
        Counters counters = {};

        (void) parse(&counters, &counters_meminfo, "MemTotal: 3 kB\nMemFree: 2 kB\n");
        assert_false(counters_fill_meminfo(&counters, &snapshot));
        assert_int_equal(snapshot.total_bytes, 5);
}

static void test_fill_bounds_parts_by_the_whole(void **state) {
        Snapshot snapshot = {};
        Counters counters = {};

        (void) parse(&counters, &counters_meminfo,
                     "MemTotal: 3 kB\nMemFree: 9 kB\nMemAvailable: 8 kB\nSwapTotal: 0 kB\nSwapFree: 4 kB\n");
        assert_true(counters_fill_meminfo(&counters, &snapshot));
        assert_int_equal(snapshot.free_bytes, 3 * KIB);
        assert_int_equal(snapshot.available_bytes, 3 * KIB);
        assert_int_equal(snapshot.swap_free_bytes, 0);
}

static void test_vmstat(void **state) {
        _cleanup_free_ char *debian = fixture_read("debian12-6.1", "proc/vmstat", NULL),
                            *newer = fixture_read("linux-6.18", "proc/vmstat", NULL),
                            *poorer = fixture_read("arm64-64k-no-psi", "proc/vmstat", NULL);
        Counters counters = {};

        assert_int_equal(parse(&counters, &counters_vmstat, debian), 0);
        assert_int_equal(counters.n_order, VMSTAT_KEY_MAX);
        assert_int_equal(counters.value[VMSTAT_BALLOON_INFLATE], 17408);

        /* Another kernel's order, without a new start. */
        assert_int_equal(parse(&counters, &counters_vmstat, newer), 0);
        assert_int_equal(counters.n_order, VMSTAT_KEY_MAX);
        assert_true(counters.value[VMSTAT_REFAULT_FILE] > 0);

        assert_int_equal(parse(&counters, &counters_vmstat, poorer), BIT(VMSTAT_OOM_KILL));
        assert_false(counters_has(&counters, VMSTAT_PSWPOUT));
}

static void test_vmstat_sums(void **state) {
        Snapshot snapshot = {};
        Counters counters = {};

        (void) parse(
                &counters, &counters_vmstat,
                "allocstall_dma 1\nallocstall_dma32 2\nallocstall_normal 4\nallocstall_movable 8\n"
                "allocstall_device 100\npgscan_direct 16\npgscan_direct_throttle 99\npgscan_kswapd 32\n"
                "workingset_refault_anon 1\nworkingset_refault_file 18446744073709551615\n"
                "workingset_activate_anon 3\nworkingset_activate_file 4\noom_kill 5\npswpin 6\npswpout 7\n");
        assert_true(counters_fill_vmstat(&counters, &snapshot));
        assert_int_equal(snapshot.allocstall, 15);
        assert_int_equal(snapshot.pgscan_direct, 16);
        assert_int_equal(snapshot.pgscan_kswapd, 32);
        assert_int_equal(snapshot.workingset_refault, UINT64_MAX); /* saturates */
        assert_int_equal(snapshot.workingset_activate, 7);
        assert_int_equal(snapshot.oom_kill, 5);
        assert_int_equal(snapshot.pswpin, 6);
        assert_int_equal(snapshot.pswpout, 7);
}

static void test_zoneinfo_of_debian(void **state) {
        _cleanup_free_ char *text = NULL;
        Snapshot snapshot = {};
        ZoneBalance balance;
        size_t n;

        text = fixture_read("debian12-6.1", "proc/zoneinfo", &n);
        assert_int_equal(zoneinfo_parse(text, n, 4096, &snapshot, &balance), 0);
        /* DMA32 and Normal; 15 MiB of DMA count as present alone. */
        assert_int_equal(snapshot.kernel_free_bytes, (86868 + 32673) * UINT64_C(4096));
        assert_int_equal(snapshot.kernel_managed_bytes, (99655 + 32768) * UINT64_C(4096));
        assert_int_equal(snapshot.movable_managed_bytes, 32768 * 4096);
        assert_int_equal(balance.movable_bytes, 128 * MIB);
        assert_int_equal(balance.kernel_bytes, (3998 + 126944 + 32768) * UINT64_C(4096));
}

static void test_zoneinfo_of_arm64(void **state) {
        _cleanup_free_ char *text = NULL;
        Snapshot snapshot = {};
        ZoneBalance balance;
        size_t n;

        text = fixture_read("arm64-64k-no-psi", "proc/zoneinfo", &n);
        assert_int_equal(zoneinfo_parse(text, n, 65536, &snapshot, &balance), 0);
        assert_int_equal(snapshot.kernel_managed_bytes, 24100 * 64 * KIB); /* all of it is in ZONE_DMA */
        assert_int_equal(snapshot.kernel_free_bytes, 9012 * 64 * KIB);
        assert_int_equal(snapshot.kernel_low_bytes, 640 * 64 * KIB);
        assert_int_equal(snapshot.kernel_high_bytes, 768 * 64 * KIB); /* not the pagesets' high: */
        assert_int_equal(snapshot.kernel_file_bytes, 3310 * 64 * KIB);
        assert_int_equal(snapshot.movable_managed_bytes, 0);
        assert_int_equal(balance.kernel_bytes, 24576 * 64 * KIB);
        assert_int_equal(balance.movable_bytes, 0);
}

static void test_zoneinfo_sums_nodes(void **state) {
        static const char text[] =
                "Node 0, zone   Normal\n  pages free     1\n        managed  10\n"
                "Node 0, zone   Device\n  pages free     1000\n        managed  1000\n"
                "Node 1, zone   Normal\n  pages free     2\n        managed  20\n"
                "Node 1, zone  Movable\n  pages free     4\n        present  40\n        managed  39";
        Snapshot snapshot = {};
        ZoneBalance balance;

        assert_int_equal(zoneinfo_parse(text, strlen(text), 1, &snapshot, &balance), 0);
        assert_int_equal(snapshot.kernel_free_bytes, 3);
        assert_int_equal(snapshot.kernel_managed_bytes, 30);
        assert_int_equal(snapshot.movable_managed_bytes, 39);
        assert_int_equal(balance.movable_bytes, 40);
}

static void test_zoneinfo_refuses(void **state) {
        static const char *const bad[] = {
                "",
                "\n",
                "garbage",
                "Node 0, zone   Normal\n",
                "Node 0, zone   Normal\n  pages free     -1\n",
                "Node 0, zone   Normal\n  pages free     \n",
                "Node 0, zone   Normal\n  pages free     99999999999999999999\n",
                "  pages free     7\n", /* of no zone */
                "Node 0, zone   Later\n  pages free     7\n",
        };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                Snapshot snapshot = {.kernel_free_bytes = 77};
                ZoneBalance balance = {.kernel_bytes = 78};

                if (zoneinfo_parse(bad[i], strlen(bad[i]), 4096, &snapshot, &balance) != -EINVAL)
                        fail_msg("taken: \"%s\"", bad[i]);
                assert_int_equal(snapshot.kernel_free_bytes, 77);
                assert_int_equal(balance.kernel_bytes, 78);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_meminfo_of_debian),
                cmocka_unit_test(test_meminfo_of_6_18),
                cmocka_unit_test(test_lines),
                cmocka_unit_test(test_order_is_relearnt),
                cmocka_unit_test(test_fill_needs_the_three),
                cmocka_unit_test(test_fill_bounds_parts_by_the_whole),
                cmocka_unit_test(test_vmstat),
                cmocka_unit_test(test_vmstat_sums),
                cmocka_unit_test(test_zoneinfo_of_debian),
                cmocka_unit_test(test_zoneinfo_of_arm64),
                cmocka_unit_test(test_zoneinfo_sums_nodes),
                cmocka_unit_test(test_zoneinfo_refuses),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
