/* SPDX-License-Identifier: Apache-2.0 */

/* The control socket, asked over a real connection in the same event loop: every method, its keys, its errors. */

#include "host-bridge/surfaces/bus.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>

#include <cmocka.h>

#include "common/units.h"
#include "host-bridge/policy/lacks.h"
#include "host-bridge/surfaces/bus-listing.h"

typedef struct Fixture {
        sd_event *event;
        Bus *bus;
        Record *record;
        sd_bus *client;
        char folder[64], path[96];
        /* the answer to the last call */
        sd_bus_message *reply;
} Fixture;

static size_t n_vms;
static uint64_t n_changes, n_changes_per_look;

static void source_bridge(void *userdata, BridgeSnapshot *ret) {
        *ret = (BridgeSnapshot){.budget_bytes = 4 * GIB,
                                .committed_bytes = GIB,
                                .n_vms = n_vms,
                                .n_changes = n_changes,
                                .version = "1"};
}

static bool source_vm_at(void *userdata, size_t index, VmSnapshot *ret) {
        n_changes += n_changes_per_look;
        if (index >= n_vms)
                return false;
        *ret = (VmSnapshot){.state = VM_MANAGED, .size_bytes = 512 * MIB, .need_bytes = -(int64_t) MIB};
        ret->capabilities = CAPABILITY_RECLAIM | CAPABILITY_BALLOON;
        ret->n_missing = 1;
        ret->missing[0] = FACILITY_PSI;
        ret->missing_error[0] = 2;
        ret->report_age_usec = UINT64_MAX;
        ret->lacks = UINT64_C(1) << LACK_BALLOON;
        ret->name[0] = (char) ('a' + index);
        return true;
}

static bool source_vm_named(void *userdata, const char *name, VmSnapshot *ret) {
        return (strcmp(name, "a") == 0 && source_vm_at(userdata, 0, ret)) ||
               (strcmp(name, "b") == 0 && source_vm_at(userdata, 1, ret));
}

static int setup(void **state) {
        static const SnapshotSource source = {.bridge = source_bridge,
                                              .vm_at = source_vm_at,
                                              .vm_named = source_vm_named};
        Fixture *f = calloc(1, sizeof(*f));
        char address[128];

        n_vms = 2;
        n_changes_per_look = 0;

        (void) strcpy(f->folder, "/tmp/test-bus-XXXXXX");
        assert_non_null(mkdtemp(f->folder));
        (void) snprintf(f->path, sizeof(f->path), "%s/bridge.sock", f->folder);
        assert_int_equal(sd_event_new(&f->event), 0);
        assert_int_equal(record_new(8, &f->record), 0);
        assert_int_equal(bus_new(f->event, f->path, &source, f->record, &f->bus), 0);

        (void) snprintf(address, sizeof(address), "unix:path=%s", f->path);
        assert_int_equal(sd_bus_new(&f->client), 0);
        assert_true(sd_bus_set_address(f->client, address) >= 0);
        assert_true(sd_bus_start(f->client) >= 0);
        assert_true(sd_bus_attach_event(f->client, f->event, 0) >= 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;
        struct stat st;

        sd_bus_message_unref(f->reply);
        sd_bus_close_unref(f->client);
        bus_free(f->bus);
        assert_int_equal(stat(f->path, &st), -1); /* the socket has gone with it */
        record_free(f->record);
        sd_event_unref(f->event);
        (void) rmdir(f->folder);
        free(f);
        return 0;
}

static int on_reply(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        ((Fixture *) userdata)->reply = sd_bus_message_ref(message);
        return 0;
}

/* Leaves the answer in f->reply. */
static void call(Fixture *f, const char *method, const char *signature, const char *name, uint32_t most) {
        f->reply = sd_bus_message_unref(f->reply);
        if (strcmp(signature, "su") == 0)
                assert_true(sd_bus_call_method_async(f->client, NULL, NULL, BUS_OBJECT_PATH, BUS_INTERFACE,
                                                     method, on_reply, f, "su", name, most) >= 0);
        else if (strcmp(signature, "s") == 0)
                assert_true(sd_bus_call_method_async(f->client, NULL, NULL, BUS_OBJECT_PATH, BUS_INTERFACE,
                                                     method, on_reply, f, "s", name) >= 0);
        else
                assert_true(sd_bus_call_method_async(f->client, NULL, NULL, BUS_OBJECT_PATH, BUS_INTERFACE,
                                                     method, on_reply, f, NULL) >= 0);
        for (int i = 0; i < 200 && !f->reply; i++)
                assert_true(sd_event_run(f->event, 100 * USEC_PER_MSEC) >= 0);
        assert_non_null(f->reply);
}

/* Moves into the value of key in the dictionary at which the message stands. */
static bool find_key(sd_bus_message *message, const char *wanted) {
        const char *key;

        assert_true(sd_bus_message_enter_container(message, 'a', "{sv}") > 0);
        while (sd_bus_message_enter_container(message, 'e', "sv") > 0) {
                assert_true(sd_bus_message_read(message, "s", &key) > 0);
                if (strcmp(key, wanted) == 0)
                        return true;
                assert_true(sd_bus_message_skip(message, "v") > 0);
                assert_true(sd_bus_message_exit_container(message) > 0);
        }
        return false;
}

/* -- what changes something ------------------------------------------------------------------------ */

static struct {
        char vm[64];
        uint64_t bytes, usec;
        bool forecast, resumed;
} told;

static int control_resize(void *userdata, const char *vm, uint64_t bytes, bool forecast, ControlPlan *ret) {
        if (strcmp(vm, "a") != 0)
                return strcmp(vm, "busy") == 0 ? -EBUSY : -ENOENT;
        (void) strcpy(told.vm, vm);
        told.bytes = bytes;
        told.forecast = forecast;
        *ret = (ControlPlan){.decision = {.id = forecast ? 0 : 5, .vm = "a", .rule = RULE_OPERATOR},
                             .n_steps = forecast ? 2 : 0,
                             .steps = {{.actuator = ACTUATOR_BALLOON, .from_bytes = MIB}}};
        return 0;
}

static int control_hold(void *userdata, const char *vm, uint64_t usec) {
        told.usec = usec;
        return strcmp(vm, "a") == 0 ? 0 : -ENOENT;
}

static int control_resume(void *userdata, const char *vm) {
        told.resumed = true;
        return 0;
}

static const Control control = {.resize = control_resize, .hold = control_hold, .resume = control_resume};

/* Waits for the answer to a call of "st". */
static void tell(Fixture *f, const char *method, const char *vm, uint64_t value) {
        f->reply = sd_bus_message_unref(f->reply);
        assert_true(sd_bus_call_method_async(f->client, NULL, NULL, BUS_OBJECT_PATH, BUS_INTERFACE, method,
                                             on_reply, f, "st", vm, value) >= 0);
        for (int i = 0; i < 200 && !f->reply; i++)
                assert_true(sd_event_run(f->event, 100 * USEC_PER_MSEC) >= 0);
        assert_non_null(f->reply);
}

static void test_control(void **state) {
        Fixture *f = *state;
        uint64_t value;

        tell(f, "Resize", "a", GIB);
        assert_true(sd_bus_message_is_method_error(f->reply, NULL)); /* nobody to tell */
        bus_set_control(f->bus, &control);

        tell(f, "Resize", "a", GIB);
        assert_true(sd_bus_message_has_signature(f->reply, "a{sv}"));
        assert_true(find_key(f->reply, "id"));
        assert_true(sd_bus_message_read(f->reply, "v", "t", &value) > 0);
        assert_int_equal(value, 5);
        assert_string_equal(told.vm, "a");
        assert_int_equal(told.bytes, GIB);
        assert_false(told.forecast);

        tell(f, "PlanResize", "a", 2 * GIB);
        assert_true(sd_bus_message_has_signature(f->reply, "a{sv}aa{sv}"));
        assert_true(told.forecast);

        tell(f, "Hold", "a", 17);
        assert_false(sd_bus_message_is_method_error(f->reply, NULL));
        assert_int_equal(told.usec, 17);
        call(f, "Resume", "s", "a", 0);
        assert_true(told.resumed);
}

static void test_control_errors(void **state) {
        Fixture *f = *state;

        bus_set_control(f->bus, &control);
        tell(f, "Resize", "nobody", GIB);
        assert_true(sd_bus_message_is_method_error(f->reply, BUS_ERROR_NO_VM));
        tell(f, "PlanResize", "busy", GIB);
        assert_true(sd_bus_message_is_method_error(f->reply, BUS_ERROR_BUSY));
        tell(f, "Hold", "nobody", 1);
        assert_true(sd_bus_message_is_method_error(f->reply, BUS_ERROR_NO_VM));
        told.bytes = 0;
        tell(f, "Resize", "a", UINT64_MAX);
        assert_true(sd_bus_message_is_method_error(f->reply, SD_BUS_ERROR_INVALID_ARGS));
        assert_int_equal(told.bytes, 0);
}

static int on_decision(sd_bus_message *signal, void *userdata, sd_bus_error *error) {
        const char *vm, *kind, *rule, *result;
        uint64_t id;

        assert_true(sd_bus_message_read(signal, "tssss", &id, &vm, &kind, &rule, &result) > 0);
        assert_int_equal(id, 9);
        assert_string_equal(vm, "a");
        assert_string_equal(rule, "operator");
        *(bool *) userdata = true;
        return 0;
}

static void test_signal(void **state) {
        Fixture *f = *state;
        bool heard = false;

        assert_true(sd_bus_match_signal(f->client, NULL, NULL, BUS_OBJECT_PATH, BUS_INTERFACE,
                                        "DecisionChanged", on_decision, &heard) >= 0);
        call(f, "GetBridge", "", NULL, 0); /* connected */
        bus_tell(f->bus, &(Decision){.id = 9, .vm = "a", .rule = RULE_OPERATOR});
        for (int i = 0; i < 200 && !heard; i++)
                assert_true(sd_event_run(f->event, 100 * USEC_PER_MSEC) >= 0);
        assert_true(heard);
}

/* -- what is shown --------------------------------------------------------------------------------- */

static void test_bridge(void **state) {
        Fixture *f = *state;
        uint64_t value;

        call(f, "GetBridge", "", NULL, 0);
        assert_true(find_key(f->reply, "budget_bytes"));
        assert_true(sd_bus_message_read(f->reply, "v", "t", &value) > 0);
        assert_int_equal(value, 4 * GIB);
}

static void test_one_vm(void **state) {
        Fixture *f = *state;
        const char *text;
        int64_t need;

        call(f, "GetVm", "s", "b", 0);
        assert_true(find_key(f->reply, "name"));
        assert_true(sd_bus_message_read(f->reply, "v", "s", &text) > 0);
        assert_string_equal(text, "b");

        call(f, "GetVm", "s", "a", 0);
        assert_true(find_key(f->reply, "need_bytes"));
        assert_true(sd_bus_message_read(f->reply, "v", "x", &need) > 0);
        assert_int_equal(need, -(int64_t) MIB);
}

static void test_lists_and_absent_values(void **state) {
        Fixture *f = *state;
        const char *first, *second;

        call(f, "GetVm", "s", "a", 0);
        assert_true(find_key(f->reply, "capabilities"));
        assert_true(sd_bus_message_read(f->reply, "v", "as", 2, &first, &second) > 0);
        assert_string_equal(first, "reclaim");
        assert_string_equal(second, "balloon");

        call(f, "GetVm", "s", "a", 0);
        assert_true(find_key(f->reply, "missing"));
        assert_true(sd_bus_message_read(f->reply, "v", "as", 1, &first) > 0);
        assert_string_equal(first, "psi (ENOENT)");

        call(f, "GetVm", "s", "a", 0);
        assert_false(find_key(f->reply, "report_age_usec"));
}

static unsigned count_listed(sd_bus_message *reply) {
        unsigned n = 0;

        assert_false(sd_bus_message_is_method_error(reply, NULL));
        assert_true(sd_bus_message_enter_container(reply, 'a', "a{sv}") > 0);
        for (; sd_bus_message_at_end(reply, false) == 0; n++)
                assert_true(sd_bus_message_skip(reply, "a{sv}") > 0);
        return n;
}

static void test_all_vms(void **state) {
        Fixture *f = *state;

        for (n_vms = 0; n_vms < 6; n_vms++) {
                call(f, "ListVms", "", NULL, 0);
                assert_int_equal(count_listed(f->reply), n_vms);
        }
}

static int on_listed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        unsigned *n = userdata;

        n[sd_bus_message_is_method_error(message, SD_BUS_ERROR_LIMITS_EXCEEDED)]++;
        return 0;
}

/* Who lists many holds up nobody, and many who list are bounded. The last of them get no answer: the bus goes before. */
static void test_listing_is_patient(void **state) {
        Fixture *f = *state;
        unsigned n[2] = {0};

        n_vms = 20;
        for (unsigned i = 0; i < BUS_LISTING_CALLS_MAX + 3; i++)
                assert_true(sd_bus_call_method_async(f->client, NULL, NULL, BUS_OBJECT_PATH, BUS_INTERFACE,
                                                     "ListVms", on_listed, n, NULL) >= 0);
        call(f, "GetVm", "s", "b", 0);
        assert_int_equal(n[0], 0);
        assert_int_equal(n[1], 3);
        n_vms = 25; /* while the first is made */
        for (int i = 0; i < 1000 && n[0] < 2; i++)
                assert_true(sd_event_run(f->event, 100 * USEC_PER_MSEC) >= 0);
        assert_int_equal(n[0], 2);
}

static void call_objects(Fixture *f) {
        f->reply = sd_bus_message_unref(f->reply);
        assert_true(sd_bus_call_method_async(f->client, NULL, NULL, BUS_OBJECT_PATH,
                                             "org.freedesktop.DBus.ObjectManager", "GetManagedObjects",
                                             on_reply, f, NULL) >= 0);
        for (int i = 0; i < 2000 && !f->reply; i++)
                assert_true(sd_event_run(f->event, 100 * USEC_PER_MSEC) >= 0);
        assert_non_null(f->reply);
}

/* "Name=a State=managed ..." of the properties at which the message stands. */
static void read_properties(sd_bus_message *message, char *text, size_t size) {
        const char *key, *contents, *word;
        uint64_t number;
        char type;

        *text = '\0';
        assert_true(sd_bus_message_enter_container(message, 'a', "{sv}") > 0);
        while (sd_bus_message_enter_container(message, 'e', "sv") > 0) {
                size_t length = strlen(text);

                assert_true(sd_bus_message_read(message, "s", &key) > 0);
                assert_true(sd_bus_message_peek_type(message, &type, &contents) > 0);
                assert_true(sd_bus_message_enter_container(message, 'v', contents) > 0);
                if (*contents == 's') {
                        assert_true(sd_bus_message_read(message, "s", &word) > 0);
                        (void) snprintf(text + length, size - length, "%s=%s ", key, word);
                } else {
                        assert_true(sd_bus_message_read(message, "t", &number) > 0);
                        (void) snprintf(text + length, size - length, "%s=%llu ", key,
                                        (unsigned long long) number);
                }
                assert_true(sd_bus_message_exit_container(message) > 0);
                assert_true(sd_bus_message_exit_container(message) > 0);
        }
        assert_true(sd_bus_message_exit_container(message) > 0);
}

/* An object of GetManagedObjects says what sd-bus does of the same object. */
static void test_objects(void **state) {
        char alone[256], together[256];
        const char *path, *interface;
        Fixture *f = *state;

        assert_true(sd_bus_call_method_async(f->client, NULL, NULL, BUS_OBJECT_PATH "/vm/a",
                                             "org.freedesktop.DBus.Properties", "GetAll", on_reply, f, "s",
                                             "org.memtide.Vm1") >= 0);
        for (int i = 0; i < 200 && !f->reply; i++)
                assert_true(sd_event_run(f->event, 100 * USEC_PER_MSEC) >= 0);
        read_properties(f->reply, alone, sizeof(alone));

        call_objects(f);
        assert_true(sd_bus_message_enter_container(f->reply, 'a', "{oa{sa{sv}}}") > 0);
        assert_true(sd_bus_message_enter_container(f->reply, 'e', "oa{sa{sv}}") > 0);
        assert_true(sd_bus_message_read(f->reply, "o", &path) > 0);
        assert_string_equal(path, BUS_OBJECT_PATH "/vm/a");
        assert_true(sd_bus_message_enter_container(f->reply, 'a', "{sa{sv}}") > 0);
        while (sd_bus_message_enter_container(f->reply, 'e', "sa{sv}") > 0) {
                assert_true(sd_bus_message_read(f->reply, "s", &interface) > 0);
                read_properties(f->reply, together, sizeof(together));
                assert_true(sd_bus_message_exit_container(f->reply) > 0);
        }
        assert_string_equal(interface, "org.memtide.Vm1");
        assert_string_equal(together, alone);
        assert_non_null(strstr(together, "Name=a State=managed SizeBytes=536870912"));
        assert_true(sd_bus_message_exit_container(f->reply) > 0);
        assert_true(sd_bus_message_exit_container(f->reply) > 0);
        assert_true(sd_bus_message_skip(f->reply, "{oa{sa{sv}}}") > 0); /* the other VM */
        assert_true(sd_bus_message_at_end(f->reply, false) > 0);
}

/* Who hears that a VM has gone, and then that it is there, has it for good. */
static void test_objects_are_of_one_moment(void **state) {
        Fixture *f = *state;

        n_changes_per_look = 1;
        call_objects(f);
        assert_true(sd_bus_message_is_method_error(f->reply, SD_BUS_ERROR_LIMITS_EXCEEDED) > 0);
        n_changes_per_look = 0;
        call_objects(f);
        assert_false(sd_bus_message_is_method_error(f->reply, NULL));
        n_changes_per_look = 1;
        call(f, "ListVms", "", NULL, 0); /* as good as it can be */
        assert_int_equal(count_listed(f->reply), n_vms);
}

/* What goes over all VMs lets others go first. */
static void test_all_of_them_is_patient(void **state) {
        unsigned n_objects[2] = {0}, n_lacks[2] = {0};
        Fixture *f = *state;

        n_vms = 20;
        assert_true(sd_bus_call_method_async(f->client, NULL, NULL, BUS_OBJECT_PATH,
                                             "org.freedesktop.DBus.ObjectManager", "GetManagedObjects",
                                             on_listed, n_objects, NULL) >= 0);
        assert_true(sd_bus_call_method_async(f->client, NULL, NULL, BUS_OBJECT_PATH, BUS_INTERFACE,
                                             "Diagnose", on_listed, n_lacks, "s", "") >= 0);
        call(f, "GetVm", "s", "b", 0);
        assert_int_equal(n_objects[0] + n_objects[1] + n_lacks[0] + n_lacks[1], 0);
        for (int i = 0; i < 1000 && n_lacks[0] == 0; i++)
                assert_true(sd_event_run(f->event, 100 * USEC_PER_MSEC) >= 0);
        assert_int_equal(n_objects[0], 1);
        assert_int_equal(n_lacks[0], 1);

        call(f, "Diagnose", "s", "", 0);
        assert_int_equal(count_listed(f->reply), 20);
        call(f, "Diagnose", "s", "a", 0);
        assert_int_equal(count_listed(f->reply), 1);
}

static void test_no_such_vm(void **state) {
        Fixture *f = *state;

        call(f, "GetVm", "s", "nobody", 0);
        assert_true(sd_bus_message_is_method_error(f->reply, BUS_ERROR_NO_VM));
        call(f, "ListDecisions", "su", "nobody", 4);
        assert_true(sd_bus_message_is_method_error(f->reply, BUS_ERROR_NO_VM));
}

static void test_decisions(void **state) {
        Fixture *f = *state;
        Decision decision = {.id = 7, .vm = "a", .kind = DECISION_GROW, .confirmed_bytes = -5};
        int64_t confirmed;

        record_put(f->record, &decision);
        call(f, "ListDecisions", "su", "a", 4);
        assert_true(sd_bus_message_enter_container(f->reply, 'a', "a{sv}") > 0);
        assert_true(find_key(f->reply, "confirmed_bytes"));
        assert_true(sd_bus_message_read(f->reply, "v", "x", &confirmed) > 0);
        assert_int_equal(confirmed, -5);
}

static void test_only_the_owner_may_connect(void **state) {
        Fixture *f = *state;
        struct stat st;

        assert_int_equal(stat(f->path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_bridge, setup, teardown),
                cmocka_unit_test_setup_teardown(test_control, setup, teardown),
                cmocka_unit_test_setup_teardown(test_control_errors, setup, teardown),
                cmocka_unit_test_setup_teardown(test_signal, setup, teardown),
                cmocka_unit_test_setup_teardown(test_one_vm, setup, teardown),
                cmocka_unit_test_setup_teardown(test_lists_and_absent_values, setup, teardown),
                cmocka_unit_test_setup_teardown(test_all_vms, setup, teardown),
                cmocka_unit_test_setup_teardown(test_listing_is_patient, setup, teardown),
                cmocka_unit_test_setup_teardown(test_objects, setup, teardown),
                cmocka_unit_test_setup_teardown(test_objects_are_of_one_moment, setup, teardown),
                cmocka_unit_test_setup_teardown(test_all_of_them_is_patient, setup, teardown),
                cmocka_unit_test_setup_teardown(test_no_such_vm, setup, teardown),
                cmocka_unit_test_setup_teardown(test_decisions, setup, teardown),
                cmocka_unit_test_setup_teardown(test_only_the_owner_may_connect, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
