/* SPDX-License-Identifier: Apache-2.0 */

/* Two bridges, as one process can have them: each its own file description of the locks. */

#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/macro.h"
#include "host-bridge/lease.h"

typedef struct Fixture {
        World world;
        char sockets[4][128];
        Leases *first, *second;
        char holder[LEASE_HOLDER_MAX];
} Fixture;

static void make_socket(const char *path) {
        (void) unlink(path);
        assert_int_equal(close(open(path, O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC, 0600)), 0);
}

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));
        char folder[128];

        world_init(&f->world);
        for (size_t i = 0; i < ELEMENTSOF(f->sockets); i++) {
                (void) snprintf(f->sockets[i], sizeof(f->sockets[i]), "%s/vm%zu", f->world.folder, i);
                make_socket(f->sockets[i]);
        }
        (void) snprintf(folder, sizeof(folder), "%s/lease", f->world.folder);
        assert_int_equal(leases_new(folder, &f->first), 0);
        assert_int_equal(leases_new(folder, &f->second), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        (void) leases_free(f->first);
        (void) leases_free(f->second);
        world_done(&f->world);
        free(f);
        return 0;
}

static int take(Fixture *f, Leases *leases, Lease *lease, unsigned vm) {
        return lease_take(leases, lease, f->sockets[vm], leases == f->first ? "one\n" : "two\n", f->holder);
}

static void test_one_has_it(void **state) {
        Fixture *f = *state;
        Lease mine = {}, yours = {};

        assert_int_equal(take(f, f->first, &mine, 0), 0);
        assert_int_equal(take(f, f->first, &mine, 0), 0);
        assert_int_equal(take(f, f->second, &yours, 0), -EBUSY);
        assert_string_equal(f->holder, "one");
        assert_true(mine.held && !yours.held);
        lease_drop(f->second, &yours); /* what it does not have */
        assert_int_equal(take(f, f->second, &yours, 0), -EBUSY);
        lease_drop(f->first, &mine);
        assert_int_equal(take(f, f->second, &yours, 0), 0);
        assert_int_equal(take(f, f->first, &mine, 0), -EBUSY);
        assert_string_equal(f->holder, "two");
}

/* Locks on neighbouring bytes are one lock to the kernel: to let go of one leaves the others. */
static void test_many(void **state) {
        Fixture *f = *state;
        Lease mine[ELEMENTSOF(f->sockets)] = {}, yours = {};

        for (unsigned i = 0; i < ELEMENTSOF(mine); i++)
                assert_int_equal(take(f, f->first, &mine[i], i), 0);
        lease_drop(f->first, &mine[1]);
        for (unsigned i = 0; i < ELEMENTSOF(mine); i++) {
                assert_int_equal(take(f, f->second, &yours, i), i == 1 ? 0 : -EBUSY);
                lease_drop(f->second, &yours);
        }
}

static void test_another_vm_at_the_same_path(void **state) {
        Fixture *f = *state;
        Lease mine = {}, yours = {};
        char aside[256];

        assert_int_equal(take(f, f->first, &mine, 0), 0);
        (void) snprintf(aside, sizeof(aside), "%s.aside", f->sockets[0]);
        assert_int_equal(rename(f->sockets[0], aside), 0);
        assert_int_equal(take(f, f->first, &mine, 0), -ENOTSOCK);
        assert_true(mine.held);
        make_socket(f->sockets[0]);
        assert_int_equal(take(f, f->first, &mine, 0), 0);
        assert_int_equal(lease_take(f->second, &yours, aside, "two\n", f->holder),
                         0); /* the old one is let go */
        (void) unlink(aside);
}

static void test_who_dies_lets_go(void **state) {
        Fixture *f = *state;
        Lease mine = {}, yours = {};

        assert_int_equal(take(f, f->first, &mine, 0), 0);
        (void) leases_free(f->first); /* as the kernel does it: no file is removed */
        assert_int_equal(leases_new(leases_folder(f->second), &f->first), 0);
        assert_int_equal(take(f, f->second, &yours, 0), 0);
}

static void test_no_place(void **state) {
        Fixture *f = *state;
        Lease lease = {};
        Leases *leases;

        assert_int_equal(leases_new("/nonexistent/lease", &leases), 0);
        assert_int_equal(take(f, leases, &lease, 0), -ENOENT);
        assert_false(lease.held);
        lease_drop(NULL, &lease);
        (void) leases_free(leases);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_one_has_it, setup, teardown),
                cmocka_unit_test_setup_teardown(test_many, setup, teardown),
                cmocka_unit_test_setup_teardown(test_another_vm_at_the_same_path, setup, teardown),
                cmocka_unit_test_setup_teardown(test_who_dies_lets_go, setup, teardown),
                cmocka_unit_test_setup_teardown(test_no_place, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
