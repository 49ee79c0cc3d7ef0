/* SPDX-License-Identifier: Apache-2.0 */

/* The server without a bus: signals to all, and what it does about a second server and about a deaf client. */

#include "common/bus-server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "common/units.h"

#define OBJECT_PATH "/org/memtide/Test1"
#define INTERFACE   "org.memtide.Test1"

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_SIGNAL("Moved", "ts", 0),
        SD_BUS_VTABLE_END,
};
static const BusObject object = {.path = OBJECT_PATH, .interface = INTERFACE, .vtable = vtable};

typedef struct Fixture {
        sd_event *event;
        BusServer *server;
        char folder[64], path[96];
        unsigned n_signals;
        uint64_t value;
        bool gone;
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        (void) strcpy(f->folder, "/tmp/test-server-XXXXXX");
        assert_non_null(mkdtemp(f->folder));
        (void) snprintf(f->path, sizeof(f->path), "%s/socket", f->folder);
        assert_int_equal(sd_event_new(&f->event), 0);
        assert_int_equal(bus_server_new(f->event, f->path, &object, &f->server), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        bus_server_free(f->server);
        assert_int_equal(access(f->path, F_OK), -1);
        sd_event_unref(f->event);
        assert_int_equal(rmdir(f->folder), 0);
        free(f);
        return 0;
}

static int on_moved(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Fixture *f = userdata;

        assert_true(sd_bus_message_read(message, "ts", &f->value, NULL) > 0);
        f->n_signals++;
        return 0;
}

static int on_gone(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        ((Fixture *) userdata)->gone = true;
        return 0;
}

static sd_bus *connect_client(Fixture *f) {
        sd_bus *bus = NULL;
        char address[128];

        (void) snprintf(address, sizeof(address), "unix:path=%s", f->path);
        assert_int_equal(sd_bus_new(&bus), 0);
        assert_true(sd_bus_set_address(bus, address) >= 0);
        assert_true(sd_bus_start(bus) >= 0);
        assert_true(sd_bus_attach_event(bus, f->event, 0) >= 0);
        assert_true(sd_bus_match_signal(bus, NULL, NULL, OBJECT_PATH, INTERFACE, "Moved", on_moved, f) >= 0);
        assert_true(sd_bus_match_signal(bus, NULL, NULL, "/org/freedesktop/DBus/Local",
                                        "org.freedesktop.DBus.Local", "Disconnected", on_gone, f) >= 0);
        for (int i = 0; i < 200 && sd_bus_is_ready(bus) <= 0; i++)
                assert_true(sd_event_run(f->event, 10 * USEC_PER_MSEC) >= 0);
        assert_true(sd_bus_is_ready(bus) > 0);
        /* The server's side has its own last line of the handshake to read. */
        for (int i = 0; i < 5; i++)
                assert_true(sd_event_run(f->event, USEC_PER_MSEC) >= 0);
        return bus;
}

static void test_signals_reach_every_client(void **state) {
        Fixture *f = *state;
        sd_bus *one, *two;

        bus_server_emit(f->server, "Moved", "ts", UINT64_C(1), "to nobody");
        one = connect_client(f);
        two = connect_client(f);
        bus_server_emit(f->server, "Moved", "ts", UINT64_C(7), "to both");
        for (int i = 0; i < 100 && f->n_signals < 2; i++)
                assert_true(sd_event_run(f->event, 10 * USEC_PER_MSEC) >= 0);
        assert_int_equal(f->n_signals, 2);
        assert_int_equal(f->value, 7);
        sd_bus_close_unref(one);
        sd_bus_close_unref(two);
}

static void test_a_deaf_client_is_sent_away(void **state) {
        static char text[128 * KIB];
        Fixture *f = *state;
        sd_bus *bus = connect_client(f);

        (void) memset(text, 'x', sizeof(text) - 1);
        /* Nobody reads meanwhile: the socket takes 8 MiB, 64 wait, and then it is enough. */
        for (int i = 0; i < 200; i++)
                bus_server_emit(f->server, "Moved", "ts", (uint64_t) i, text);
        for (int i = 0; i < 200 && !f->gone; i++)
                assert_true(sd_event_run(f->event, 10 * USEC_PER_MSEC) >= 0);
        assert_true(f->gone);
        assert_true(f->n_signals < 200);
        sd_bus_close_unref(bus);
}

static void test_one_server_at_a_path(void **state) {
        Fixture *f = *state;
        BusServer *second = NULL;

        assert_int_equal(bus_server_new(f->event, f->path, &object, &second), -EADDRINUSE);
        assert_null(second);
        assert_int_equal(access(f->path, F_OK), 0); /* and the first one keeps its own */
}

static void test_a_stale_socket_is_replaced(void **state) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        Fixture *f = *state;
        BusServer *second = NULL;
        int fd;

        bus_server_free(TAKE_PTR(f->server));
        (void) strcpy(address.sun_path, f->path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(close(fd), 0);
        assert_int_equal(bus_server_new(f->event, f->path, &object, &second), 0);
        bus_server_free(second);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_signals_reach_every_client, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_deaf_client_is_sent_away, setup, teardown),
                cmocka_unit_test_setup_teardown(test_one_server_at_a_path, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_stale_socket_is_replaced, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
