/* SPDX-License-Identifier: Apache-2.0 */

/* Snapshots of whole machines, of machines with holes, and of files that go away; and that a read allocates nothing. */

#include "agent/signals/sampler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>
#include <string.h>

#include "agent/signals/zram.h"
#include "common/log.h"
#include "tree.h"

#define ALL (SNAPSHOT_HAS_MEMINFO | SNAPSHOT_HAS_PSI | SNAPSHOT_HAS_VMSTAT | SNAPSHOT_HAS_ZONES)

static unsigned n_allocations;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);

void *__wrap_malloc(size_t size) {
        n_allocations++;
        return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size) {
        n_allocations++;
        return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size) {
        n_allocations++;
        return __real_realloc(p, size);
}

static int missing_error(const Sampler *sampler, Facility facility) {
        const MissingFacility *missing;
        size_t n = sampler_missing(sampler, &missing);
        int error = 0;

        for (size_t i = 0; i < n; i++)
                if (missing[i].facility == facility) {
                        assert_int_equal(error, 0); /* named once */
                        error = missing[i].error;
                }
        return error;
}

static void test_debian(void **state) {
        _cleanup_(sampler_freep) Sampler *sampler = NULL;
        _cleanup_(tree_freep) Tree *tree = tree_new("debian12-6.1");
        Snapshot snapshot;

        assert_int_equal(sampler_new(tree->root, &sampler), 0);
        sampler_read(sampler, ALL, &snapshot);
        assert_int_equal(snapshot.has, ALL);
        assert_true(snapshot.now_usec > 0);
        assert_int_equal(snapshot.total_bytes, 676124 * KIB);
        assert_int_equal(snapshot.balloon_bytes, 17408 * UINT64_C(4096));
        assert_true(snapshot.balloon_in_total);
        assert_int_equal(sampler_zone_balance(sampler).movable_bytes, 128 * MIB);
        assert_int_equal(missing_error(sampler, FACILITY_PSI), 0);
        assert_int_equal(missing_error(sampler, FACILITY_BALLOON), 0);
        assert_int_equal(sampler_capabilities(sampler) & (CAPABILITY_PSI_TOTALS | CAPABILITY_SWAP),
                         CAPABILITY_PSI_TOTALS);
}

/* Who has what is neither free nor cache, of the same text; without one of those figures it is not known, and named. */
static void test_held(void **state) {
        _cleanup_(sampler_freep) Sampler *sampler = NULL;
        _cleanup_(tree_freep) Tree *tree = tree_new("debian12-6.1");
        char *meminfo = fixture_read("debian12-6.1", "proc/meminfo", NULL);
        static const char *const names[] = {"\nActive(anon):", "\nInactive(anon):", "\nUnevictable:",
                                            "\nSUnreclaim:",   "\nKernelStack:",    "\nPageTables:",
                                            "\nVmallocUsed:",  "\nPercpu:"};
        uint64_t held = 0;
        Snapshot snapshot;
        char *slab;

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                const char *at = strstr(meminfo, names[i]);

                assert_non_null(at);
                held += strtoull(at + strlen(names[i]), NULL, 10) * KIB;
        }
        assert_int_equal(sampler_new(tree->root, &sampler), 0);
        sampler_read(sampler, SNAPSHOT_HAS_MEMINFO | SNAPSHOT_HAS_HELD, &snapshot);
        assert_int_equal(snapshot.has & SNAPSHOT_HAS_HELD, SNAPSHOT_HAS_HELD);
        assert_true(held > MIB);
        assert_int_equal(snapshot.held_bytes, held);
        sampler_read(sampler, SNAPSHOT_HAS_MEMINFO, &snapshot);
        assert_int_equal(snapshot.has & SNAPSHOT_HAS_HELD, 0);

        slab = strstr(meminfo, "SUnreclaim");
        assert_non_null(slab);
        slab[0] = 'X';
        tree_write(tree, "proc/meminfo", meminfo);
        sampler_read(sampler, SNAPSHOT_HAS_MEMINFO | SNAPSHOT_HAS_HELD, &snapshot);
        assert_int_equal(snapshot.has & (SNAPSHOT_HAS_HELD | SNAPSHOT_HAS_MEMINFO), SNAPSHOT_HAS_MEMINFO);
        free(meminfo);
}

/* Only what is asked for is read, but for the balloon that MemTotal hides. */
static void test_what(void **state) {
        _cleanup_(sampler_freep) Sampler *hidden = NULL, *plain = NULL;
        _cleanup_(tree_freep) Tree *tree = tree_new("debian12-6.1"), *newer = tree_new("linux-6.18");
        Snapshot snapshot;

        assert_int_equal(sampler_new(tree->root, &hidden), 0);
        sampler_read(hidden, SNAPSHOT_HAS_PSI, &snapshot);
        assert_int_equal(snapshot.has, SNAPSHOT_HAS_PSI);
        assert_int_equal(snapshot.total_bytes, 676124 * KIB); /* of the read at start */
        sampler_read(hidden, SNAPSHOT_HAS_MEMINFO, &snapshot);
        assert_int_equal(snapshot.has, SNAPSHOT_HAS_MEMINFO | SNAPSHOT_HAS_VMSTAT);

        assert_int_equal(sampler_new(newer->root, &plain), 0);
        sampler_read(plain, SNAPSHOT_HAS_MEMINFO, &snapshot);
        assert_int_equal(snapshot.has, SNAPSHOT_HAS_MEMINFO); /* meminfo has "Balloon:" */
}

static void test_follows_changes(void **state) {
        _cleanup_(sampler_freep) Sampler *sampler = NULL;
        _cleanup_(tree_freep) Tree *tree = tree_new("debian12-6.1");
        Snapshot snapshot;

        assert_int_equal(sampler_new(tree->root, &sampler), 0);
        tree_write(tree, "proc/pressure/memory",
                   "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\nfull avg10=0.00 avg60=0.00 avg300=0.00 "
                   "total=4\n");
        tree_write(tree, "proc/pressure/io", "some avg10=0.00 avg60=0.00 avg300=0.00 total=3\n");
        tree_write(tree, "proc/vmstat", "oom_kill 2\nballoon_inflate 512\nballoon_deflate 256\n");
        sampler_read(sampler, ALL, &snapshot);
        assert_int_equal(snapshot.has, ALL);
        assert_int_equal(snapshot.psi_some_usec, 5);
        assert_int_equal(snapshot.psi_full_usec, 4);
        assert_int_equal(snapshot.psi_io_some_usec, 3);
        assert_int_equal(snapshot.oom_kill, 2);
        assert_int_equal(snapshot.balloon_bytes, MIB);
}

static void test_without_psi(void **state) {
        _cleanup_(sampler_freep) Sampler *sampler = NULL;
        _cleanup_(tree_freep) Tree *tree = tree_new("arm64-64k-no-psi");
        Snapshot snapshot;

        assert_int_equal(sampler_new(tree->root, &sampler), 0);
        sampler_read(sampler, ALL, &snapshot);
        assert_int_equal(snapshot.has, SNAPSHOT_HAS_VMSTAT | SNAPSHOT_HAS_ZONES); /* no MemAvailable either */
        assert_int_equal(missing_error(sampler, FACILITY_PSI), ENOENT);
        assert_int_equal(missing_error(sampler, FACILITY_MEMINFO), EBADMSG);
        assert_int_equal(missing_error(sampler, FACILITY_BALLOON), ENODEV);
        assert_int_equal(sampler_capabilities(sampler), 0);
}

static void test_empty_machine(void **state) {
        _cleanup_(sampler_freep) Sampler *sampler = NULL;
        _cleanup_(tree_freep) Tree *tree = tree_new(NULL);
        Snapshot snapshot;

        assert_int_equal(sampler_new(tree->root, &sampler), 0);
        sampler_read(sampler, ALL, &snapshot);
        assert_int_equal(snapshot.has, 0);
        assert_int_equal(sampler_capabilities(sampler), 0);
}

/* What fails later costs its own signal, keeps its last values, is named once, and is used again when it is back. */
static void test_failing_source(void **state) {
        _cleanup_(sampler_freep) Sampler *sampler = NULL;
        _cleanup_(tree_freep) Tree *tree = tree_new("debian12-6.1");
        _cleanup_free_ char *text = fixture_read("debian12-6.1", "proc/meminfo", NULL);
        Snapshot snapshot;

        assert_int_equal(sampler_new(tree->root, &sampler), 0);
        for (unsigned i = 0; i < 3; i++) {
                tree_write(tree, "proc/meminfo", i == 1 ? "garbage\n" : "");
                sampler_read(sampler, ALL, &snapshot);
                assert_int_equal(snapshot.has, ALL & ~SNAPSHOT_HAS_MEMINFO);
                assert_int_equal(snapshot.total_bytes, 676124 * KIB);
        }
        assert_int_equal(missing_error(sampler, FACILITY_MEMINFO), ENODATA);

        tree_write(tree, "proc/meminfo", text);
        sampler_read(sampler, ALL, &snapshot);
        assert_int_equal(snapshot.has, ALL);
}

/* Memory that is plugged adds lines. A file that outgrows its room is refused, not read in part. */
static void test_growing_source(void **state) {
        static const char line[] = "oom_kill 9\n";
        _cleanup_(sampler_freep) Sampler *sampler = NULL;
        _cleanup_(tree_freep) Tree *tree = tree_new("debian12-6.1");
        _cleanup_free_ char *text = calloc(1, 1024 * 1024);
        Snapshot snapshot;
        size_t n;

        free(fixture_read("debian12-6.1", "proc/vmstat", &n));
        assert_int_equal(sampler_new(tree->root, &sampler), 0);
        assert_non_null(text);
        memset(text, '\n', 3 * n);
        memcpy(text + 3 * n - (sizeof(line) - 1), line, sizeof(line) - 1);
        tree_write(tree, "proc/vmstat", text);
        sampler_read(sampler, ALL, &snapshot);
        assert_int_equal(snapshot.has, ALL);
        assert_int_equal(snapshot.oom_kill, 9);

        memset(text, '\n', 1024 * 1024 - 1);
        memcpy(text, line, sizeof(line) - 1);
        tree_write(tree, "proc/vmstat", text);
        sampler_read(sampler, ALL, &snapshot);
        assert_int_equal(snapshot.has, ALL & ~SNAPSHOT_HAS_VMSTAT);
        assert_int_equal(missing_error(sampler, FACILITY_VMSTAT), EFBIG);
}

static void test_zram(void **state) {
        _cleanup_(sampler_freep) Sampler *sampler = NULL;
        _cleanup_(tree_freep) Tree *tree = tree_new(NULL);
        Snapshot snapshot;

        tree_write(tree, "proc/meminfo",
                   "MemTotal: 9 kB\nMemFree: 1 kB\nMemAvailable: 1 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n");
        tree_write(tree, "sys/block/zram0/mm_stat", " 100 50  4096 0 8192 0 0 0 0\n");
        tree_write(tree, "sys/block/zram1/mm_stat", "100 50 1000000 0 8192 0 0 0 0\n"); /* carries no swap */
        tree_write(tree, "sys/block/zram12/mm_stat", "100 50 12288 0 8192 0 0 0 0\n");
        assert_int_equal(sampler_new(tree->root, &sampler), 0);
        sampler_read(sampler, SNAPSHOT_HAS_MEMINFO, &snapshot);
        assert_int_equal(snapshot.zram_used_bytes, 0);

        /* swapon */
        tree_write(
                tree, "proc/swaps",
                "Filename\tType\t\tSize\tUsed\tPriority\n/dev/zram0                              "
                "partition\t131068\t0\t-2\n"
                "/dev/zram12\tpartition\t1\t0\t-3\n/dev/vda2\tpartition\t1\t0\t-3\n/dev/zram\tpartition\n");
        tree_write(
                tree, "proc/meminfo",
                "MemTotal: 9 kB\nMemFree: 1 kB\nMemAvailable: 1 kB\nSwapTotal: 131068 kB\nSwapFree: 0 kB\n");
        sampler_read(sampler, SNAPSHOT_HAS_MEMINFO, &snapshot);
        assert_int_equal(snapshot.zram_used_bytes, 16384);
        assert_int_equal(sampler_capabilities(sampler), CAPABILITY_SWAP);

        /* swapoff */
        tree_write(tree, "proc/swaps", "Filename\n");
        tree_write(tree, "proc/meminfo", "MemTotal: 9 kB\nMemFree: 1 kB\nMemAvailable: 1 kB\n");
        sampler_read(sampler, SNAPSHOT_HAS_MEMINFO, &snapshot);
        assert_int_equal(snapshot.zram_used_bytes, 0);
}

static void test_mm_stat(void **state) {
        static const struct {
                const char *text;
                int r;
                uint64_t bytes;
        } cases[] = {
                {"1 2 3 4 5\n", 0, 3}, {"   1    2   3", 0, 3}, {"1 2 3", 0, 3},    {"", -EINVAL},
                {"1 2", -EINVAL},      {"1 2 \n", -EINVAL},     {"1 2 x", -EINVAL}, {"1 2 -3 4", -EINVAL},
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint64_t bytes = 77;

                assert_int_equal(zram_parse_mm_stat(cases[i].text, strlen(cases[i].text), &bytes),
                                 cases[i].r);
                assert_int_equal(bytes, cases[i].r < 0 ? 77 : cases[i].bytes);
        }
}

static void test_allocates_nothing(void **state) {
        _cleanup_(sampler_freep) Sampler *sampler = NULL;
        _cleanup_(rootdir_freep) RootDir *root = NULL;
        Snapshot snapshot;
        unsigned before;

        assert_int_equal(rootdir_new("/", &root), 0);
        before = n_allocations;
        assert_int_equal(sampler_new(root, &sampler), 0);
        assert_true(n_allocations > before); /* the counter counts */

        before = n_allocations;
        for (unsigned i = 0; i < 100; i++)
                sampler_read(sampler, ALL, &snapshot);
        assert_int_equal(n_allocations, before);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_debian),
                cmocka_unit_test(test_held),
                cmocka_unit_test(test_what),
                cmocka_unit_test(test_follows_changes),
                cmocka_unit_test(test_without_psi),
                cmocka_unit_test(test_empty_machine),
                cmocka_unit_test(test_failing_source),
                cmocka_unit_test(test_growing_source),
                cmocka_unit_test(test_zram),
                cmocka_unit_test(test_mm_stat),
                cmocka_unit_test(test_allocates_nothing),
        };

        log_setup(LOG_TARGET_STDERR, LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
