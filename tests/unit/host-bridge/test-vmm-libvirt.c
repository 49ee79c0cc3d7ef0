/* SPDX-License-Identifier: Apache-2.0 */

/* The hand through libvirt, and the domains that it lists: a scripted libvirtd behind the module's table. */

#include "libvirt-fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/units.h"
#include "host-bridge/vmm/vmm-libvirt.h"

static bool is_connected_again(void *userdata) {
        return ((Hand *) userdata)->n[VMM_CONNECTED] == 2;
}

static bool has_one_domain(void *userdata) {
        return ((Fixture *) userdata)->n_domains == 1;
}

static bool has_two_domains(void *userdata) {
        return ((Fixture *) userdata)->n_domains == 2;
}

static void test_domains_come_and_go(void **state) {
        Fixture *f = *state;

        assert_true(world_run(&f->world, has_one_domain, f, 5000));
        assert_string_equal(f->names[0], "vm0");

        fake_libvirtd_lock();
        fake_libvirtd_start(1);
        fake_libvirtd_start(2);
        libvirtd.domains[2].has_port = false;
        fake_libvirtd_unlock();
        fake_libvirtd_say(LIBVIRT_DOMAINS, "1");
        assert_true(world_run(&f->world, has_two_domains, f, 5000));

        fake_libvirtd_lock();
        libvirtd.there[0] = false;
        fake_libvirtd_unlock();
        fake_libvirtd_say(LIBVIRT_DOMAINS, "0");
        assert_true(world_run(&f->world, has_one_domain, f, 5000));
        assert_string_equal(f->names[0], "vm1");
}

/* One that is stopped and started has another channel, and metadata changes: it is read again. */
static void test_domain_is_read_again(void **state) {
        Fixture *f = *state;
        unsigned n;

        assert_true(world_run(&f->world, has_one_domain, f, 5000));
        fake_libvirtd_lock();
        (void) snprintf(libvirtd.domains[0].name, LIBVIRT_NAME_MAX, "renamed");
        fake_libvirtd_unlock();
        n = f->n_deliveries;
        fake_libvirtd_say(LIBVIRT_POLICY, "0");
        for (unsigned i = 0; i < 200 && f->n_deliveries == n; i++)
                world_idle(&f->world, 10);
        assert_string_equal(f->names[0], "renamed");
}

static void test_first_reading(void **state) {
        Fixture *f = *state;
        Hand *hand = libvirt_connected(f, 0);

        assert_int_equal(hand->order[hand->n_events - 3], VMM_CONNECTED);
        assert_int_equal(hand->order[hand->n_events - 2], VMM_RUNNING);
        assert_int_equal(hand->order[hand->n_events - 1], VMM_MODEL);
        assert_true(hand->model.known);
        assert_int_equal(memory_model_balloon_bytes(&hand->model), 256 * MIB);
        assert_int_equal(hand->model.free_slots, 2);
}

static void test_commands(void **state) {
        static const struct {
                PlanStep step;
                int r;
                const char *expected;
        } cases[] = {
                {{ACTUATOR_VIRTIO_MEM, 0, 0, 256 * MIB}, 0, "virtio-mem 0 vm0 268435456"},
                {{ACTUATOR_VIRTIO_MEM, 1, 0, 256 * MIB}, -ENODEV, NULL},
                {{ACTUATOR_VIRTIO_MEM, 0, 0, 2 * GIB}, -ERANGE, NULL},
                {{ACTUATOR_VIRTIO_MEM, 0, 0, MIB}, -ERANGE, NULL},
                /* What is left of boot RAM and DIMMs, not the VM's size: libvirt hands it to QEMU as it is. */
                {{ACTUATOR_BALLOON, 0, 0, 100 * MIB}, 0, "balloon 0 432013312"},
                {{ACTUATOR_BALLOON, 0, 0, 512 * MIB}, -ERANGE, NULL},
                {{ACTUATOR_NONE, 0, 0, 0}, -EOPNOTSUPP, NULL},
        };
        Fixture *f = *state;
        Hand *hand = libvirt_take(f, 0);
        char last[sizeof(libvirtd.last)];

        assert_int_equal(vmm_command(hand->vmm, 1, &cases[0].step), -ENOTCONN);
        assert_int_equal(vmm_refresh(hand->vmm), -ENOTCONN);
        assert_true(world_run(&f->world, hand_has_model, hand, 5000));
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                fake_libvirtd_lock();
                libvirtd.last[0] = '\0';
                fake_libvirtd_unlock();
                hand->n[VMM_ACCEPTED] = 0;
                assert_int_equal(vmm_command(hand->vmm, i + 1, &cases[i].step), cases[i].r);
                if (cases[i].r < 0)
                        continue;
                assert_true(world_run(&f->world, hand_is_answered, hand, 5000));
                assert_int_equal(hand->accepted_id, i + 1);
                fake_libvirtd_lock();
                memcpy(last, libvirtd.last, sizeof(last));
                fake_libvirtd_unlock();
                assert_string_equal(last, cases[i].expected);
        }
}

static void test_refused(void **state) {
        Fixture *f = *state;
        Hand *hand = libvirt_connected(f, 0);

        fake_libvirtd_lock();
        libvirtd.refuse_command = "cannot set memory\n\x1b[31m";
        fake_libvirtd_unlock();
        assert_int_equal(vmm_command(hand->vmm, 7, &(PlanStep){ACTUATOR_VIRTIO_MEM, 0, 0, 2 * MIB}), 0);
        assert_true(world_run(&f->world, hand_is_answered, hand, 5000));
        assert_int_equal(hand->rejected_id, 7);
        assert_string_equal(hand->text, "cannot set memory??[31m");
        assert_int_equal(hand->n[VMM_LOST], 0);
}

/* A reading that was under way when a command was asked for is not taken for its outcome. */
static void test_overtaken_reading(void **state) {
        Fixture *f = *state;
        Hand *hand = libvirt_connected(f, 0);

        fake_libvirtd_lock();
        libvirtd.read_delay_ms = 20;
        fake_libvirtd_unlock();
        world_idle(&f->world, 5);
        hand->n_events = 0;
        hand->n[VMM_MODEL] = 0;
        assert_int_equal(vmm_refresh(hand->vmm), 0);
        assert_int_equal(vmm_command(hand->vmm, 1, &(PlanStep){ACTUATOR_VIRTIO_MEM, 0, 0, 2 * MIB}), 0);
        assert_true(world_run(&f->world, hand_has_model, hand, 5000));
        assert_int_equal(hand->order[0], VMM_ACCEPTED);
        assert_int_equal(hand->model.virtio_mem[0].requested_bytes, 2 * MIB);
}

static void test_polls_while_unsettled(void **state) {
        Fixture *f = *state;
        Hand *hand = libvirt_connected(f, 0);
        unsigned n;

        world_idle(&f->world, 30);
        n = hand->n[VMM_MODEL];
        world_idle(&f->world, 60);
        assert_int_equal(hand->n[VMM_MODEL], n);
        assert_int_equal(vmm_command(hand->vmm, 1, &(PlanStep){ACTUATOR_VIRTIO_MEM, 0, 0, 2 * MIB}), 0);
        for (unsigned i = 0; i < 300 && hand->n[VMM_MODEL] < n + 4; i++)
                world_idle(&f->world, 10);
        assert_true(hand->n[VMM_MODEL] >= n + 4);
}

static void test_events(void **state) {
        static const struct {
                LibvirtEventKind event;
                VmmEventKind kind;
        } cases[] = {
                {LIBVIRT_SIZE, VMM_MODEL},    {LIBVIRT_RESET, VMM_RESET},   {LIBVIRT_SHUTDOWN, VMM_SHUTDOWN},
                {LIBVIRT_PAUSED, VMM_PAUSED}, {LIBVIRT_RESUMED, VMM_MODEL},
        };
        Fixture *f = *state;
        Hand *hand = libvirt_connected(f, 0);

        world_idle(&f->world, 30);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                unsigned n = hand->n[cases[i].kind], n_models = hand->n[VMM_MODEL];

                fake_libvirtd_say(cases[i].event, "0");
                fake_libvirtd_say(cases[i].event, "1"); /* somebody else's */
                for (unsigned j = 0; j < 200 && hand->n[VMM_MODEL] == n_models; j++)
                        world_idle(&f->world, 5);
                assert_int_equal(hand->n[cases[i].kind], n + 1);
                assert_int_equal(hand->n[VMM_MODEL], n_models + 1);
        }
}

/* A migration or snapshot is a pause. */
static void test_busy(void **state) {
        Fixture *f = *state;
        Hand *hand = libvirt_connected(f, 0);

        fake_libvirtd_lock();
        libvirtd.domains[0].busy = true;
        fake_libvirtd_unlock();
        hand->n[VMM_MODEL] = 0;
        assert_int_equal(vmm_refresh(hand->vmm), 0);
        assert_true(world_run(&f->world, hand_has_model, hand, 5000));
        assert_int_equal(hand->n[VMM_PAUSED], 1);
}

/* Fault row 28: one domain hangs for ever. It is lost, and nobody else is. */
static void test_one_hangs(void **state) {
        Fixture *f = *state;
        Hand *good, *bad;
        unsigned n;

        fake_libvirtd_start(1);
        good = libvirt_connected(f, 0);
        bad = libvirt_connected(f, 1);
        fake_libvirtd_lock();
        libvirtd.hangs[1] = true;
        fake_libvirtd_unlock();
        assert_int_equal(vmm_command(bad->vmm, 1, &(PlanStep){ACTUATOR_VIRTIO_MEM, 0, 0, 2 * MIB}), 0);
        assert_true(world_run(&f->world, hand_is_lost, bad, 5000));
        assert_int_equal(vmm_command(bad->vmm, 2, &(PlanStep){ACTUATOR_VIRTIO_MEM, 0, 0, 2 * MIB}),
                         -ENOTCONN);
        assert_string_equal(bad->text, "libvirt does not answer");

        n = good->n[VMM_MODEL];
        for (unsigned i = 0; i < 20; i++) {
                assert_int_equal(vmm_refresh(good->vmm), 0);
                world_idle(&f->world, 10);
        }
        assert_true(good->n[VMM_MODEL] > n + 3);
        assert_int_equal(good->n[VMM_LOST], 0);
        assert_int_equal(bad->n[VMM_LOST], 1);
        assert_int_equal(bad->n[VMM_ACCEPTED] + bad->n[VMM_REJECTED], 0);

        fake_libvirtd_lock();
        libvirtd.hangs[1] = false;
        fake_libvirtd_unlock();
        (void) pthread_mutex_unlock(&libvirtd.gate);
        assert_true(world_run(&f->world, is_connected_again, bad, 5000));
        assert_int_equal(bad->model.virtio_mem[0].requested_bytes, 2 * MIB); /* the truth, read */
        (void) pthread_mutex_lock(&libvirtd.gate);
}

/* libvirtd serves a client five calls at once: before those are used up, the others go over a new connection. */
static void test_connection_with_hanging_calls_is_replaced(void **state) {
        Fixture *f = *state;
        Hand *good;
        uint64_t n_opened;

        for (unsigned i = 1; i < DOMAINS_MAX; i++)
                fake_libvirtd_start(i);
        good = libvirt_connected(f, 0);
        for (unsigned i = 1; i < DOMAINS_MAX; i++)
                (void) libvirt_connected(f, i);
        fake_libvirtd_lock();
        n_opened = libvirtd.n_opened;
        for (unsigned i = 1; i < DOMAINS_MAX; i++)
                libvirtd.hangs[i] = true;
        fake_libvirtd_unlock();
        for (unsigned i = 1; i < DOMAINS_MAX; i++)
                assert_int_equal(vmm_refresh(f->hands[i].vmm), 0);
        for (unsigned i = 1; i < DOMAINS_MAX; i++)
                assert_true(world_run(&f->world, hand_is_lost, &f->hands[i], 5000));
        good->n[VMM_MODEL] = 0;
        assert_int_equal(vmm_refresh(good->vmm), 0);
        assert_true(world_run(&f->world, hand_has_model, good, 5000));
        world_idle(&f->world, 30);
        assert_int_equal(fake_libvirtd_opened(), n_opened + 1);
        assert_int_equal(good->n[VMM_LOST], 0);
}

static void test_connection_lost_and_back(void **state) {
        Fixture *f = *state;
        Hand *hand = libvirt_connected(f, 0);

        fake_libvirtd_lock();
        libvirtd.refuses = true;
        libvirtd.broken_below = libvirtd.n_opened;
        fake_libvirtd_unlock();
        fake_libvirtd_say(LIBVIRT_CLOSED, "");
        assert_true(world_run(&f->world, hand_is_lost, hand, 5000));
        assert_int_equal(vmm_command(hand->vmm, 1, &(PlanStep){ACTUATOR_VIRTIO_MEM, 0, 0, 2 * MIB}),
                         -ENOTCONN);
        world_idle(&f->world, 100);
        assert_int_equal(f->n_domains, 1); /* it runs on without libvirtd */
        fake_libvirtd_lock();
        libvirtd.refuses = false;
        fake_libvirtd_unlock();
        assert_true(world_run(&f->world, is_connected_again, hand, 5000));
        assert_int_equal(hand->n[VMM_LOST], 1);
}

/* No event tells it: the next call does. */
static void test_dead_connection_is_found(void **state) {
        Fixture *f = *state;
        Hand *hand = libvirt_connected(f, 0);

        fake_libvirtd_lock();
        libvirtd.broken_below = libvirtd.n_opened;
        fake_libvirtd_unlock();
        assert_int_equal(vmm_refresh(hand->vmm), 0);
        assert_true(world_run(&f->world, is_connected_again, hand, 5000));
}

static void test_figures_that_make_no_sense(void **state) {
        Fixture *f = *state;
        Hand *hand = libvirt_connected(f, 0);

        fake_libvirtd_lock();
        libvirtd.domains[0].model.virtio_mem[0].size_bytes = 2 * GIB;
        fake_libvirtd_unlock();
        assert_int_equal(vmm_refresh(hand->vmm), 0);
        assert_true(world_run(&f->world, hand_is_lost, hand, 5000));
}

#define libvirt_test(f) cmocka_unit_test_setup_teardown(f, libvirt_setup, libvirt_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                libvirt_test(test_domains_come_and_go),
                libvirt_test(test_domain_is_read_again),
                libvirt_test(test_first_reading),
                libvirt_test(test_commands),
                libvirt_test(test_refused),
                libvirt_test(test_overtaken_reading),
                libvirt_test(test_polls_while_unsettled),
                libvirt_test(test_events),
                libvirt_test(test_busy),
                libvirt_test(test_one_hangs),
                libvirt_test(test_connection_with_hanging_calls_is_replaced),
                libvirt_test(test_connection_lost_and_back),
                libvirt_test(test_dead_connection_is_found),
                libvirt_test(test_figures_that_make_no_sense),
        };

        log_setup(LOG_TARGET_STDERR, LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
