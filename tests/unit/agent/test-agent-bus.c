/* SPDX-License-Identifier: Apache-2.0 */

/* org.memtide.Agent1, asked and heard over a real connection in the same event loop. */

#include "agent/bus.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>

#include <cmocka.h>

#include "common/bus-agent.h"
#include "common/units.h"

typedef struct Fixture {
        sd_event *event;
        RootDir *root;
        Bus *bus;
        BusSource source;
        History history;
        sd_bus *client;
        char folder[64], path[96];
        sd_bus_message *reply;
        char member[32]; /* of the last signal */
        uint64_t bytes, id;
        unsigned n_signals;
} Fixture;

static void fill_status(Status *ret, void *userdata) {
        *ret = (Status){
                .session = STATUS_SESSION_OPEN,
                .capabilities = CAPABILITY_RECLAIM | CAPABILITY_BALLOON,
                .n_missing = 1,
                .missing = {{.facility = FACILITY_PSI, .error = ENOENT}},
                .report = {.need_bytes = -(int64_t) MIB, .usable_bytes = GIB, .urgency = URGENCY_HIGH},
                .ask = {.by = STATUS_ASKER_HOST, .why = "host", .balloon_target_bytes = UINT64_MAX},
        };
}

static int on_signal(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Fixture *f = userdata;
        uint8_t level;

        (void) snprintf(f->member, sizeof(f->member), "%s", sd_bus_message_get_member(message));
        if (sd_bus_message_has_signature(message, "yt")) {
                assert_true(sd_bus_message_read(message, "yt", &level, &f->bytes) > 0);
                f->id = level;
        } else {
                assert_true(sd_bus_message_read(message, "tt", &f->bytes, &f->id) > 0);
        }
        f->n_signals++;
        return 0;
}

static void connect_client(Fixture *f) {
        char address[128];

        (void) snprintf(address, sizeof(address), "unix:path=%s", f->path);
        assert_int_equal(sd_bus_new(&f->client), 0);
        assert_true(sd_bus_set_address(f->client, address) >= 0);
        assert_true(sd_bus_start(f->client) >= 0);
        assert_true(sd_bus_attach_event(f->client, f->event, 0) >= 0);
        assert_true(sd_bus_match_signal(f->client, NULL, NULL, AGENT_BUS_PATH, AGENT_BUS_INTERFACE, NULL,
                                        on_signal, f) >= 0);
}

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));
        int socket_error = -1;
        char run[96];

        (void) strcpy(f->folder, "/tmp/test-agent-bus-XXXXXX");
        assert_non_null(mkdtemp(f->folder));
        (void) snprintf(run, sizeof(run), "%s/run", f->folder);
        assert_int_equal(mkdir(run, 0755), 0);
        (void) snprintf(f->path, sizeof(f->path), "%s/%s", f->folder, BUS_SOCKET);
        assert_int_equal(rootdir_new(f->folder, &f->root), 0);
        assert_int_equal(sd_event_new(&f->event), 0);
        f->source = (BusSource){.status = fill_status, .history = &f->history};
        assert_int_equal(bus_new(f->event, f->root, &f->source, f, &f->bus, &socket_error), 0);
        assert_int_equal(socket_error, 0);
        connect_client(f);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;
        char folder[96];

        sd_bus_message_unref(f->reply);
        sd_bus_close_unref(f->client);
        bus_free(f->bus);
        assert_int_equal(access(f->path, F_OK), -1);
        rootdir_free(f->root);
        sd_event_unref(f->event);
        (void) snprintf(folder, sizeof(folder), "%s/run/memtide", f->folder);
        assert_int_equal(rmdir(folder), 0);
        (void) snprintf(folder, sizeof(folder), "%s/run", f->folder);
        assert_int_equal(rmdir(folder), 0);
        assert_int_equal(rmdir(f->folder), 0);
        free(f);
        return 0;
}

static int on_reply(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        ((Fixture *) userdata)->reply = sd_bus_message_ref(message);
        return 0;
}

static void call(Fixture *f, const char *method, const char *types, uint32_t most) {
        f->reply = sd_bus_message_unref(f->reply);
        assert_true(sd_bus_call_method_async(f->client, NULL, NULL, AGENT_BUS_PATH, AGENT_BUS_INTERFACE,
                                             method, on_reply, f, types, most) >= 0);
        for (int i = 0; i < 200 && !f->reply; i++)
                assert_true(sd_event_run(f->event, 100 * USEC_PER_MSEC) >= 0);
        assert_non_null(f->reply);
        assert_false(sd_bus_message_is_method_error(f->reply, NULL));
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

static void assert_text(Fixture *f, const char *key, const char *expected) {
        const char *text;

        call(f, "GetStatus", "", 0);
        assert_true(find_key(f->reply, key));
        assert_true(sd_bus_message_read(f->reply, "v", "s", &text) > 0);
        assert_string_equal(text, expected);
}

static void test_status(void **state) {
        Fixture *f = *state;
        const char *first, *second;
        int64_t need;

        assert_text(f, "session", "open");
        assert_text(f, "urgency", "high");
        assert_text(f, "asked_by", "host");
        assert_text(f, "asked_why", "host");
        assert_text(f, "agent_version", MEMTIDE_VERSION);

        call(f, "GetStatus", "", 0);
        assert_true(find_key(f->reply, "need_bytes"));
        assert_true(sd_bus_message_read(f->reply, "v", "x", &need) > 0);
        assert_int_equal(need, -(int64_t) MIB);

        call(f, "GetStatus", "", 0);
        assert_true(find_key(f->reply, "capabilities"));
        assert_true(sd_bus_message_read(f->reply, "v", "as", 2, &first, &second) > 0);
        assert_string_equal(second, "balloon");

        call(f, "GetStatus", "", 0);
        assert_true(find_key(f->reply, "missing"));
        assert_true(sd_bus_message_read(f->reply, "v", "as", 1, &first) > 0);
        assert_string_equal(first, "psi (ENOENT)");

        call(f, "GetStatus", "", 0);
        assert_false(find_key(f->reply, "balloon_target_bytes")); /* nobody said it */
}

static void test_events(void **state) {
        Fixture *f = *state;
        HistoryEntry entry = {.kind = HISTORY_ALARM, .reason = "predict"};
        const char *what;
        unsigned n = 0;

        for (; entry.id < 3; entry.id++)
                history_put(&f->history, &entry);
        call(f, "ListEvents", "u", 2);
        assert_true(sd_bus_message_enter_container(f->reply, 'a', "a{sv}") > 0);
        for (; sd_bus_message_at_end(f->reply, false) == 0; n++)
                assert_true(sd_bus_message_skip(f->reply, "a{sv}") > 0);
        assert_int_equal(n, 2);

        call(f, "ListEvents", "u", 1);
        assert_true(sd_bus_message_enter_container(f->reply, 'a', "a{sv}") > 0);
        assert_true(find_key(f->reply, "what"));
        assert_true(sd_bus_message_read(f->reply, "v", "s", &what) > 0);
        assert_string_equal(what, "alarm");
}

static void wait_for_signals(Fixture *f, unsigned n) {
        for (int i = 0; i < 50 && f->n_signals < n; i++)
                assert_true(sd_event_run(f->event, 10 * USEC_PER_MSEC) >= 0);
        assert_int_equal(f->n_signals, n);
}

static void test_signals(void **state) {
        Fixture *f = *state;

        call(f, "ListEvents", "u", 0); /* so that both sides are ready */
        bus_shrink_prepare(f->bus, 64 * MIB, 9);
        wait_for_signals(f, 1);
        assert_string_equal(f->member, "ShrinkPrepare");
        assert_int_equal(f->bytes, 64 * MIB);
        assert_int_equal(f->id, 9);

        bus_grown(f->bus, 1, 1);
        bus_grown(f->bus, 128 * MIB, 10); /* nobody was told yet: the latest wins */
        wait_for_signals(f, 2);
        assert_string_equal(f->member, "Grown");
        assert_int_equal(f->bytes, 128 * MIB);

        bus_low_memory(f->bus, URGENCY_CRITICAL, 3 * MIB);
        wait_for_signals(f, 3);
        assert_string_equal(f->member, "LowMemory");
        assert_int_equal(f->bytes, 3 * MIB);
        assert_int_equal(f->id, 255);
}

static void test_without_a_folder_it_works_on(void **state) {
        RootDir *root = NULL;
        sd_event *event = NULL;
        History history = {};
        BusSource source = {.status = fill_status, .history = &history};
        char folder[] = "/tmp/test-agent-bus-XXXXXX";
        int socket_error = 0;
        Bus *bus = NULL;

        assert_non_null(mkdtemp(folder));
        assert_int_equal(rootdir_new(folder, &root), 0);
        assert_int_equal(sd_event_new(&event), 0);
        assert_int_equal(bus_new(event, root, &source, NULL, &bus, &socket_error), 0);
        assert_int_equal(socket_error, -ENOENT);
        bus_grown(bus, 1, 1);
        for (int i = 0; i < 3; i++)
                assert_true(sd_event_run(event, 10 * USEC_PER_MSEC) >= 0);
        bus_free(bus);
        sd_event_unref(event);
        rootdir_free(root);
        assert_int_equal(rmdir(folder), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_status, setup, teardown),
                cmocka_unit_test_setup_teardown(test_events, setup, teardown),
                cmocka_unit_test_setup_teardown(test_signals, setup, teardown),
                cmocka_unit_test(test_without_a_folder_it_works_on),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
