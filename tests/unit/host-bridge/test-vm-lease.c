/* SPDX-License-Identifier: Apache-2.0 */

/* Who resizes a VM, as time goes on: this bridge, over a real session, and another one that holds leases in the same folder. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"
#include "host-bridge/lease.h"
#include "vm-fixture.h"

typedef struct Hosts {
        Fixture *f;
        Leases *mine, *others;
        Lease lease; /* the other one's */
} Hosts;

static int hosts_setup(void **state) {
        Hosts *hosts = calloc(1, sizeof(*hosts));
        char folder[128];

        assert_non_null(hosts);
        assert_int_equal(setup((void **) &hosts->f), 0);
        (void) snprintf(folder, sizeof(folder), "%s/lease", hosts->f->world.folder);
        assert_int_equal(leases_new(folder, &hosts->mine), 0);
        assert_int_equal(leases_new(folder, &hosts->others), 0);
        hosts->f->env.leases = hosts->mine;
        *state = hosts;
        return 0;
}

static int hosts_teardown(void **state) {
        Hosts *hosts = *state;

        hosts->f->vm = vm_free(hosts->f->vm);
        (void) leases_free(hosts->mine);
        (void) leases_free(hosts->others);
        (void) teardown((void **) &hosts->f);
        free(hosts);
        return 0;
}

static int other_takes(Hosts *hosts) {
        char holder[LEASE_HOLDER_MAX];

        return lease_take(hosts->others, &hosts->lease, hosts->f->agent.peer.path, "the other one\n", holder);
}

static unsigned grown(Hosts *hosts) {
        send_alarm(hosts->f, 128 * MIB);
        return hosts->f->hypervisor.n_commands;
}

static void test_taken_and_kept(void **state) {
        Hosts *hosts = *state;

        start(hosts->f, &adopted);
        for (unsigned i = 1; i <= 3; i++) {
                vm_tick(hosts->f->vm, world_now() + i * 11 * USEC_PER_SEC);
                assert_int_equal(other_takes(hosts), -EBUSY);
        }
        assert_int_equal(grown(hosts), 1);
}

static void test_another_one_lets_go(void **state) {
        Hosts *hosts = *state;
        Fixture *f = hosts->f;

        assert_int_equal(other_takes(hosts), 0);
        start(f, &adopted);
        assert_int_equal(grown(hosts), 0);
        vm_tick(f->vm, world_now() + 2 * USEC_PER_SEC);
        assert_int_equal(grown(hosts), 0);
        lease_drop(hosts->others, &hosts->lease);
        vm_tick(f->vm, world_now() + 4 * USEC_PER_SEC);
        assert_int_equal(other_takes(hosts), -EBUSY);
        send(f, report_of(f, usable(f) / 2, 0, URGENCY_NONE)); /* what was said before does not count */
        assert_int_equal(grown(hosts), 1);
}

/* A new socket at the same path is another VM's. That of an open channel stays what it was. */
static void replace_socket(Hosts *hosts) {
        const char *path = hosts->f->agent.peer.path;
        FILE *file;

        assert_int_equal(unlink(path), 0);
        file = fopen(path, "we");
        assert_non_null(file);
        (void) fclose(file);
}

static void test_an_open_channel_is_not_looked_at(void **state) {
        Hosts *hosts = *state;

        start(hosts->f, &adopted);
        replace_socket(hosts);
        vm_tick(hosts->f->vm, world_now() + 11 * USEC_PER_SEC);
        assert_int_equal(other_takes(hosts), 0); /* the new one is free */
        assert_int_equal(grown(hosts), 1);
}

static void test_a_closed_channel_is(void **state) {
        Hosts *hosts = *state;

        start(hosts->f, &adopted);
        peer_hang_up(&hosts->f->agent.peer);
        replace_socket(hosts);
        world_idle(&hosts->f->world, 20);
        vm_tick(hosts->f->vm, world_now() + 11 * USEC_PER_SEC);
        assert_int_equal(other_takes(hosts), -EBUSY);
}

#define lease_test(f) cmocka_unit_test_setup_teardown(f, hosts_setup, hosts_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                lease_test(test_taken_and_kept),
                lease_test(test_another_one_lets_go),
                lease_test(test_an_open_channel_is_not_looked_at),
                lease_test(test_a_closed_channel_is),
        };

        log_setup(LOG_TARGET_STDERR, LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
