/* SPDX-License-Identifier: Apache-2.0 */

/* Which cgroups are heavy, what they gained since the mark, and that a look allocates nothing. */

#include "agent/signals/heaviest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <string.h>

#include "common/units.h"
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

static void cgroup_write(Tree *tree, const char *name, uint64_t bytes, unsigned stall_usec) {
        char path[512], text[256];

        (void) snprintf(path, sizeof(path), "sys/fs/cgroup/%s/memory.current", name);
        (void) snprintf(text, sizeof(text), "%" PRIu64 "\n", bytes);
        tree_write(tree, path, text);
        (void) snprintf(path, sizeof(path), "sys/fs/cgroup/%s/memory.pressure", name);
        (void) snprintf(text, sizeof(text), "some avg10=0.00 avg60=0.00 avg300=0.00 total=%u\n", stall_usec);
        tree_write(tree, path, text);
}

static Tree *tree_new_cgroups(Heaviest **ret) {
        Tree *tree = tree_new(NULL);

        tree_write(tree, "sys/fs/cgroup/cgroup.controllers", "memory\n");
        assert_int_equal(heaviest_new(tree->root, ret), 0);
        return tree;
}

static void test_not_there(void **state) {
        _cleanup_(tree_freep) Tree *tree = tree_new(NULL);
        Heaviest *heaviest = NULL;

        assert_int_equal(heaviest_new(tree->root, &heaviest), -ENOENT);
        assert_null(heaviest);
}

static void test_gains(void **state) {
        _cleanup_(heaviest_freep) Heaviest *heaviest = NULL;
        _cleanup_(tree_freep) Tree *tree = tree_new_cgroups(&heaviest);
        HeavyCgroup heavy[HEAVIEST_MAX];
        uint64_t span_usec;
        unsigned before;

        cgroup_write(tree, "system.slice", 300 * MIB, 1000);
        cgroup_write(tree, "user.slice", 200 * MIB, 0);
        tree_write(tree, "sys/fs/cgroup/bare/cgroup.procs", "");
        heaviest_mark(heaviest, 5 * USEC_PER_SEC);
        cgroup_write(tree, "system.slice", 250 * MIB, 1000);
        cgroup_write(tree, "user.slice", 600 * MIB, 7000);

        before = n_allocations;
        assert_int_equal(heaviest_look(heaviest, 8 * USEC_PER_SEC, heavy, &span_usec), 2);
        heaviest_mark(heaviest, 9 * USEC_PER_SEC);
        assert_int_equal(n_allocations, before);
        assert_int_equal(span_usec, 3 * USEC_PER_SEC);
        assert_string_equal(heavy[0].name, "user.slice");
        assert_int_equal(heavy[0].current_bytes, 600 * MIB);
        assert_int_equal(heavy[0].gained_bytes, 400 * MIB);
        assert_int_equal(heavy[0].stalled_usec, 7000);
        assert_string_equal(heavy[1].name, "system.slice");
        assert_true(heavy[1].gained_bytes == -(int64_t) (50 * MIB));
        assert_int_equal(heavy[1].stalled_usec, 0);

        assert_int_equal(heaviest_look(heaviest, 9 * USEC_PER_SEC, heavy, &span_usec), 2);
        assert_int_equal(heavy[0].gained_bytes, 0);
}

/* More than there are places: the heaviest of the candidates, sorted. Long names are cut. */
static void test_many(void **state) {
        static const char name[] =
                "a-slice-with-a-name-of-more-than-sixty-four-bytes-which-nobody-would-type";
        _cleanup_(heaviest_freep) Heaviest *heaviest = NULL;
        _cleanup_(tree_freep) Tree *tree = tree_new_cgroups(&heaviest);
        HeavyCgroup heavy[HEAVIEST_MAX];
        uint64_t span_usec;

        for (unsigned i = 0; i < HEAVIEST_CANDIDATES_MAX - 1; i++) {
                char short_name[32];

                (void) snprintf(short_name, sizeof(short_name), "%u", i);
                cgroup_write(tree, short_name, (i * 7 % 15 + 1) * MIB, 0);
        }
        cgroup_write(tree, name, 100 * MIB, 0);
        heaviest_mark(heaviest, 1);
        assert_int_equal(heaviest_look(heaviest, 2, heavy, &span_usec), HEAVIEST_MAX);
        assert_int_equal(strlen(heavy[0].name), HEAVIEST_NAME_SIZE - 1);
        assert_memory_equal(heavy[0].name, name, HEAVIEST_NAME_SIZE - 1);
        for (unsigned i = 1; i < HEAVIEST_MAX; i++)
                assert_int_equal(heavy[i].current_bytes, (16 - i) * MIB);
}

static void test_vanished(void **state) {
        _cleanup_(heaviest_freep) Heaviest *heaviest = NULL;
        _cleanup_(tree_freep) Tree *tree = tree_new_cgroups(&heaviest);
        HeavyCgroup heavy[HEAVIEST_MAX];
        uint64_t span_usec;

        cgroup_write(tree, "goes", 100 * MIB, 0);
        cgroup_write(tree, "stays", 50 * MIB, 0);
        heaviest_mark(heaviest, 1);
        tree_write(tree, "sys/fs/cgroup/goes/memory.current", ""); /* as a removed one reads */
        assert_int_equal(heaviest_look(heaviest, 2, heavy, &span_usec), 1);
        assert_string_equal(heavy[0].name, "stays");
        tree_remove(tree, "sys/fs/cgroup/goes");
        heaviest_mark(heaviest, 3);
        assert_int_equal(heaviest_look(heaviest, 4, heavy, &span_usec), 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_not_there),
                cmocka_unit_test(test_gains),
                cmocka_unit_test(test_many),
                cmocka_unit_test(test_vanished),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
