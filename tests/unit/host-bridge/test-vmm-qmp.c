/* SPDX-License-Identifier: Apache-2.0 */

/* The hypervisor's hand over QMP: connections, readings, commands, run states; a scripted QEMU answers. */

#include "monitor.h"
#include "vmm-hand.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/units.h"
#include "host-bridge/vmm/vmm-qmp.h"

#define VMEM                                                                                                 \
        "[{\"type\": \"virtio-mem\", \"data\": {\"id\": \"vmem0\", \"size\": %d, \"requested-size\": %d, "   \
        "\"max-size\": 1073741824, \"block-size\": 2097152}}]"

typedef struct Fixture {
        World world;
        Monitor qemu;
        Hand hand;
        /* the scripted QEMU */
        unsigned long long boot_mib;
        int size, requested;
        bool running, migrating, has_balloon, answers;
        const char *devices; /* in place of VMEM */
        char last[1024];     /* the last command that is no query */
        unsigned n_queries, n_summaries;
        const char *refuse; /* description of the error for commands */
} Fixture;

static void on_request(Monitor *qemu, const char *name, const json_t *request, const char *line) {
        Fixture *f = qemu->userdata;
        char devices[1024];

        f->n_queries += strncmp(name, "query-", 6) == 0;
        f->n_summaries += strcmp(name, "query-memory-size-summary") == 0;
        if (!f->answers)
                return;
        (void) snprintf(devices, sizeof(devices), VMEM, f->size, f->requested);
        if (strcmp(name, "query-status") == 0)
                monitor_answer(qemu, request, "\"return\": {\"running\": %s}", f->running ? "true" : "false");
        else if (strcmp(name, "query-migrate") == 0)
                monitor_answer(qemu, request, "\"return\": {%s}",
                               f->migrating ? "\"status\": \"active\"" : "");
        else if (strcmp(name, "query-memory-size-summary") == 0)
                monitor_answer(qemu, request, "\"return\": {\"base-memory\": %llu, \"plugged-memory\": 7}",
                               f->boot_mib * MIB);
        else if (strcmp(name, "qom-get") == 0)
                monitor_answer(qemu, request,
                               "\"return\": {\"size\": 536870912, \"max-size\": 2684354560, \"slots\": 2}");
        else if (strcmp(name, "query-memory-devices") == 0)
                monitor_answer(qemu, request, "\"return\": %s", f->devices ?: devices);
        else if (strcmp(name, "query-balloon") == 0 && f->has_balloon)
                monitor_answer(qemu, request, "\"return\": {\"actual\": 268435456}");
        else if (strcmp(name, "query-balloon") == 0)
                monitor_answer(qemu, request,
                               "\"error\": {\"class\": \"DeviceNotActive\", \"desc\": \"none\"}");
        else if (strcmp(name, "qmp_capabilities") == 0)
                monitor_answer(qemu, request, "\"return\": {}");
        else {
                (void) snprintf(f->last, sizeof(f->last), "%s", line);
                if (f->refuse)
                        monitor_answer(qemu, request,
                                       "\"error\": {\"class\": \"GenericError\", \"desc\": \"%s\"}",
                                       f->refuse);
                else
                        monitor_answer(qemu, request, "\"return\": {}");
        }
}

static const VmmQmpOptions quick = {
        .handshake_timeout_usec = 60 * USEC_PER_MSEC,
        .reply_timeout_usec = 60 * USEC_PER_MSEC,
        .retry_min_usec = 5 * USEC_PER_MSEC,
        .retry_max_usec = 20 * USEC_PER_MSEC,
        .poll_usec = 10 * USEC_PER_MSEC,
        .refresh_usec = USEC_PER_SEC,
};

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        f->running = f->has_balloon = f->answers = true;
        f->boot_mib = 512;
        world_init(&f->world);
        f->qemu = (Monitor){.on_request = on_request, .userdata = f};
        monitor_init(&f->qemu, &f->world, "a.qmp");
        assert_int_equal(vmm_qmp_new(f->world.event, "a", f->qemu.peer.path, &quick, hand_on_vmm, &f->hand,
                                     &f->hand.vmm),
                         0);
        assert_int_equal(f->hand.n_events, 0); /* never from inside the call */
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        (void) vmm_free(f->hand.vmm);
        monitor_done(&f->qemu);
        world_done(&f->world);
        free(f);
        return 0;
}

static void connect_to_it(Fixture *f) {
        assert_true(world_run(&f->world, hand_has_model, &f->hand, 2000));
}

static void qemu_says(Fixture *f, const char *text) {
        monitor_say(&f->qemu, text);
        world_idle(&f->world, 5);
}

static void test_first_reading(void **state) {
        Fixture *f = *state;

        f->size = 4 * (int) MIB;
        f->requested = 8 * (int) MIB;
        connect_to_it(f);
        assert_int_equal(f->hand.order[0], VMM_CONNECTED);
        assert_int_equal(f->hand.order[1], VMM_RUNNING);
        assert_int_equal(f->hand.order[2], VMM_MODEL);
        assert_true(f->hand.model.known);
        assert_int_equal(f->hand.model.boot_bytes, 512 * MIB);
        assert_int_equal(f->hand.model.dimm_bytes, 0); /* plugged-memory is not it */
        assert_true(f->hand.model.has_balloon);
        assert_int_equal(memory_model_balloon_bytes(&f->hand.model), 256 * MIB);
        assert_int_equal(f->hand.model.n_virtio_mem, 1);
        assert_string_equal(f->hand.model.virtio_mem[0].id, "vmem0");
        assert_int_equal(f->hand.model.virtio_mem[0].size_bytes, 4 * MIB);
        assert_int_equal(f->hand.model.virtio_mem[0].requested_bytes, 8 * MIB);
        assert_int_equal(f->hand.model.free_slots, 2);
        assert_int_equal(f->hand.model.room_bytes, GIB); /* virtio-mem has the rest */
}

static void test_without_balloon(void **state) {
        Fixture *f = *state;

        f->has_balloon = false;
        connect_to_it(f);
        assert_false(f->hand.model.has_balloon);
        assert_int_equal(vmm_command(f->hand.vmm, 1, &(PlanStep){.actuator = ACTUATOR_BALLOON}), -ENODEV);
}

static void test_commands(void **state) {
        static const struct {
                PlanStep step;
                int r;
                const char *expected;
        } cases[] = {
                {{ACTUATOR_VIRTIO_MEM, 0, 0, 256 * MIB},
                 0,
                 "{\"execute\":\"qom-set\",\"arguments\":{\"path\":\"/machine/peripheral/"
                 "vmem0\",\"property\":"
                 "\"requested-size\",\"value\":268435456},"},
                {{ACTUATOR_VIRTIO_MEM, 1, 0, 256 * MIB}, -ENODEV, NULL},
                {{ACTUATOR_VIRTIO_MEM, 0, 0, 2 * GIB}, -ERANGE, NULL},
                {{ACTUATOR_VIRTIO_MEM, 0, 0, MIB}, -ERANGE, NULL},
                /* The value is what is left of boot RAM and DIMMs, not the VM's size. */
                {{ACTUATOR_BALLOON, 0, 0, 100 * MIB},
                 0,
                 "{\"execute\":\"balloon\",\"arguments\":{\"value\":432013312},"},
                {{ACTUATOR_BALLOON, 0, 0, 512 * MIB}, -ERANGE, NULL},
                {{ACTUATOR_BALLOON, 0, 0, TIB}, -ERANGE, NULL},
                {{ACTUATOR_NONE, 0, 0, 0}, -EOPNOTSUPP, NULL},
        };
        Fixture *f = *state;

        assert_int_equal(vmm_command(f->hand.vmm, 1, &cases[0].step), -ENOTCONN);
        assert_int_equal(vmm_refresh(f->hand.vmm), -ENOTCONN);
        connect_to_it(f);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                f->last[0] = '\0';
                assert_int_equal(vmm_command(f->hand.vmm, i + 1, &cases[i].step), cases[i].r);
                world_idle(&f->world, 5);
                if (cases[i].expected) {
                        assert_int_equal(strncmp(f->last, cases[i].expected, strlen(cases[i].expected)), 0);
                        assert_int_equal(f->hand.accepted_id, i + 1);
                } else
                        assert_string_equal(f->last, "");
        }
}

static void test_refused(void **state) {
        Fixture *f = *state;

        connect_to_it(f);
        f->refuse = "not today\\n\\u001b[31m";
        assert_int_equal(vmm_command(f->hand.vmm, 7, &(PlanStep){ACTUATOR_VIRTIO_MEM, 0, 0, 2 * MIB}), 0);
        assert_true(world_run(&f->world, hand_is_answered, &f->hand, 2000));
        assert_int_equal(f->hand.rejected_id, 7);
        assert_string_equal(f->hand.text, "not today??[31m");
        assert_int_equal(f->hand.n[VMM_LOST], 0);
}

/* Unsettled: read every 10 ms. Settled: left alone. */
static void test_polls_while_unsettled(void **state) {
        Fixture *f = *state;
        unsigned n;

        connect_to_it(f);
        world_idle(&f->world, 5);
        n = f->hand.n[VMM_MODEL];
        world_idle(&f->world, 60);
        assert_int_equal(f->hand.n[VMM_MODEL], n);

        f->requested = 2 * (int) MIB;
        assert_int_equal(vmm_command(f->hand.vmm, 1, &(PlanStep){ACTUATOR_VIRTIO_MEM, 0, 0, 2 * MIB}), 0);
        world_idle(&f->world, 80);
        assert_true(f->hand.n[VMM_MODEL] >= n + 4);
        f->size = 2 * (int) MIB;
        world_idle(&f->world, 30);
        assert_int_equal(f->hand.model.virtio_mem[0].size_bytes, 2 * MIB);
        n = f->hand.n[VMM_MODEL];
        world_idle(&f->world, 60);
        assert_true(f->hand.n[VMM_MODEL] <= n + 1);
}

/* A reading that was under way when a command left is not taken for the command's outcome. */
static void test_overtaken_reading(void **state) {
        Fixture *f = *state;

        connect_to_it(f);
        world_idle(&f->world, 5);
        f->hand.n[VMM_MODEL] = 0;
        assert_int_equal(vmm_refresh(f->hand.vmm), 0);
        assert_int_equal(vmm_command(f->hand.vmm, 1, &(PlanStep){ACTUATOR_VIRTIO_MEM, 0, 0, 2 * MIB}), 0);
        f->requested = f->size = 2 * (int) MIB;
        f->hand.n_events = 0;
        assert_true(world_run(&f->world, hand_has_model, &f->hand, 2000));
        assert_int_equal(f->hand.order[0], VMM_ACCEPTED); /* its reply came before the first model */
}

static void hang_up(Peer *peer) {
        peer_hang_up(peer);
}

/* One that hangs up at once is tried after 5, 10, 20, 20, ... ms. */
static void test_backs_off(void **state) {
        Fixture *f = *state;

        f->qemu.peer.on_client = hang_up;
        world_idle(&f->world, 300);
        assert_true(f->qemu.peer.n_clients >= 4 && f->qemu.peer.n_clients <= 18);
        assert_int_equal(f->hand.n[VMM_LOST], 1);
}

static void test_asks_are_merged(void **state) {
        Fixture *f = *state;
        unsigned n;

        connect_to_it(f);
        world_idle(&f->world, 5);
        n = f->n_queries;
        for (unsigned i = 0; i < 50; i++)
                assert_int_equal(vmm_refresh(f->hand.vmm), 0);
        world_idle(&f->world, 10);
        assert_int_equal(f->n_queries, n + 8); /* the one under way, and one more */
}

/* What QEMU was started with is asked for once, and again of the one that comes after it. */
static void test_what_stays_is_asked_once(void **state) {
        Fixture *f = *state;

        connect_to_it(f);
        assert_int_equal(vmm_refresh(f->hand.vmm), 0);
        world_idle(&f->world, 10);
        assert_true(f->hand.n[VMM_MODEL] > 1);
        assert_int_equal(f->n_summaries, 1);
        assert_int_equal(f->hand.model.boot_bytes, 512 * MIB);

        f->boot_mib = 256;
        f->hand.n[VMM_MODEL] = 0;
        peer_hang_up(&f->qemu.peer);
        connect_to_it(f);
        assert_int_equal(f->n_summaries, 2);
        assert_int_equal(f->hand.model.boot_bytes, 256 * MIB);
}

static void test_events(void **state) {
        static const struct {
                const char *text;
                VmmEventKind kind;
        } cases[] = {
                {"{\"event\": \"MEMORY_DEVICE_SIZE_CHANGE\", \"data\": {\"id\": \"vmem0\", \"size\": 1}}",
                 VMM_MODEL},
                {"{\"event\": \"BALLOON_CHANGE\", \"data\": {\"actual\": 1}}", VMM_MODEL},
                {"{\"event\": \"ACPI_DEVICE_OST\", \"data\": {}}", VMM_MODEL},
                {"{\"event\": \"RESET\", \"data\": {\"guest\": true}}", VMM_RESET},
                {"{\"event\": \"SHUTDOWN\"}", VMM_SHUTDOWN},
                {"{\"event\": \"STOP\"}", VMM_PAUSED},
        };
        Fixture *f = *state;

        connect_to_it(f);
        world_idle(&f->world, 5);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                unsigned n = f->hand.n[cases[i].kind], n_models = f->hand.n[VMM_MODEL];

                qemu_says(f, cases[i].text);
                if (f->hand.n[cases[i].kind] != n + 1 || f->hand.n[VMM_MODEL] != n_models + 1)
                        fail_msg("%s", cases[i].text);
        }
        assert_int_equal(f->hand.n[VMM_RUNNING],
                         2); /* at the start, and when the reading after STOP said so */
}

static void test_migration_is_a_pause(void **state) {
        Fixture *f = *state;

        connect_to_it(f);
        f->migrating = true;
        qemu_says(f, "{\"event\": \"MIGRATION\", \"data\": {\"status\": \"active\"}}");
        assert_int_equal(f->hand.n[VMM_PAUSED], 1);
        f->migrating = false;
        assert_int_equal(vmm_refresh(f->hand.vmm), 0);
        world_idle(&f->world, 10);
        assert_int_equal(f->hand.n[VMM_RUNNING], 2);
}

static void test_lost_and_back(void **state) {
        Fixture *f = *state;

        connect_to_it(f);
        peer_hang_up(&f->qemu.peer);
        assert_true(world_run(&f->world, hand_is_lost, &f->hand, 2000));
        assert_int_equal(vmm_command(f->hand.vmm, 1, &(PlanStep){ACTUATOR_VIRTIO_MEM, 0, 0, 2 * MIB}),
                         -ENOTCONN);
        f->hand.n[VMM_MODEL] = 0;
        connect_to_it(f);
        assert_int_equal(f->hand.n[VMM_CONNECTED], 2);
        assert_int_equal(f->hand.n[VMM_LOST], 1);
}

/* The breaker: one that answers nothing is tried ever more rarely, and said to be lost once. */
static void test_silent_monitor(void **state) {
        Fixture *f = *state;

        f->qemu.greets = false;
        world_idle(&f->world, 400);
        assert_true(f->qemu.peer.n_clients >= 3 && f->qemu.peer.n_clients <= 6);
        assert_int_equal(f->hand.n[VMM_LOST], 1);
        f->qemu.greets = true;
        connect_to_it(f);
}

static void test_hangs_in_a_reading(void **state) {
        Fixture *f = *state;

        connect_to_it(f);
        f->answers = false;
        assert_int_equal(vmm_refresh(f->hand.vmm), 0);
        assert_true(world_run(&f->world, hand_is_lost, &f->hand, 2000));
}

static void test_impossible_answers(void **state) {
        static const char *const devices[] = {
                "5",
                "[{\"type\": \"dimm\", \"data\": {\"size\": -1}}]",
                "[{\"type\": \"virtio-mem\", \"data\": {\"id\": \"v\", \"size\": 8, \"requested-size\": 0, "
                "\"max-size\": 4, \"block-size\": 4}}]",
        };

        for (size_t i = 0; i < ELEMENTSOF(devices); i++) {
                void *inner = NULL;
                Fixture *f;

                (void) setup(&inner);
                f = inner;
                f->devices = devices[i];
                assert_true(world_run(&f->world, hand_is_lost, &f->hand, 2000));
                assert_int_equal(f->hand.n[VMM_MODEL], 0);
                (void) teardown(&inner);
        }
        (void) setup(state);
}

static void test_freed_inside(void **state) {
        for (VmmEventKind kind = VMM_CONNECTED; kind <= VMM_MODEL; kind++) {
                void *inner = NULL;
                Fixture *f;

                (void) setup(&inner);
                f = inner;
                f->hand.frees = true;
                f->hand.free_at = kind;
                if (kind == VMM_LOST)
                        f->qemu.greets = false;
                world_idle(&f->world, 100);
                assert_null(f->hand.vmm);
                (void) teardown(&inner);
        }
        (void) setup(state);
}

#define qmp_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                qmp_test(test_first_reading),
                qmp_test(test_without_balloon),
                qmp_test(test_commands),
                qmp_test(test_refused),
                qmp_test(test_polls_while_unsettled),
                qmp_test(test_overtaken_reading),
                qmp_test(test_asks_are_merged),
                qmp_test(test_what_stays_is_asked_once),
                qmp_test(test_events),
                qmp_test(test_migration_is_a_pause),
                qmp_test(test_backs_off),
                qmp_test(test_lost_and_back),
                qmp_test(test_silent_monitor),
                qmp_test(test_hangs_in_a_reading),
                cmocka_unit_test_teardown(test_impossible_answers, teardown),
                cmocka_unit_test_teardown(test_freed_inside, teardown),
        };

        log_setup(LOG_TARGET_STDERR, LOG_ERR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
