/* SPDX-License-Identifier: Apache-2.0 */

/* Scrapes over more VMs than one slice holds: who waits for the text, and what changes while it is made. */

#include "world.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/units.h"
#include "host-bridge/surfaces/http.h"
#include "host-bridge/surfaces/scrape.h"

#define VMS     3000U
#define CLIENTS 3U

typedef struct Client {
        int fd;
        char *text; /* NUL-terminated */
        size_t n;
        bool ended;
} Client;

typedef struct Fixture {
        World world;
        SnapshotSource source;
        size_t n_vms, n_read;
        useconds_t usec_per_vm;
        uint64_t n_changes;
        MetricsResizes resizes;
        int listener;
        struct sockaddr_in address;
        Client clients[CLIENTS];
} Fixture;

static void source_bridge(void *userdata, BridgeSnapshot *ret) {
        const Fixture *f = userdata;

        *ret = (BridgeSnapshot){.n_vms = f->n_vms, .n_changes = f->n_changes, .version = "1"};
}

static bool source_vm_at(void *userdata, size_t index, VmSnapshot *ret) {
        Fixture *f = userdata;

        if (index >= f->n_vms)
                return false;
        f->n_read++;
        (void) usleep(f->usec_per_vm);
        *ret = (VmSnapshot){.frames_ok = index + 1};
        (void) snprintf(ret->name, sizeof(ret->name), "vm%zu", index);
        return true;
}

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));
        socklen_t size = sizeof(f->address);

        assert_non_null(f);
        world_init(&f->world);
        f->n_vms = VMS;
        f->source = (SnapshotSource){.userdata = f, .bridge = source_bridge, .vm_at = source_vm_at};
        f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        f->address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        assert_int_equal(bind(f->listener, (struct sockaddr *) &f->address, size), 0);
        assert_int_equal(listen(f->listener, 4), 0);
        assert_int_equal(getsockname(f->listener, (struct sockaddr *) &f->address, &size), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        for (unsigned i = 0; i < CLIENTS; i++) {
                if (f->clients[i].fd > 0)
                        (void) close(f->clients[i].fd);
                free(f->clients[i].text);
        }
        world_done(&f->world);
        free(f);
        return 0;
}

static void ask(Fixture *f) {
        static const char request[] = "GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

        for (unsigned i = 0; i < CLIENTS; i++) {
                Client *client = &f->clients[i];

                client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
                assert_int_equal(connect(client->fd, (struct sockaddr *) &f->address, sizeof(f->address)), 0);
                assert_int_equal(send(client->fd, request, strlen(request), 0), strlen(request));
                client->text = calloc(1, 4 * MIB);
                assert_non_null(client->text);
        }
}

static bool all_have_ended(Fixture *f) {
        bool ended = true;

        for (unsigned i = 0; i < CLIENTS; i++) {
                Client *client = &f->clients[i];
                ssize_t n = recv(client->fd, client->text + client->n, 4 * MIB - 1 - client->n, MSG_DONTWAIT);

                client->n += n > 0 ? (size_t) n : 0;
                client->ended = client->ended || n == 0;
                ended = ended && client->ended;
        }
        return ended;
}

/* Up to the first slice of the text that all have asked for. */
static Http *begin(Fixture *f) {
        Http *http = NULL;

        assert_int_equal(http_new(f->world.event, &(HttpAddress){.family = AF_INET}, f->listener, &f->source,
                                  &f->resizes, &http),
                         0);
        ask(f);
        while (f->n_read == 0)
                assert_true(sd_event_run(f->world.event, UINT64_MAX) >= 0);
        return http;
}

/* One text is made for all, in many slices, and each gets the whole of it. */
static void test_clients_wait(void **state) {
        _cleanup_(http_freep) Http *http = NULL;
        Fixture *f = *state;
        char line[128];

        http = begin(f);
        assert_true(f->n_read < VMS); /* a slice of it, and nobody has an answer */
        assert_false(all_have_ended(f));
        assert_int_equal(f->clients[0].n, 0);

        for (unsigned i = 0; i < 5000 && !all_have_ended(f); i++) /* they must read, or nobody writes */
                world_idle(&f->world, 1);
        assert_true(all_have_ended(f));
        assert_int_equal(f->n_read, VMS);
        for (unsigned i = 0; i < CLIENTS; i++) {
                assert_int_equal(strncmp(f->clients[i].text, "HTTP/1.1 200", 12), 0);
                for (unsigned vm = 0; vm < VMS; vm++) {
                        (void) snprintf(line, sizeof(line), "\nmemtide_reports_total{vm=\"vm%u\"} %u\n", vm,
                                        vm + 1);
                        if (vm % 100 == 0 && !strstr(f->clients[i].text, line))
                                fail_msg("client %u: no line %s", i, line);
                }
        }
}

/* The loop stands still in the moment in which the text is there and nobody has it yet, for longer than it is fresh. */
static void test_text_is_kept_for_those_who_waited(void **state) {
        _cleanup_(http_freep) Http *http = NULL;
        Fixture *f = *state;

        f->n_vms = 64; /* made within milliseconds, so that it is not fresh for long */
        f->usec_per_vm = 100;
        http = begin(f);
        assert_true(f->n_read < f->n_vms);
        while (f->n_read < f->n_vms)
                assert_true(sd_event_run(f->world.event, 0) >= 0);
        for (unsigned i = 0; i < 4; i++) {
                (void) usleep(700 * 1000);
                assert_true(sd_event_run(f->world.event, 0) >= 0);
        }
        for (unsigned i = 0; i < 5000 && !all_have_ended(f); i++)
                world_idle(&f->world, 1);
        for (unsigned i = 0; i < CLIENTS; i++)
                assert_int_equal(strncmp(f->clients[i].text, "HTTP/1.1 200", 12), 0);
        assert_int_equal(f->n_read, f->n_vms);
}

/* The end of the bridge is that of who waits. */
static void test_end_while_they_wait(void **state) {
        Fixture *f = *state;

        (void) http_free(begin(f));
        assert_true(all_have_ended(f));
        assert_true(strncmp(f->clients[0].text, "HTTP/1.1 200", 12) != 0);
}

/* Nobody is passed over, or its totals would be forgotten; and it comes to an end all the same. */
static void test_vms_come_and_go_meanwhile(void **state) {
        _cleanup_(metrics_totals_freep) MetricsTotals *totals = NULL;
        _cleanup_(scrape_freep) Scrape *scrape = NULL;
        Fixture *f = *state;
        unsigned n = 0;

        (void) close(f->listener);
        assert_int_equal(metrics_totals_new(&totals), 0);
        assert_int_equal(scrape_new(&f->source, &f->resizes, totals, MIB * 16, &scrape), 0);
        while (f->n_read < VMS / 2)
                assert_int_equal(scrape_proceed(scrape), 1);
        f->n_vms++;
        f->n_changes++;
        while (scrape_proceed(scrape) > 0)
                ;
        assert_int_equal(f->n_read, 2 * VMS + 1);

        scrape = scrape_free(scrape);
        f->n_read = 0;
        assert_int_equal(scrape_new(&f->source, &f->resizes, totals, MIB * 16, &scrape), 0);
        for (; scrape_proceed(scrape) > 0; n++)
                f->n_changes++;
        assert_int_equal(f->n_read, 3 * f->n_vms);
}

#define http_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                http_test(test_clients_wait),
                http_test(test_text_is_kept_for_those_who_waited),
                http_test(test_end_while_they_wait),
                http_test(test_vms_come_and_go_meanwhile),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
