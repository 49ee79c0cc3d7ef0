/* SPDX-License-Identifier: Apache-2.0 */

/* QMP as text (scanner, parser) and as a connection (client). */

#include "world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/crowd.h"
#include "common/units.h"
#include "host-bridge/vmm/qmp-message.h"
#include "host-bridge/vmm/qmp.h"

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}\r\n"

/* -- scanner --------------------------------------------------------------------------------------- */

/* Feeds text in pieces of size step; returns the number of objects or the error, and the sizes' sum. */
static int scan(const char *text, size_t n, size_t step, size_t *ret_bytes) {
        QmpScanner scanner = {};
        int n_objects = 0, r = 0;

        *ret_bytes = 0;
        for (size_t at = 0; at < n && r >= 0; at += step) {
                const uint8_t *data = (const uint8_t *) text + at;
                size_t size = n - at < step ? n - at : step, object_size;
                const char *object;

                while (size > 0 && r >= 0) {
                        r = qmp_scanner_next(&scanner, &data, &size, &object, &object_size);
                        if (r == 1) {
                                n_objects++;
                                *ret_bytes += object_size;
                                assert_int_equal(object[0], '{');
                                assert_int_equal(object[object_size - 1], '}');
                        }
                }
        }
        qmp_scanner_done(&scanner);
        return r < 0 ? r : n_objects;
}

static void test_scanner(void **state) {
        static const struct {
                const char *text;
                int expected;
        } cases[] = {
                {"", 0},
                {" \r\n\t", 0},
                {"{}", 1},
                {"{}\r\n{}\r\n", 2},
                {"{}{}{}", 3},
                {"{\"a\": {\"b\": [1, {\"c\": 2}]}}\n", 1},
                {"{\"a\": \"}{\"}", 1},
                {"{\"a\": \"\\\"}\"}", 1},
                {"{\"a\": \"\\\\\"}{}", 2},
                {"{\n  \"a\": 1\n}\n", 1},
                {"{\"half\": ", 0},
                {"[]", -EBADMSG},
                {"null", -EBADMSG},
                {"{} x", -EBADMSG},
                {"\xff\xfe{}", -EBADMSG},
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                for (size_t step = 1; step <= strlen(cases[i].text) + 1; step++) {
                        size_t bytes;
                        int r = scan(cases[i].text, strlen(cases[i].text), step, &bytes);

                        if (r != cases[i].expected)
                                fail_msg("\"%s\" by %zu: %d, expected %d", cases[i].text, step, r,
                                         cases[i].expected);
                }
}

static void test_scanner_bounds(void **state) {
        char *text = malloc(2 * QMP_MESSAGE_MAX);
        size_t bytes;

        assert_non_null(text);
        memset(text, '[', 2 * QMP_MESSAGE_MAX);
        text[0] = '{';
        assert_int_equal(scan(text, QMP_DEPTH_MAX, 7, &bytes), 0);
        assert_int_equal(scan(text, QMP_DEPTH_MAX + 1, 7, &bytes), -ELOOP);

        memset(text, 'a', 2 * QMP_MESSAGE_MAX);
        memcpy(text, "{\"", 2);
        memcpy(text + QMP_MESSAGE_MAX - 2, "\"}", 2);
        assert_int_equal(scan(text, QMP_MESSAGE_MAX, 65536, &bytes), 1);
        assert_int_equal(bytes, QMP_MESSAGE_MAX);
        memcpy(text + QMP_MESSAGE_MAX - 2, "aa", 2);
        assert_int_equal(scan(text, 2 * QMP_MESSAGE_MAX, 65536, &bytes), -EMSGSIZE);
        free(text);
}

/* -- parser ---------------------------------------------------------------------------------------- */

static void test_parse(void **state) {
        static const struct {
                const char *text;
                int r;
                QmpMessageKind kind;
                bool has_id;
                uint64_t id;
                const char *name;
        } cases[] = {
                {"{\"QMP\": {}}", 0, QMP_MESSAGE_GREETING, false, 0, NULL},
                {"{\"return\": {}, \"id\": 7}", 0, QMP_MESSAGE_RETURN, true, 7, NULL},
                {"{\"return\": [], \"id\": 7, \"new\": 1}", 0, QMP_MESSAGE_RETURN, true, 7, NULL},
                {"{\"return\": {}}", 0, QMP_MESSAGE_RETURN, false, 0, NULL},
                {"{\"return\": {}, \"id\": -1}", 0, QMP_MESSAGE_RETURN, false, 0, NULL},
                {"{\"return\": {}, \"id\": \"7\"}", 0, QMP_MESSAGE_RETURN, false, 0, NULL},
                {"{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}, \"id\": 1}", 0,
                 QMP_MESSAGE_ERROR, true, 1, "GenericError"},
                {"{\"error\": {}}", 0, QMP_MESSAGE_ERROR, false, 0, NULL},
                {"{\"error\": 1}", 0, QMP_MESSAGE_OTHER, false, 0, NULL},
                {"{\"event\": \"RESET\", \"data\": {\"guest\": true}}", 0, QMP_MESSAGE_EVENT, false, 0,
                 "RESET"},
                {"{\"event\": \"STOP\"}", 0, QMP_MESSAGE_EVENT, false, 0, "STOP"},
                {"{\"event\": 5}", 0, QMP_MESSAGE_OTHER, false, 0, NULL},
                {"{\"what\": 5}", 0, QMP_MESSAGE_OTHER, false, 0, NULL},
                {"{\"id\": 1, \"id\": 2}", -EBADMSG, 0, false, 0, NULL},
                {"{\"return\": 1e400}", -EBADMSG, 0, false, 0, NULL},
                {"{\"return\": 99999999999999999999}", -EBADMSG, 0, false, 0, NULL},
                {"{\"a\": \"\\u0000\"}", -EBADMSG, 0, false, 0, NULL},
                {"{\"a\": \"\\ud800\"}", -EBADMSG, 0, false, 0, NULL},
                {"{\"a\": \"\xff\"}", -EBADMSG, 0, false, 0, NULL},
                {"{a: 1}", -EBADMSG, 0, false, 0, NULL},
                {"{]", -EBADMSG, 0, false, 0, NULL},
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                QmpMessage message = {};
                int r = qmp_message_parse(cases[i].text, strlen(cases[i].text), &message);

                if (r != cases[i].r || message.kind != cases[i].kind || message.has_id != cases[i].has_id ||
                    message.id != cases[i].id || !message.name != !cases[i].name ||
                    (message.name && strcmp(message.name, cases[i].name) != 0))
                        fail_msg("%s: r %d, kind %d", cases[i].text, r, (int) message.kind);
                qmp_message_done(&message);
        }
}

/* -- client ---------------------------------------------------------------------------------------- */

typedef struct Client {
        World world;
        Peer server;
        Qmp *qmp;
        char received[8192]; /* by the server */
        unsigned n_ready, n_events, n_closed, n_replies, n_errors;
        int error;
        uint64_t cookie;
        bool free_when_ready, free_when_replied;
} Client;

static void on_server_bytes(Peer *peer, const uint8_t *data, size_t size) {
        Client *client = peer->userdata;

        strncat(client->received, (const char *) data, size);
}

static void on_signal(Qmp *qmp, const QmpSignal *signal, void *userdata) {
        Client *client = userdata;

        client->n_ready += signal->kind == QMP_READY;
        client->n_events += signal->kind == QMP_EVENT;
        client->n_closed += signal->kind == QMP_CLOSED;
        client->error = signal->error;
        if (signal->kind == QMP_CLOSED || (signal->kind == QMP_READY && client->free_when_ready))
                client->qmp = qmp_free(client->qmp);
}

static void on_reply(Qmp *qmp, const QmpReply *reply, void *userdata) {
        Client *client = userdata;

        client->n_replies += !!reply->value;
        client->n_errors += !reply->value;
        client->cookie = reply->cookie;
        if (client->free_when_replied)
                client->qmp = qmp_free(client->qmp);
}

static int client_setup(void **state) {
        Client *client = calloc(1, sizeof(*client));

        assert_non_null(client);
        world_init(&client->world);
        client->server = (Peer){.on_bytes = on_server_bytes, .userdata = client};
        peer_init(&client->server, &client->world, "qmp");
        assert_int_equal(qmp_new(client->world.event, client->server.path,
                                 &(QmpOptions){.handshake_timeout_usec = 200 * USEC_PER_MSEC,
                                               .reply_timeout_usec = 200 * USEC_PER_MSEC},
                                 on_signal, client, &client->qmp),
                         0);
        *state = client;
        return 0;
}

static int client_teardown(void **state) {
        Client *client = *state;

        (void) qmp_free(client->qmp);
        peer_done(&client->server);
        world_done(&client->world);
        free(client);
        return 0;
}

static bool server_has_client(void *userdata) {
        return ((Client *) userdata)->server.stream != NULL;
}

static bool server_was_asked(void *userdata) {
        return strchr(((Client *) userdata)->received, '\n') != NULL;
}

static bool is_ready(void *userdata) {
        return ((Client *) userdata)->n_ready > 0;
}

static bool is_closed(void *userdata) {
        return ((Client *) userdata)->n_closed > 0;
}

static bool is_answered(void *userdata) {
        return ((Client *) userdata)->n_replies + ((Client *) userdata)->n_errors > 0;
}

static void say(Client *client, const char *text) {
        peer_write(&client->server, text, strlen(text));
}

static void make_ready(Client *client) {
        assert_true(world_run(&client->world, server_has_client, client, 2000));
        say(client, GREETING);
        assert_true(world_run(&client->world, server_was_asked, client, 2000));
        assert_non_null(strstr(client->received, "\"qmp_capabilities\""));
        client->received[0] = '\0';
        say(client, "{\"return\": {}, \"id\": 1}\r\n");
        assert_true(world_run(&client->world, is_ready, client, 2000));
        assert_int_equal(client->n_ready, 1);
}

static void test_command(void **state) {
        Client *client = *state;

        assert_int_equal(qmp_execute(client->qmp, "x", json_object(), 0, on_reply), -ENOTCONN);
        make_ready(client);
        assert_int_equal(qmp_execute(client->qmp, "qom-set", json_pack("{s:i}", "value", 5), 77, on_reply),
                         0);
        assert_true(world_run(&client->world, server_was_asked, client, 2000));
        assert_string_equal(client->received,
                            "{\"execute\":\"qom-set\",\"arguments\":{\"value\":5},\"id\":2}\n");

        /* An event before its reply, a reply to nobody, then the reply. */
        say(client, "{\"event\": \"X\", \"data\": {}}\r\n{\"return\": {}, \"id\": 999}\r\n"
                    "{\"return\": {}}\r\n{\"return\": {}, \"id\": 2}\r\n{\"return\": {}, \"id\": 2}\r\n");
        assert_true(world_run(&client->world, is_answered, client, 2000));
        assert_int_equal(client->n_events, 1);
        assert_int_equal(client->n_replies, 1);
        assert_int_equal(client->cookie, 77);
        world_idle(&client->world, 10);
        assert_int_equal(client->n_replies, 1);
        assert_int_equal(qmp_n_strays(client->qmp), 3);
        assert_int_equal(client->n_closed, 0);
}

static void test_error_reply(void **state) {
        Client *client = *state;

        make_ready(client);
        assert_int_equal(qmp_execute(client->qmp, "balloon", NULL, 5, on_reply), 0);
        say(client, "{\"error\": {\"class\": \"DeviceNotActive\", \"desc\": \"no\"}, \"id\": 2}\r\n");
        assert_true(world_run(&client->world, is_answered, client, 2000));
        assert_int_equal(client->n_errors, 1);
        assert_int_equal(client->n_closed, 0);
}

static void test_no_greeting(void **state) {
        Client *client = *state;

        assert_true(world_run(&client->world, is_closed, client, 2000));
        assert_int_equal(client->error, -ETIMEDOUT);
}

static void test_late_reply(void **state) {
        Client *client = *state;

        make_ready(client);
        assert_int_equal(qmp_execute(client->qmp, "query-status", NULL, 5, on_reply), 0);
        assert_true(world_run(&client->world, is_closed, client, 2000));
        assert_int_equal(client->error, -ETIMEDOUT);
        assert_int_equal(client->n_replies + client->n_errors, 0);
}

static void test_nonsense(void **state) {
        Client *client = *state;

        make_ready(client);
        say(client, "hello\r\n");
        assert_true(world_run(&client->world, is_closed, client, 2000));
        assert_int_equal(client->error, -EBADMSG);
}

static void test_hang_up(void **state) {
        Client *client = *state;

        make_ready(client);
        peer_hang_up(&client->server);
        assert_true(world_run(&client->world, is_closed, client, 2000));
        assert_int_equal(client->error, -ECONNRESET);
}

static void test_too_many_commands(void **state) {
        Client *client = *state;

        make_ready(client);
        for (unsigned i = 0; i < QMP_PENDING_MAX; i++)
                assert_int_equal(qmp_execute(client->qmp, "x", NULL, i, on_reply), 0);
        assert_int_equal(qmp_execute(client->qmp, "x", json_object(), 99, on_reply), -EBUSY);
}

/* As a reading needs it: a part of the queries would make a half reading. */
static void test_all_or_none(void **state) {
        static const QmpCommand commands[] = {{.name = "x", .cookie = 1}, {.name = "y", .cookie = 2}};
        Client *client = *state;

        assert_int_equal(qmp_execute_all(client->qmp, commands, 2, on_reply), -ENOTCONN);
        make_ready(client);
        for (unsigned i = 0; i < QMP_PENDING_MAX - 1; i++)
                assert_int_equal(qmp_execute(client->qmp, "z", NULL, 9, on_reply), 0);
        assert_int_equal(qmp_execute_all(client->qmp, commands, 2, on_reply), -EBUSY);
        say(client, "{\"return\": {}, \"id\": 2}");
        assert_true(world_run(&client->world, is_answered, client, 2000));
        client->received[0] = '\0';
        assert_int_equal(qmp_execute_all(client->qmp, commands, 2, on_reply), 0);
        assert_true(world_run(&client->world, server_was_asked, client, 2000));
        assert_string_equal(client->received,
                            "{\"execute\":\"x\",\"id\":17}\n{\"execute\":\"y\",\"id\":18}\n");
}

/* More sockets that are always ready than the loop serves in a turn: a deadline comes before an answer that lies there. */
#define N_BUSY 200U

typedef struct Busy {
        CrowdMember members[N_BUSY];
} Busy;

static void on_busy(uint32_t revents, void *userdata) {
}

static void busy_begin(Busy *busy, World *world) {
        for (unsigned i = 0; i < N_BUSY; i++) {
                int fd = eventfd(1, EFD_CLOEXEC);

                assert_true(fd >= 0);
                assert_int_equal(crowd_join(world->event, fd, on_busy, NULL, &busy->members[i]), 0);
                assert_int_equal(crowd_watch(&busy->members[i], EPOLLIN), 0);
        }
        world_idle(world, 5); /* the kernel's list then begins with them */
}

static void busy_end(Busy *busy) {
        for (unsigned i = 0; i < N_BUSY; i++) {
                crowd_leave(&busy->members[i]);
                assert_int_equal(close(busy->members[i].fd), 0);
        }
}

static void stand_still(void) {
        (void) nanosleep(&(struct timespec){.tv_nsec = 250 * 1000 * 1000}, NULL);
}

/* The loop did not look for longer than the monitor has: the answer was there in time. */
static void test_late_loop(void **state) {
        Client *client = *state;
        Busy busy;

        make_ready(client);
        assert_int_equal(qmp_execute(client->qmp, "x", NULL, 5, on_reply), 0);
        busy_begin(&busy, &client->world);
        say(client, "{\"return\": {}, \"id\": 2}");
        stand_still();
        assert_true(world_run(&client->world, is_answered, client, 2000));
        busy_end(&busy);
        assert_int_equal(client->n_replies, 1);
        assert_int_equal(client->n_closed, 0);
}

/* That holds once: who talks without answering is late all the same. */
static void test_late_babbler(void **state) {
        Client *client = *state;
        Busy busy;

        make_ready(client);
        assert_int_equal(qmp_execute(client->qmp, "x", NULL, 5, on_reply), 0);
        busy_begin(&busy, &client->world);
        for (unsigned i = 0; i < 3 && client->n_closed == 0; i++) {
                say(client, "{\"event\": \"X\"}");
                stand_still();
                world_idle(&client->world, 2);
        }
        busy_end(&busy);
        assert_int_equal(client->n_closed, 1);
        assert_int_equal(client->error, -ETIMEDOUT);
        assert_true(client->n_events > 0); /* it was given its time */
}

/* Freed in its own handlers, with more bytes still to be looked at. */
static void test_freed_inside(void **state) {
        Client *client = *state;

        client->free_when_ready = true;
        assert_true(world_run(&client->world, server_has_client, client, 2000));
        say(client, GREETING "{\"return\": {}, \"id\": 1}{\"event\": \"X\"}{\"event\": \"Y\"}");
        assert_true(world_run(&client->world, is_ready, client, 2000));
        world_idle(&client->world, 10);
        assert_null(client->qmp);
        assert_int_equal(client->n_events, 0);
}

static void test_freed_in_reply(void **state) {
        Client *client = *state;

        make_ready(client);
        client->free_when_replied = true;
        assert_int_equal(qmp_execute(client->qmp, "x", NULL, 1, on_reply), 0);
        say(client, "{\"return\": {}, \"id\": 2}{\"event\": \"X\"}");
        assert_true(world_run(&client->world, is_answered, client, 2000));
        world_idle(&client->world, 10);
        assert_int_equal(client->n_events, 0);
}

#define client_test(f) cmocka_unit_test_setup_teardown(f, client_setup, client_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_scanner), cmocka_unit_test(test_scanner_bounds),
                cmocka_unit_test(test_parse),   client_test(test_command),
                client_test(test_error_reply),  client_test(test_no_greeting),
                client_test(test_late_reply),   client_test(test_nonsense),
                client_test(test_hang_up),      client_test(test_too_many_commands),
                client_test(test_freed_inside), client_test(test_freed_in_reply),
                client_test(test_all_or_none),  client_test(test_late_loop),
                client_test(test_late_babbler),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
