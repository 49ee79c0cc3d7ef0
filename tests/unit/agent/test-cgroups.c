/* SPDX-License-Identifier: Apache-2.0 */

/* Walks over trees of cgroups that grow, vanish, nest and overflow; and that a walk allocates nothing. */

#include "agent/signals/cgroups.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <inttypes.h>
#include <string.h>

#include "agent/signals/sampler.h"
#include "common/log.h"
#include "tree.h"

static unsigned n_allocations;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_malloc(size_t size) {
        n_allocations++;
        return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size) {
        n_allocations++;
        return __real_calloc(n, size);
}

static void write_file(Tree *tree, const char *cgroup, const char *file, const char *text) {
        char path[512];

        assert_true(snprintf(path, sizeof(path), "sys/fs/cgroup/%s/%s", cgroup, file) < (int) sizeof(path));
        tree_write(tree, path, text);
}

/* limit and current in MiB; the counters grow in step with one number. */
static void cgroup_write(Tree *tree, const char *cgroup, unsigned limit, unsigned current, unsigned n) {
        char text[512];

        (void) snprintf(text, sizeof(text), "%" PRIu64 "\n", limit * MIB);
        write_file(tree, cgroup, "memory.max", limit > 0 ? text : "max\n");
        write_file(tree, cgroup, "memory.high", "max\n");
        (void) snprintf(text, sizeof(text), "%" PRIu64 "\n", current * MIB);
        write_file(tree, cgroup, "memory.current", text);
        (void) snprintf(text, sizeof(text),
                        "anon 4096\nfile 8192\nworkingset_refault_anon %u\nworkingset_refault_file %u\n"
                        "workingset_activate_anon %u\nworkingset_activate_file %u\nthp_fault_alloc 0\n",
                        n, 10 * n, 100 * n, 1000 * n);
        write_file(tree, cgroup, "memory.stat", text);
}

static Tree *tree_new_cgroups(Cgroups *cgroups) {
        Tree *tree = tree_new(NULL);

        tree_write(tree, "sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory hugetlb pids\n");
        assert_int_equal(cgroups_open(cgroups, tree->root, 4096), 0);
        return tree;
}

#define REFAULT(n) ((uint64_t) 11 * (n)) /* anon and file */

static void test_not_there(void **state) {
        static const struct {
                const char *controllers;
                int r;
        } table[] = {{NULL, -ENOENT}, {"", -EOPNOTSUPP}, {"cpu pids\n", -EOPNOTSUPP}, {"memory\n", 0}};

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_(tree_freep) Tree *tree = tree_new(NULL);
                Snapshot snapshot = {};
                Cgroups cgroups;

                if (table[i].controllers)
                        tree_write(tree, "sys/fs/cgroup/cgroup.controllers", table[i].controllers);
                assert_int_equal(cgroups_open(&cgroups, tree->root, 4096), table[i].r);
                assert_int_equal(cgroups_walk(&cgroups, &snapshot), table[i].r < 0 ? -EBADF : 0);
                cgroups_done(&cgroups);
        }
}

/* What counts is what was gained while it stood at its limit, at either end. */
static void test_limits(void **state) {
        static const struct {
                const char *name;
                unsigned limit, current[2];
                bool counts, contained;
        } table[] = {
                {"no limit", 0, {100, 100}, false, false},
                {"far from it", 100, {50, 50}, false, false},
                {"at it", 100, {99, 99}, true, true},
                {"comes there", 100, {50, 96}, true, true},
                {"is held below it", 100, {96, 86}, true, true},
                {"leaves", 100, {96, 80}, true, false},
                {"fills at once", 100, {49, 96}, false, true},
                {"nearly there", 100, {90, 94}, false, false},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                Cgroups cgroups;
                _cleanup_(tree_freep) Tree *tree = tree_new_cgroups(&cgroups);
                Snapshot s = {};

                cgroup_write(tree, "a", table[i].limit, table[i].current[0], 1000);
                assert_int_equal(cgroups_walk(&cgroups, &s), 0);
                assert_int_equal(s.contained_refault, 0);
                cgroup_write(tree, "a", table[i].limit, table[i].current[1], 1005);
                assert_int_equal(cgroups_walk(&cgroups, &s), 0);
                if (s.contained_refault != (table[i].counts ? REFAULT(5) : 0) ||
                    s.n_contained != table[i].contained || s.n_limited != (table[i].limit > 0))
                        fail_msg("%s: %" PRIu64 ", %u of %u", table[i].name, s.contained_refault,
                                 s.n_contained, s.n_limited);
                if (table[i].counts) {
                        assert_int_equal(s.contained_activate, 1100 * 5);
                        assert_int_equal(s.contained_pswpin, 5);
                }
                assert_false(s.contained_lost);
                cgroups_done(&cgroups);
        }
}

/* What a stream outside takes from a cgroup that thrashed at its limit does not make it one that more memory helps. */
static void test_thrashed(void **state) {
        static const struct {
                const char *name;
                unsigned n, limit, current; /* of the counters, at its limit; then */
                uint64_t after_usec;
                bool contained;
        } table[] = {
                {"thrashed", 100, 100, 40, USEC_PER_SEC, true},
                {"did not", 10, 100, 40, USEC_PER_SEC, false},
                {"long ago", 100, 100, 40, 601 * USEC_PER_SEC, false},
                {"has more now", 100, 101, 40, USEC_PER_SEC, false},
                {"has less now", 100, 90, 40, USEC_PER_SEC, true},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                Cgroups cgroups;
                _cleanup_(tree_freep) Tree *tree = tree_new_cgroups(&cgroups);
                Snapshot s = {.now_usec = USEC_PER_SEC};

                cgroup_write(tree, "a", 100, 99, 1000);
                assert_int_equal(cgroups_walk(&cgroups, &s), 0);
                s.now_usec += USEC_PER_SEC;
                cgroup_write(tree, "a", 100, 90, 1000 + table[i].n);
                assert_int_equal(cgroups_walk(&cgroups, &s), 0);
                s.now_usec += table[i].after_usec;
                cgroup_write(tree, "a", table[i].limit, table[i].current, 1000 + table[i].n);
                assert_int_equal(cgroups_walk(&cgroups, &s), 0);
                if (s.n_contained != table[i].contained)
                        fail_msg("%s: %u", table[i].name, s.n_contained);
                cgroups_done(&cgroups);
        }
}

static void test_high(void **state) {
        Cgroups cgroups;
        _cleanup_(tree_freep) Tree *tree = tree_new_cgroups(&cgroups);
        Snapshot s = {};

        cgroup_write(tree, "a", 1000, 100, 0);
        write_file(tree, "a", "memory.high", "104857600\n");
        assert_int_equal(cgroups_walk(&cgroups, &s), 0);
        assert_int_equal(s.n_contained, 1);
        cgroups_done(&cgroups);
}

/* A kernel that counts swap-out of a cgroup, and one where it follows from what is there. */
static void test_swap(void **state) {
        Cgroups cgroups;
        _cleanup_(tree_freep) Tree *tree = tree_new_cgroups(&cgroups);
        Snapshot s = {};

        cgroup_write(tree, "old", 100, 100, 1000);
        write_file(tree, "old", "memory.swap.current", "40960\n");
        assert_int_equal(cgroups_walk(&cgroups, &s), 0);
        cgroup_write(tree, "old", 100, 100, 1007);
        write_file(tree, "old", "memory.swap.current", "81920\n");
        assert_int_equal(cgroups_walk(&cgroups, &s), 0);
        assert_int_equal(s.contained_pswpin, 7);
        assert_int_equal(s.contained_pswpout, 17);

        s = (Snapshot){};
        tree_remove(tree, "sys/fs/cgroup/old");
        cgroup_write(tree, "new", 100, 100, 0);
        write_file(tree, "new", "memory.stat", "pswpin 3\npswpout 4\nworkingset_refault_anon 2\n");
        assert_int_equal(cgroups_walk(&cgroups, &s), 0);
        write_file(tree, "new", "memory.stat", "pswpin 30\npswpout 44\nworkingset_refault_anon 29\n");
        s = (Snapshot){};
        assert_int_equal(cgroups_walk(&cgroups, &s), 0);
        assert_int_equal(s.contained_pswpin, 27);
        assert_int_equal(s.contained_pswpout, 40);
        cgroups_done(&cgroups);
}

/* The upper one counts for all below it; below one that does not stand at its limit each counts for itself. */
static void test_nested(void **state) {
        Cgroups cgroups;
        _cleanup_(tree_freep) Tree *tree = tree_new_cgroups(&cgroups);
        Snapshot s = {};

        for (unsigned round = 0; round < 2; round++) {
                s = (Snapshot){};
                cgroup_write(tree, "pods", 0, 500, 10000 + 30 * round);
                cgroup_write(tree, "pods/full", 100, 100, 3000 + 7 * round);
                cgroup_write(tree, "pods/full/one", 50, 50, 1000 + 3 * round);
                cgroup_write(tree, "pods/full/two", 50, 50, 1000 + 4 * round);
                cgroup_write(tree, "pods/roomy", 200, 100, 3000 + 5 * round);
                cgroup_write(tree, "pods/roomy/one", 50, 50, 1000 + 2 * round);
                cgroup_write(tree, "pods/roomy/a/b/c", 50, 50, 1000 + 1 * round); /* five deep */
                cgroup_write(tree, "pods/roomy/a/b/c/d", 50, 50, 1000 + 1 * round);
                assert_int_equal(cgroups_walk(&cgroups, &s), 0);
        }
        assert_int_equal(s.contained_refault, REFAULT(7 + 2 + 1));
        assert_int_equal(s.n_contained, 3);
        assert_int_equal(s.n_limited, 4);
        cgroups_done(&cgroups);
}

/* Born since the last walk, all that it counted is new; there before without a limit, nothing of it is. */
static void test_born(void **state) {
        Cgroups cgroups;
        _cleanup_(tree_freep) Tree *tree = tree_new_cgroups(&cgroups);
        Snapshot s = {};

        cgroup_write(tree, "old", 0, 100, 1000);
        assert_int_equal(cgroups_walk(&cgroups, &s), 0);
        cgroup_write(tree, "old", 100, 100, 1005);
        cgroup_write(tree, "born", 100, 100, 3);
        assert_int_equal(cgroups_walk(&cgroups, &s), 0);
        assert_int_equal(s.contained_refault, REFAULT(3));
        assert_int_equal(s.n_contained, 2);
        cgroups_done(&cgroups);
}

static void test_gone(void **state) {
        Cgroups cgroups;
        _cleanup_(tree_freep) Tree *tree = tree_new_cgroups(&cgroups);
        Snapshot s = {};

        cgroup_write(tree, "idle", 100, 10, 1000);
        cgroup_write(tree, "busy", 100, 100, 1000);
        assert_int_equal(cgroups_walk(&cgroups, &s), 0);
        tree_remove(tree, "sys/fs/cgroup/idle");
        assert_int_equal(cgroups_walk(&cgroups, &s), 0);
        assert_false(s.contained_lost);
        tree_remove(tree, "sys/fs/cgroup/busy");
        assert_int_equal(cgroups_walk(&cgroups, &s), 0);
        assert_true(s.contained_lost);
        assert_int_equal(s.n_contained, 0);
        assert_int_equal(cgroups_walk(&cgroups, &s), 0);
        assert_false(s.contained_lost);
        cgroups_done(&cgroups);
}

/* Files that are missing, empty or of another kind cost that cgroup alone. */
static void test_malformed(void **state) {
        static const char *const files[] = {"memory.max", "memory.current", "memory.stat"};
        static const char *const texts[] = {"", "\n", "-1\n", "maximum\n", "99999999999999999999999\n", NULL};

        for (size_t i = 0; i < ELEMENTSOF(files); i++)
                for (size_t k = 0; k < ELEMENTSOF(texts); k++) {
                        Cgroups cgroups;
                        _cleanup_(tree_freep) Tree *tree = tree_new_cgroups(&cgroups);
                        char path[128];
                        Snapshot s = {};

                        cgroup_write(tree, "good", 100, 100, 0);
                        cgroup_write(tree, "bad", 100, 100, 0);
                        assert_int_equal(cgroups_walk(&cgroups, &s), 0);
                        assert_int_equal(s.n_contained, 2);
                        (void) snprintf(path, sizeof(path), "sys/fs/cgroup/bad/%s", files[i]);
                        if (texts[k])
                                tree_write(tree, path, texts[k]);
                        else
                                tree_remove(tree, path);
                        cgroup_write(tree, "good", 100, 100, 2);
                        assert_int_equal(cgroups_walk(&cgroups, &s), 0);
                        assert_int_equal(s.n_contained, 1);
                        assert_int_equal(s.contained_refault, REFAULT(2));
                        cgroups_done(&cgroups);
                }
}

static unsigned count_fds(void) {
        DIR *dir = opendir("/proc/self/fd");
        unsigned n = 0;

        assert_non_null(dir);
        while (readdir(dir))
                n++;
        (void) closedir(dir);
        return n;
}

/* As many as there is room for, and nothing left open. */
static void test_too_many(void **state) {
        Cgroups cgroups;
        _cleanup_(tree_freep) Tree *tree = tree_new_cgroups(&cgroups);
        Snapshot s = {};
        unsigned before;

        for (unsigned i = 0; i < 60; i++)
                for (unsigned k = 0; k < 5; k++) {
                        char name[64];

                        (void) snprintf(name, sizeof(name), "slice-%u/%u", i, k);
                        cgroup_write(tree, name, 100, 100, i);
                }
        before = count_fds();
        for (unsigned i = 0; i < 3; i++) {
                assert_int_equal(cgroups_walk(&cgroups, &s), 0);
                assert_in_range(s.n_contained, 200, CGROUPS_MAX);
                assert_int_equal(s.contained_refault, 0);
                assert_false(s.contained_lost);
        }
        assert_int_equal(count_fds(), before);
        cgroups_done(&cgroups);
}

static void test_sampler(void **state) {
        _cleanup_(sampler_freep) Sampler *sampler = NULL;
        _cleanup_(tree_freep) Tree *tree = tree_new("debian12-6.1");
        const unsigned what = SNAPSHOT_HAS_VMSTAT | SNAPSHOT_HAS_CGROUPS | SNAPSHOT_HAS_ZONES;
        const MissingFacility *missing;
        Snapshot s;
        unsigned before;

        tree_write(tree, "sys/fs/cgroup/cgroup.controllers", "memory\n");
        tree_write(tree, "sys/kernel/mm/lru_gen/enabled", "0x0007\n");
        cgroup_write(tree, "system.slice/a.service", 100, 100, 1000);
        assert_int_equal(sampler_new(tree->root, &sampler), 0);
        before = n_allocations;
        sampler_read(sampler, what, &s);
        assert_int_equal(n_allocations, before);
        assert_int_equal(s.has, what);
        assert_int_equal(s.n_contained, 1);
        assert_true(s.lru_gen);
        tree_write(tree, "sys/kernel/mm/lru_gen/enabled", "0x0000\n");
        sampler_read(sampler, SNAPSHOT_HAS_ZONES, &s);
        assert_int_equal(s.has, SNAPSHOT_HAS_ZONES);
        assert_false(s.lru_gen);
        for (size_t n = sampler_missing(sampler, &missing); n-- > 0;)
                assert_true(missing[n].facility != FACILITY_CGROUPS);
}

static void test_sampler_without(void **state) {
        _cleanup_(sampler_freep) Sampler *sampler = NULL;
        _cleanup_(tree_freep) Tree *tree = tree_new("debian12-6.1");
        const MissingFacility *missing;
        unsigned n_named = 0;
        Snapshot s;

        tree_write(tree, "sys/fs/cgroup/memory/memory.stat", "cache 0\n"); /* version 1 */
        assert_int_equal(sampler_new(tree->root, &sampler), 0);
        sampler_read(sampler, SNAPSHOT_HAS_CGROUPS, &s);
        assert_int_equal(s.has, 0);
        for (size_t n = sampler_missing(sampler, &missing); n-- > 0;)
                if (missing[n].facility == FACILITY_CGROUPS) {
                        assert_int_equal(missing[n].error, ENOENT);
                        n_named++;
                }
        assert_int_equal(n_named, 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_not_there), cmocka_unit_test(test_limits),
                cmocka_unit_test(test_thrashed),  cmocka_unit_test(test_high),
                cmocka_unit_test(test_swap),      cmocka_unit_test(test_nested),
                cmocka_unit_test(test_born),      cmocka_unit_test(test_gone),
                cmocka_unit_test(test_malformed), cmocka_unit_test(test_too_many),
                cmocka_unit_test(test_sampler),   cmocka_unit_test(test_sampler_without),
        };

        log_setup(LOG_TARGET_STDERR, LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
