/* SPDX-License-Identifier: Apache-2.0 */

/* A DIMM over QMP: which commands, in which order, and the one outcome, whatever a scripted QEMU refuses or says. */

#include "monitor.h"
#include "vmm-hand.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/units.h"
#include "host-bridge/vmm/vmm-qmp.h"

#define PLUGGED                                                                                              \
        "[{\"type\": \"dimm\", \"data\": {\"id\": \"memtide-dimm0\", \"size\": 268435456, \"addr\": "        \
        "4294967296}}]"
#define BACKEND "{\"id\": \"memtide-dimm0-mem\", \"size\": 268435456, \"share\": false}"

#define DELETED                                                                                              \
        "{\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"memtide-dimm0\", \"path\": \"/x\"}}\r\n"
#define OST(source, status)                                                                                  \
        "{\"event\": \"ACPI_DEVICE_OST\", \"data\": {\"info\": {\"device\": \"memtide-dimm0\", \"slot\": "   \
        "\"0\", "                                                                                            \
        "\"slot-type\": \"DIMM\", \"source\": " #source ", \"status\": " #status "}}}\r\n"

typedef struct Fixture {
        World world;
        Monitor qemu;
        Hand hand;
        /* the scripted QEMU */
        const char *devices, *backends, *refused[3], *error_class;
        uint64_t actual;
        char log[1024]; /* commands that are no queries, with what they name */
} Fixture;

static bool is_refused(const Fixture *f, const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(f->refused); i++)
                if (f->refused[i] && strcmp(f->refused[i], name) == 0)
                        return true;
        return false;
}

static void write_log(Fixture *f, const char *name, const json_t *arguments) {
        const char *id = json_string_value(json_object_get(arguments, "id"));
        const char *type = json_string_value(json_object_get(arguments, "qom-type"));
        json_int_t value = json_integer_value(json_object_get(arguments, "value"));
        size_t n = strlen(f->log);

        (void) snprintf(f->log + n, sizeof(f->log) - n, "%s%s %s", n > 0 ? ", " : "", name, id ?: "");
        n = strlen(f->log);
        if (type && strcmp(type, "memory-backend-ram") != 0)
                (void) snprintf(f->log + n, sizeof(f->log) - n, " %s", type);
        else if (value > 0)
                (void) snprintf(f->log + n, sizeof(f->log) - n, "%lld", (long long) value / (long long) MIB);
}

/* What it does when it was asked for something that is no query. */
static void obey(Fixture *f, const char *name) {
        if (strcmp(name, "device_add") == 0)
                f->devices = PLUGGED;
}

static void on_request(Monitor *qemu, const char *name, const json_t *request, const char *line) {
        Fixture *f = qemu->userdata;
        const char *value = "{}";
        char balloon[64];

        (void) snprintf(balloon, sizeof(balloon), "{\"actual\": %llu}", (unsigned long long) f->actual);
        if (strcmp(name, "query-status") == 0)
                value = "{\"running\": true}";
        else if (strcmp(name, "query-memory-size-summary") == 0)
                value = "{\"base-memory\": 536870912}";
        else if (strcmp(name, "qom-get") == 0)
                value = "{\"size\": 536870912, \"max-size\": 2684354560, \"slots\": 2}";
        else if (strcmp(name, "query-memory-devices") == 0)
                value = f->devices ?: "[]";
        else if (strcmp(name, "query-memdev") == 0)
                value = f->backends ?: "[]";
        else if (strcmp(name, "query-balloon") == 0)
                value = balloon;
        else if (strncmp(name, "q", 1) != 0)
                write_log(f, name, json_object_get(request, "arguments"));

        if (is_refused(f, name)) {
                monitor_answer(qemu, request, "\"error\": {\"class\": \"%s\", \"desc\": \"no %s\"}",
                               f->error_class ?: "GenericError", name);
                return;
        }
        obey(f, name);
        monitor_answer(qemu, request, "\"return\": %s", value);
}

static int setup(void **state) {
        static const VmmQmpOptions quick = {
                .handshake_timeout_usec = USEC_PER_SEC,
                .reply_timeout_usec = USEC_PER_SEC,
                .retry_min_usec = 5 * USEC_PER_MSEC,
                .retry_max_usec = 20 * USEC_PER_MSEC,
                .pull_timeout_usec = 100 * USEC_PER_MSEC,
                .poll_usec = 10 * USEC_PER_MSEC,
                .refresh_usec = USEC_PER_SEC,
        };
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        f->actual = 512 * MIB;
        world_init(&f->world);
        f->qemu = (Monitor){.on_request = on_request, .userdata = f};
        monitor_init(&f->qemu, &f->world, "a.qmp");
        assert_int_equal(vmm_qmp_new(f->world.event, "a", f->qemu.peer.path, &quick, hand_on_vmm, &f->hand,
                                     &f->hand.vmm),
                         0);
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
        assert_true(world_run(&f->world, hand_has_model, &f->hand, 5000));
        world_idle(&f->world, 5);
}

static void says(Fixture *f, const char *text) {
        monitor_say(&f->qemu, text);
        world_idle(&f->world, 10);
}

static const PlanStep plug = {.actuator = ACTUATOR_DIMM, .to_bytes = 256 * MIB};
static const PlanStep pull = {.actuator = ACTUATOR_DIMM, .from_bytes = 256 * MIB};

static void outcome_of(Fixture *f, const PlanStep *step) {
        assert_int_equal(vmm_command(f->hand.vmm, 7, step), 0);
        assert_false(hand_is_answered(&f->hand)); /* never from inside the call */
        assert_true(world_run(&f->world, hand_is_answered, &f->hand, 5000));
        assert_int_equal(f->hand.accepted_id + f->hand.rejected_id, 7);
        world_idle(&f->world, 5);
}

/* -- plugging -------------------------------------------------------------------------------------- */

#define ADDED "object-add memtide-dimm0-mem, device_add memtide-dimm0"

static void test_plug(void **state) {
        static const struct {
                const char *name, *devices, *backends, *refused[3], *log;
                bool accepted;
                const char *text;
        } rows[] = {
                {"plugged", .log = ADDED, .accepted = true},
                {"it is there already", .devices = PLUGGED, .log = "", .accepted = true},
                {"no device: the backend goes again", .refused = {"device_add"},
                 .log = ADDED ", object-del memtide-dimm0-mem", .text = "no device_add"},
                {"no memory for a backend", .refused = {"object-add", "object-del"},
                 .log = "object-add memtide-dimm0-mem, object-del memtide-dimm0-mem",
                 .text = "no object-add"},
                {"a leftover in the way that comes again", .refused = {"object-add"},
                 .log = "object-add memtide-dimm0-mem, object-del memtide-dimm0-mem, object-add "
                        "memtide-dimm0-mem",
                 .text = "no object-add"},
                {"memory that other processes see", .backends = "[{\"id\": \"ram\", \"share\": true}]",
                 .log = "object-add memtide-dimm0-mem memory-backend-memfd, device_add memtide-dimm0",
                 .accepted = true},
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Fixture *f;

                print_message("%s\n", rows[i].name);
                assert_int_equal(setup(state), 0);
                f = *state;
                f->devices = rows[i].devices;
                f->backends = rows[i].backends;
                memcpy(f->refused, rows[i].refused, sizeof(f->refused));
                connect_to_it(f);
                outcome_of(f, &plug);
                assert_int_equal(f->hand.n[VMM_ACCEPTED], rows[i].accepted);
                assert_string_equal(f->log, rows[i].log);
                assert_string_equal(f->hand.text, rows[i].text ?: "");
                assert_int_equal(f->hand.model.dimm[0].size_bytes, rows[i].accepted ? 256 * MIB : 0);
                assert_int_equal(teardown(state), 0);
        }
}

static void test_bounds(void **state) {
        Fixture *f = *state;
        PlanStep step = plug;

        assert_int_equal(vmm_command(f->hand.vmm, 1, &plug), -ENOTCONN);
        connect_to_it(f);
        step.device = MEMORY_MODEL_DIMMS_MAX;
        assert_int_equal(vmm_command(f->hand.vmm, 1, &step), -ENODEV);
        step = plug;
        step.to_bytes = UINT64_MAX;
        assert_int_equal(vmm_command(f->hand.vmm, 1, &step), -ERANGE);
        assert_int_equal(vmm_command(f->hand.vmm, 1, &plug), 0);
        assert_int_equal(vmm_command(f->hand.vmm, 2, &plug), -EBUSY);
        assert_int_equal(vmm_command(f->hand.vmm, 2, &pull), -EBUSY);
        f->hand.vmm = vmm_free(f->hand.vmm); /* in the middle of it */
}

/* A balloon told in the middle of a plug: by a value that is right with the DIMM, and cut by QEMU without it. */
static void test_balloon_beside_a_plug(void **state) {
        Fixture *f = *state;
        const PlanStep inflate = {.actuator = ACTUATOR_BALLOON, .to_bytes = 100 * MIB};

        connect_to_it(f);
        f->actual = 768 * MIB;
        outcome_of(f, &plug);
        assert_int_equal(memory_model_balloon_bytes(&f->hand.model), 0);
        assert_int_equal(vmm_command(f->hand.vmm, 8, &inflate), 0);
        world_idle(&f->world, 10);
        assert_string_equal(f->log, ADDED ", balloon 668");
}

/* -- pulling --------------------------------------------------------------------------------------- */

static void test_pull(void **state) {
        static const struct {
                const char *name, *event, *refused, *error_class, *log;
                bool accepted, stays;
        } rows[] = {
                {"the guest lets go", DELETED,
                 .log = "device_del memtide-dimm0, object-del memtide-dimm0-mem", .accepted = true},
                {"it is at it", OST(3, 132) DELETED,
                 .log = "device_del memtide-dimm0, object-del memtide-dimm0-mem", .accepted = true},
                {"the backend is in use for a while", DELETED, "object-del",
                 .log = "device_del memtide-dimm0, object-del memtide-dimm0-mem", .accepted = true},
                {"it is not there", .refused = "device_del", .error_class = "DeviceNotFound",
                 .log = "device_del memtide-dimm0, object-del memtide-dimm0-mem", .accepted = true},
                {"QEMU refuses", .refused = "device_del", .log = "device_del memtide-dimm0", .stays = true},
                {"the guest is busy", OST(3, 130), .log = "device_del memtide-dimm0", .stays = true},
                {"by its own request", OST(259, 1), .log = "device_del memtide-dimm0", .stays = true},
                {"an old insertion is no refusal", OST(1, 1) OST(3, 132) DELETED,
                 .log = "device_del memtide-dimm0, object-del memtide-dimm0-mem", .accepted = true},
                {"QEMU's own error",
                 "{\"event\": \"DEVICE_UNPLUG_GUEST_ERROR\", \"data\": {\"device\": \"memtide-dimm0\"}}\r\n",
                 .log = "device_del memtide-dimm0", .stays = true},
                {"another's", "{\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"dimm0\"}}\r\n",
                 .log = "device_del memtide-dimm0", .stays = true},
                {"silence", .log = "device_del memtide-dimm0", .stays = true},
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Fixture *f;

                print_message("%s\n", rows[i].name);
                assert_int_equal(setup(state), 0);
                f = *state;
                f->devices = rows[i].error_class ? NULL : PLUGGED;
                f->actual = rows[i].error_class ? 512 * MIB : 768 * MIB;
                f->refused[0] = rows[i].refused;
                f->error_class = rows[i].error_class;
                connect_to_it(f);
                assert_int_equal(vmm_command(f->hand.vmm, 7, &pull), 0);
                world_idle(&f->world, 10);
                if (!rows[i].stays) {
                        f->devices = NULL;
                        f->actual = 512 * MIB;
                }
                if (rows[i].event)
                        says(f, rows[i].event);
                assert_true(world_run(&f->world, hand_is_answered, &f->hand, 5000));
                world_idle(&f->world, 10);
                assert_int_equal(f->hand.n[VMM_ACCEPTED], rows[i].accepted);
                assert_int_equal(f->hand.n[VMM_REJECTED], !rows[i].accepted);
                assert_string_equal(f->log, rows[i].log);
                assert_int_equal(f->hand.model.dimm[0].size_bytes, rows[i].stays ? 256 * MIB : 0);
                assert_int_equal(f->hand.n[VMM_LOST], 0);
                assert_int_equal(teardown(state), 0);
        }
}

/* After we have given up: the backend is freed all the same. */
static void test_lets_go_late(void **state) {
        Fixture *f = *state;

        f->devices = PLUGGED;
        connect_to_it(f);
        outcome_of(f, &pull);
        assert_int_equal(f->hand.n[VMM_REJECTED], 1);
        f->devices = NULL;
        says(f, DELETED);
        assert_string_equal(f->log, "device_del memtide-dimm0, object-del memtide-dimm0-mem");
        assert_int_equal(f->hand.model.dimm[0].size_bytes, 0);
        assert_int_equal(f->hand.n[VMM_ACCEPTED], 0);
}

/* A veto gives back what is just being pulled: whatever became of that, the DIMM is there in the end. */
static void test_plug_after_pull(void **state) {
        static const struct {
                const char *event, *log;
                unsigned n_rejected;
        } rows[] = {
                {DELETED, "device_del memtide-dimm0, object-del memtide-dimm0-mem, " ADDED, 0},
                {OST(3, 130), "device_del memtide-dimm0", 1},
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Fixture *f;

                assert_int_equal(setup(state), 0);
                f = *state;
                f->devices = PLUGGED;
                connect_to_it(f);
                assert_int_equal(vmm_command(f->hand.vmm, 7, &pull), 0);
                assert_int_equal(vmm_command(f->hand.vmm, 8, &plug), 0);
                assert_int_equal(vmm_command(f->hand.vmm, 9, &plug), -EBUSY);
                world_idle(&f->world, 10);
                if (rows[i].n_rejected == 0)
                        f->devices = NULL;
                says(f, rows[i].event);
                assert_true(world_run(&f->world, hand_is_answered_twice, &f->hand, 5000));
                assert_int_equal(f->hand.accepted_id, 8);
                assert_int_equal(f->hand.n[VMM_REJECTED], rows[i].n_rejected);
                assert_int_equal(f->hand.n[VMM_ACCEPTED], 2 - rows[i].n_rejected);
                assert_string_equal(f->log, rows[i].log);
                assert_int_equal(teardown(state), 0);
        }
}

static void test_freed_inside(void **state) {
        Fixture *f = *state;

        f->devices = PLUGGED;
        connect_to_it(f);
        f->hand.frees = true;
        f->hand.free_at = VMM_REJECTED;
        assert_int_equal(vmm_command(f->hand.vmm, 7, &pull), 0);
        world_idle(&f->world, 10);
        says(f, OST(3, 130));
        assert_null(f->hand.vmm);
}

/* -- what a crash left ----------------------------------------------------------------------------- */

static void test_leftovers(void **state) {
        Fixture *f = *state;

        f->devices = PLUGGED;
        f->backends = "[" BACKEND
                      ", {\"id\": \"memtide-dimm1-mem\"}, {\"id\": \"memtide-dimm1\"}, {\"id\": \"ram\"}, "
                      "{}, {\"id\": \"memtide-dimm12345678901234567890123456789-mem\"}]";
        connect_to_it(f);
        world_idle(&f->world, 20);
        assert_string_equal(f->log, "object-del memtide-dimm1-mem");
}

/* The device is refused, and its backend is not free yet: it is tried again behind the next readings. */
static void test_backend_in_use_for_a_moment(void **state) {
        Fixture *f = *state;

        connect_to_it(f);
        f->refused[0] = "device_add";
        f->refused[1] = "object-del";
        f->backends = "[" BACKEND "]";
        outcome_of(f, &plug);
        world_idle(&f->world, 50);
        f->refused[1] = NULL;
        f->log[0] = '\0';
        assert_int_equal(vmm_refresh(f->hand.vmm), 0);
        world_idle(&f->world, 20);
        assert_string_equal(f->log, "object-del memtide-dimm0-mem");
}

#define vmm_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_plug),
                vmm_test(test_bounds),
                vmm_test(test_balloon_beside_a_plug),
                cmocka_unit_test(test_pull),
                vmm_test(test_lets_go_late),
                cmocka_unit_test(test_plug_after_pull),
                vmm_test(test_freed_inside),
                vmm_test(test_leftovers),
                vmm_test(test_backend_in_use_for_a_moment),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
